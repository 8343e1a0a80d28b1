// A loop that closes all its tunnels: spread over a time, or at once. The clock is the test's.

#include <chrono>
#include <string>
#include <vector>

#include "support/catch.h"
#include "unit/relay/bench.h"
#include "unit/relay/frames.h"

namespace wsbalance::relay {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

CloseOrder order(milliseconds over, milliseconds close_timeout = 5s,
                 EndReason reason = EndReason::drain) {
  return {.reason = reason, .over = over, .close_timeout = close_timeout};
}

struct ClosingBench : Bench {
  void start_tunnels(int count, TunnelSettings settings = {}) {
    for (int i = 0; i < count; ++i) all.push_back(start_one(settings));
  }
  Ends start_one(TunnelSettings settings = {}) {
    TunnelPlan plan;
    plan.settings = settings;
    return start(std::move(plan));
  }
  void close(const CloseOrder& order) {
    loop.request_close(order);
    loop.turn(0ms);
  }
  void answer(Ends& ends) {
    ends.client.send(masked_close(1001));
    ends.member.send(close_frame(1001));
  }
  std::vector<Ends> all;
};

std::vector<Frame> frames_at(Peer& peer) {
  peer.take();
  return frames_of(peer.received());
}

bool is_closed(Ends& ends) {
  const auto client = frames_at(ends.client);
  const auto member = frames_at(ends.member);
  const bool at_client = !client.empty() && client.back().is_close();
  CHECK(at_client == (!member.empty() && member.back().is_close()));
  return at_client;
}

int closed(std::vector<Ends>& all) {
  int count = 0;
  for (Ends& ends : all) count += is_closed(ends) ? 1 : 0;
  return count;
}

TEST_CASE("tunnels are closed with 1001, and answers end them", "[relay][close]") {
  const auto reason = GENERATE(EndReason::drain, EndReason::shutdown);
  ClosingBench bench;
  bench.start_tunnels(2);
  bench.close(order(0ms, 5s, reason));
  REQUIRE(closed(bench.all) == 2);
  const Frame at_client = frames_at(bench.all[0].client).back();
  const Frame at_member = frames_at(bench.all[0].member).back();
  for (const Frame& frame : {at_client, at_member}) {
    CHECK(frame.code() == 1001);
    CHECK(frame.reason() == "going away");
  }
  CHECK_FALSE(at_client.is_masked);
  CHECK(at_member.is_masked);
  for (Ends& ends : bench.all) bench.answer(ends);
  REQUIRE(bench.run_until([&] { return bench.ended.summaries.size() == 2; }));
  for (const TunnelSummary& summary : bench.ended.summaries) {
    CHECK(summary.reason == reason);
    CHECK(summary.closer == Closer::proxy);
    CHECK(summary.close_code == 1001);
  }
  CHECK(bench.loop.load() == 0);
}

TEST_CASE("closes are spread evenly, and until its turn a tunnel goes on", "[relay][close]") {
  ClosingBench bench;
  TunnelSettings settings;
  settings.times.ping_interval[static_cast<std::size_t>(Side::member)] = 400ms;
  bench.start_tunnels(8, settings);
  Ends& last = bench.all.back();
  bench.close(order(8s, 1h));
  CHECK(closed(bench.all) == 0);
  for (int second = 1; second < 8; ++second) {
    bench.advance(990ms);
    CHECK(closed(bench.all) == second - 1);
    bench.advance(10ms);
    CHECK(closed(bench.all) == second);
    const std::string message = masked_text("message " + std::to_string(second));
    last.client.send(message);
    bench.run_until_quiet();
    const auto at_member = frames_at(last.member);
    REQUIRE(at_member.size() >= 2);
    CHECK(at_member[at_member.size() - 2].is_ping());  // As the member says nothing.
    CHECK(at_member.back().payload == "message " + std::to_string(second));
    for (const Frame& frame : at_member) {
      if (frame.is_ping()) last.member.send(make_frame(0x8a, frame.payload));
    }
    bench.run_until_quiet();
  }
  bench.advance(1s);
  CHECK(closed(bench.all) == 8);
}

// Real time: the loop wakes for a turn by itself.
TEST_CASE("a loop wakes for the next turn", "[relay][close]") {
  EndedTunnels ended;
  BufferBudget budget(1'000'000);
  std::atomic<std::uint32_t> open_tunnels{0};
  const SteadyTime time;
  GroupOrders group_orders(0);
  RelayLoop loop(budget, group_orders, ended, open_tunnels, time);
  TunnelPlan plan;
  plan.settings = {};
  loop.submit(make_tunnel(plan));
  loop.request_close(order(20ms, 20ms));
  for (int turns = 0; turns < 1000 && ended.summaries.empty(); ++turns) loop.turn(20s);
  REQUIRE(ended.summaries.size() == 1);
  CHECK(ended.summaries[0].reason == EndReason::drain);
  CHECK(ended.summaries[0].duration >= 40ms);
  CHECK(ended.summaries[0].duration < 20s);
}

TEST_CASE("closing many at once leaves room for the others", "[relay][close]") {
  constexpr int kTunnels = 150;
  constexpr int kClosesPerTurn = 64;
  ClosingBench bench;
  bench.start_tunnels(kTunnels);
  Ends& last = bench.all.back();
  last.client.send(masked_text("before the turn"));
  bench.close(order(0ms));
  CHECK(closed(bench.all) == kClosesPerTurn);
  CHECK(frames_at(last.member).back().payload == "before the turn");
  bench.loop.turn(20s);  // It does not wait.
  CHECK(closed(bench.all) == 2 * kClosesPerTurn);
  bench.loop.turn(20s);
  CHECK(closed(bench.all) == kTunnels);
}

TEST_CASE("a later close replaces the plan", "[relay][close]") {
  ClosingBench bench;
  bench.start_tunnels(4);
  bench.close(order(40s, 5s));
  bench.advance(11s);
  CHECK(closed(bench.all) == 1);
  SECTION("by one at once, which holds for those that close too") {
    bench.close(order(0ms, 200ms, EndReason::shutdown));
    CHECK(closed(bench.all) == 4);
    CHECK_FALSE(bench.has_ended());
    bench.advance(250ms);
    REQUIRE(bench.ended.summaries.size() == 4);
    int drained = 0;
    int shut_down = 0;
    for (const TunnelSummary& summary : bench.ended.summaries) {
      drained += summary.reason == EndReason::drain ? 1 : 0;
      shut_down += summary.reason == EndReason::shutdown ? 1 : 0;
    }
    CHECK(drained == 1);
    CHECK(shut_down == 3);
  }
  SECTION("by a slower one, which gives nobody more time") {
    bench.close(order(400s, 1h));
    bench.advance(4500ms);
    CHECK(bench.ended.summaries.size() == 1);
    bench.advance(90s);
    CHECK(closed(bench.all) == 1);
    bench.advance(110s);
    CHECK(closed(bench.all) == 2);
  }
}

TEST_CASE("nobody answers, and the shorter of both times cuts", "[relay][close]") {
  const auto [limit, ends_after] = GENERATE(table<milliseconds, milliseconds>(
      {{0ms, 0ms}, {300ms, 300ms}, {5s, 5s}, {60s, 5s}}));  // WSBalanceCloseTimeout: 5 s.
  ClosingBench bench;
  bench.start_tunnels(1);
  bench.close(order(0ms, limit));
  bench.advance(std::max(ends_after - 20ms, 0ms));
  CHECK_FALSE(bench.has_ended());
  bench.advance(30ms);
  CHECK(bench.reason() == EndReason::drain);
}

TEST_CASE("one side answers, the other one is waited for", "[relay][close]") {
  const bool is_client = GENERATE(true, false);
  ClosingBench bench;
  bench.start_tunnels(1);
  bench.close(order(0ms, 2s));
  Ends& ends = bench.all[0];
  is_client ? ends.client.send(masked_close(1001)) : ends.member.send(close_frame(1001));
  bench.advance(1900ms);
  CHECK_FALSE(bench.has_ended());
  bench.advance(200ms);
  CHECK(bench.reason() == EndReason::drain);
}

TEST_CASE("a side that takes its bytes slowly gets no more than the limit", "[relay][close]") {
  ClosingBench bench;
  bench.start_tunnels(1);
  Ends& ends = bench.all[0];
  std::string data;
  while (data.size() < 400'000) data += text_frame(std::string(10'000, 'x'));
  ends.member.send(data);
  REQUIRE(bench.run_until_quiet());
  bench.close(order(0ms, 3s));
  for (int tenth = 0; tenth < 29; ++tenth) {
    CHECK(ends.client.take(100) == 100);
    bench.advance(100ms);
  }
  CHECK_FALSE(bench.has_ended());
  bench.advance(200ms);
  CHECK(bench.reason() == EndReason::drain);
}

TEST_CASE("a frame that passes comes to its end first", "[relay][close]") {
  ClosingBench bench;
  bench.start_tunnels(1);
  Ends& ends = bench.all[0];
  const std::string frame = masked_text(std::string(1000, 'x'));
  ends.client.send(frame.substr(0, 500));
  bench.run_until_quiet();
  bench.close(order(0ms, 2s));
  CHECK(frames_at(ends.client).back().code() == 1001);
  CHECK(frames_at(ends.member).empty());
  SECTION("it does") {
    bench.advance(1s);
    ends.client.send(frame.substr(500));
    bench.run_until_quiet();
    const auto at_member = frames_at(ends.member);
    REQUIRE(at_member.size() == 2);
    CHECK(at_member[0].payload == std::string(1000, 'x'));
    CHECK(at_member[1].code() == 1001);
    bench.answer(ends);
    CHECK(bench.run_until([&] { return bench.has_ended(); }));
  }
  SECTION("it does not") {
    bench.advance(2100ms);
    CHECK(frames_at(ends.member).empty());
  }
  CHECK(bench.reason() == EndReason::drain);
}

TEST_CASE("tunnels that come while others close are closed too", "[relay][close]") {
  ClosingBench bench;
  bench.start_tunnels(1);
  bench.close(order(10s, 1h));
  bench.advance(4s);
  bench.start_tunnels(1);
  bench.advance(900ms);
  CHECK(closed(bench.all) == 0);
  bench.advance(200ms);
  CHECK(closed(bench.all) == 1);
  bench.advance(5s);
  CHECK(closed(bench.all) == 2);

  // The time is over: what had come with the handshake is delivered first.
  TunnelPlan plan;
  plan.settings = {};
  const std::string greeting = text_frame("hello");
  plan.from_member = greeting;
  Ends late = bench.start(std::move(plan));
  const auto at_client = frames_at(late.client);
  REQUIRE(at_client.size() == 2);
  CHECK(at_client[0].payload == "hello");
  CHECK(at_client[1].code() == 1001);
}

TEST_CASE("tunnels that end by themselves leave their turns to others", "[relay][close]") {
  ClosingBench bench;
  bench.start_tunnels(4);
  bench.close(order(40s, 1h));
  bench.advance(5s);
  for (std::size_t i = 0; i < 2; ++i) {
    bench.all[i].client.close();
    bench.all[i].member.close();
  }
  bench.run_until([&] { return bench.ended.summaries.size() == 2; });
  bench.all.erase(bench.all.begin(), bench.all.begin() + 2);
  bench.advance(24s);
  CHECK(closed(bench.all) == 0);
  bench.advance(2s);
  CHECK(closed(bench.all) == 1);
  bench.advance(10s);
  CHECK(closed(bench.all) == 2);
}

TEST_CASE("an end that has begun goes on, within the limit", "[relay][close]") {
  ClosingBench bench;
  bench.start_tunnels(1);
  Ends& ends = bench.all[0];
  SECTION("the closing handshake of a side") {
    ends.client.send(masked_close(1000));
    bench.run_until_quiet();
    bench.close(order(0ms, 300ms));
    CHECK(frames_at(ends.client).empty());
    SECTION("answered") {
      ends.member.send(close_frame(1000));
      bench.run_until_quiet();
      CHECK(frames_at(ends.client).back().code() == 1000);
    }
    ends.client.close();
    bench.advance(350ms);
    CHECK(bench.reason() == EndReason::client_close);
  }
  SECTION("the end of one side's stream") {
    ends.member.send(text_frame("a"));
    ends.client.end_writing();
    bench.run_until_quiet();
    bench.advance(4500ms);  // Of the 5 s that it may stand still then.
    bench.close(order(0ms, 2s));
    CHECK(frames_at(ends.client).back().code() == 1001);
    bench.advance(1900ms);
    CHECK_FALSE(bench.has_ended());
    bench.advance(200ms);
    CHECK(bench.reason() == EndReason::drain);
  }
}

TEST_CASE("a stop ends tunnels that are being closed", "[relay][close]") {
  ClosingBench bench;
  bench.start_tunnels(4);
  bench.close(order(10s, 1h));
  bench.advance(6s);
  CHECK(closed(bench.all) == 2);
  bench.loop.close_all();
  CHECK(bench.open_tunnels == 0);
  CHECK(bench.loop.load() == 0);
  for (Ends& ends : bench.all) {
    ends.client.take();
    CHECK(ends.client.saw_end());
  }
}

}  // namespace
}  // namespace wsbalance::relay
