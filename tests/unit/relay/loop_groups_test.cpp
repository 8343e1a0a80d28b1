// A loop that closes tunnels of some groups, and a relay with several loops.

#include <chrono>
#include <vector>

#include "support/catch.h"
#include "unit/relay/bench.h"
#include "unit/relay/frames.h"
#include "unit/relay/running_relay.h"

namespace wsbalance::relay {
namespace {

using namespace std::chrono_literals;

constexpr int kClosesPerTurn = 64;

TunnelPlan plan_of(std::uint16_t group) {
  TunnelPlan plan;
  plan.settings = {};
  plan.group = group;
  return plan;
}

struct GroupBench : Bench {
  void start_tunnels(int count, std::uint16_t group) {
    for (int i = 0; i < count; ++i) all.push_back(start(plan_of(group)));
  }
  void order(std::uint16_t group, const GroupOrder& order) {
    group_orders.give(group, order);
    loop.request_look_at_groups();
    loop.turn(0ms);
  }
  void close_all_of(std::uint16_t group, EndReason reason = EndReason::member_down) {
    order(group, {.reason = reason, .count = GroupOrder::kAll});
  }
  std::vector<Ends> all;
};

const Frame* last_frame(std::vector<Frame>& frames) {
  return frames.empty() ? nullptr : &frames.back();
}

int code_at(Peer& peer) {
  peer.take();
  auto frames = frames_of(peer.received());
  const Frame* const last = last_frame(frames);
  return last != nullptr && last->is_close() ? last->code() : 0;
}

bool is_closed(Ends& ends) {
  const int at_client = code_at(ends.client);
  CHECK(code_at(ends.member) == (at_client == 0 ? 0 : 1001));
  CHECK((at_client == 0 || at_client == 1012));
  return at_client != 0;
}

int closed(std::vector<Ends>& all) {
  int count = 0;
  for (Ends& ends : all) count += is_closed(ends) ? 1 : 0;
  return count;
}

TEST_CASE("tunnels of one group are closed with 1012, others go on", "[relay][groups]") {
  const auto reason =
      GENERATE(EndReason::member_down, EndReason::member_drain, EndReason::rebalance);
  GroupBench bench;
  bench.start_tunnels(2, 3);
  bench.start_tunnels(1, 4);
  bench.close_all_of(3, reason);
  CHECK(closed(bench.all) == 2);
  CHECK(bench.ended.leaves == 2);
  Ends& other = bench.all[2];
  other.client.send(masked_text("still here"));
  bench.run_until_quiet();
  other.member.take();
  CHECK(frames_of(other.member.received()).back().payload == "still here");

  Ends& first = bench.all[0];
  CHECK(frames_of(first.client.received()).back().reason() == "service restart");
  first.client.send(masked_close(1012));
  first.member.send(close_frame(1001));
  REQUIRE(bench.run_until([&] { return bench.has_ended(); }));
  CHECK(bench.summary().reason == reason);
  CHECK(bench.summary().closer == Closer::proxy);
  CHECK(bench.summary().close_code == 1012);
  bench.advance(11s);  // The second one does not answer (WSBalanceCloseTimeout).
  CHECK(bench.ended.summaries.size() == 2);
  CHECK(bench.loop.load() == 1);
}

TEST_CASE("the oldest go first, as many as were ordered", "[relay][groups]") {
  GroupBench bench;
  for (int i = 0; i < 4; ++i) {
    bench.start_tunnels(1, 1);
    bench.start_tunnels(1, 2);
  }
  bench.order(1, {.reason = EndReason::rebalance, .count = 2});
  CHECK(closed(bench.all) == 2);
  CHECK(is_closed(bench.all[0]));
  CHECK(is_closed(bench.all[2]));
  bench.order(1, {.reason = EndReason::rebalance, .count = 1});
  CHECK(is_closed(bench.all[4]));
  CHECK(closed(bench.all) == 3);
  CHECK(bench.group_orders.take_back(1) == 0);
  CHECK(bench.ended.leaves == 3);
}

TEST_CASE("a tunnel whose end has begun does not count", "[relay][groups]") {
  GroupBench bench;
  bench.start_tunnels(2, 1);
  bench.all[0].client.send(masked_close(1000));
  bench.run_until_quiet();
  bench.order(1, {.reason = EndReason::rebalance, .count = 1});
  CHECK(code_at(bench.all[0].client) == 0);
  CHECK(is_closed(bench.all[1]));
}

TEST_CASE("tunnels that wait to be taken in are seen, later ones are not", "[relay][groups]") {
  GroupBench bench;
  bench.group_orders.give(1, {.reason = EndReason::member_down, .count = GroupOrder::kAll});
  TunnelPlan plan = plan_of(1);
  bench.loop.submit(make_tunnel(plan));
  bench.loop.request_look_at_groups();
  bench.loop.turn(0ms);
  Ends waiting{Peer(std::move(plan.client.far)), Peer(std::move(plan.member.far))};
  CHECK(is_closed(waiting));
  Ends later = bench.start(plan_of(1));
  bench.run_until_quiet();
  CHECK_FALSE(is_closed(later));
}

TEST_CASE("an order for those that began before leaves the others", "[relay][groups]") {
  GroupBench bench;
  bench.start_tunnels(1, 1);
  bench.advance(1s);
  const auto before = bench.time.now();
  bench.start_tunnels(1, 1);
  bench.order(1, {.reason = EndReason::member_drain, .count = 9, .before = before});
  CHECK(is_closed(bench.all[0]));
  CHECK_FALSE(is_closed(bench.all[1]));
}

TEST_CASE("closing many leaves room for others between turns", "[relay][groups]") {
  GroupBench bench;
  bench.start_tunnels(150, 1);
  bench.close_all_of(1);
  CHECK(closed(bench.all) == kClosesPerTurn);
  bench.loop.turn(20s);  // It does not wait.
  CHECK(closed(bench.all) == 2 * kClosesPerTurn);
  SECTION("and goes on") {
    bench.loop.turn(20s);
    CHECK(closed(bench.all) == 150);
  }
  SECTION("unless the order is taken back") {
    CHECK(bench.group_orders.take_back(1) == GroupOrder::kAll - 2 * kClosesPerTurn);
    bench.run_until_quiet();
    CHECK(closed(bench.all) == 2 * kClosesPerTurn);
  }
  SECTION("also where those end meanwhile that come next") {
    for (std::size_t i = 2 * kClosesPerTurn; i < 145; ++i) {
      bench.all[i].client.close();
      bench.all[i].member.close();
    }
    bench.run_until_quiet();
    for (std::size_t i = 145; i < 150; ++i) CHECK(is_closed(bench.all[i]));
  }
}

TEST_CASE("an order that comes while others are closed is for all", "[relay][groups]") {
  GroupBench bench;
  bench.start_tunnels(3, 2);
  bench.start_tunnels(150, 1);
  bench.close_all_of(1);
  CHECK(closed(bench.all) == kClosesPerTurn);
  bench.close_all_of(2);
  bench.run_until_quiet();
  CHECK(closed(bench.all) == 153);
}

TEST_CASE("a plan for all tunnels goes on beside orders for groups", "[relay][groups]") {
  GroupBench bench;
  bench.start_tunnels(4, 1);
  bench.loop.request_close({.reason = EndReason::drain, .over = 4s, .close_timeout = 1h});
  bench.loop.turn(0ms);
  bench.order(1, {.reason = EndReason::rebalance, .count = 1});
  CHECK(closed(bench.all) == 1);
  bench.advance(4100ms);
  int going_away = 0;
  for (Ends& ends : bench.all) going_away += code_at(ends.client) == 1001 ? 1 : 0;
  CHECK(going_away == 3);
}

// Of a relay that runs: its two sides are not told in the same instant.
int told(std::vector<Ends>& all) {
  int count = 0;
  for (Ends& ends : all) count += code_at(ends.client) == 1012 ? 1 : 0;
  return count;
}

TEST_CASE("the loops of a relay close together what was ordered", "[relay][groups]") {
  constexpr int kTunnels = 30;
  CountingObserver observer;
  observer.expected = EndReason::rebalance;
  std::atomic<std::uint32_t> open_tunnels{0};
  Relay relay({.threads = 3, .groups = 2}, observer, open_tunnels);
  relay.start();
  std::vector<Ends> all;
  for (int i = 0; i < kTunnels; ++i) {
    TunnelPlan plan = plan_of(1);
    relay.submit(make_tunnel(plan));
    all.push_back({Peer(std::move(plan.client.far)), Peer(std::move(plan.member.far))});
  }
  for (Ends& ends : all) {
    ends.client.send(masked_text("hello"));
    REQUIRE(wait_readable(ends.member.fd()));  // Its loop has it.
  }
  relay.close_group(1, {.reason = EndReason::rebalance, .count = 20});
  CHECK(wait_until([&] { return told(all) == 20; }));
  SECTION("and take the rest back") {
    CHECK(relay.take_back_order(1) == 0);
    relay.close_group(0, {.reason = EndReason::rebalance, .count = 7});
    CHECK(relay.take_back_order(0) == 7);
  }
  SECTION("through a pause") {
    REQUIRE(relay.pause(10s));
    relay.close_group(1, {.reason = EndReason::rebalance, .count = GroupOrder::kAll});
    relay.start();
    CHECK(wait_until([&] { return told(all) == kTunnels; }));
  }
  relay.stop(10s);
}

}  // namespace
}  // namespace wsbalance::relay
