// Frames of ours among those of others, and ends of ours at any moment.

#include <chrono>
#include <string>

#include "support/catch.h"
#include "unit/relay/bench.h"
#include "unit/relay/frames.h"

namespace wsbalance::relay {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kClient = static_cast<std::size_t>(Side::client);

TunnelPlan strict_plan() {
  TunnelPlan plan;
  plan.settings = {};
  return plan;
}

std::size_t count_closes(Peer& peer) {
  peer.take();
  const auto frames = frames_of(peer.received());
  return static_cast<std::size_t>(
      std::count_if(frames.begin(), frames.end(), [](const Frame& f) { return f.is_close(); }));
}

TEST_CASE("a close of ours does not follow a close frame that was passing", "[relay][life]") {
  Bench bench;
  TunnelPlan plan = strict_plan();
  plan.settings.times.lifetime = 10s;
  Ends ends = bench.start(std::move(plan));
  const std::string bye = make_frame(0x88, close_payload(1000, "so long"));
  ends.member.send(std::string_view(bye).substr(0, 6));
  CHECK(bench.run_until_quiet());
  bench.advance(10100ms);
  CHECK(count_closes(ends.member) == 1);
  ends.member.send(std::string_view(bye).substr(6));
  CHECK(bench.run_until_quiet());
  CHECK(count_closes(ends.client) == 1);
  CHECK(ends.client.received() == bye);
  ends.client.send(masked_close(1000));
  CHECK(bench.run_until([&] { return bench.has_ended(); }));
}

TEST_CASE("a close of ours has its whole time although an end has begun", "[relay][life]") {
  Bench bench;
  Ends ends = bench.start(strict_plan());
  ends.member.end_writing();
  CHECK(bench.run_until_quiet());
  bench.advance(4700ms);
  ends.client.send(text_frame("not masked"));
  CHECK(bench.run_until_quiet());
  CHECK(count_closes(ends.member) == 1);
  bench.advance(4s);
  CHECK_FALSE(bench.has_ended());
  bench.advance(2s);
  CHECK(bench.reason() == EndReason::protocol_client);
}

TEST_CASE("what a side sends behind its close frame does not hold up the end", "[relay][life]") {
  const bool is_client = GENERATE(true, false);
  Bench bench;
  TunnelPlan plan = strict_plan();
  Ends ends = bench.start(std::move(plan));
  Peer& closing = is_client ? ends.client : ends.member;
  closing.send(is_client ? masked_close(1000) : close_frame(1000));
  for (int second = 0; second < 7; ++second) {
    closing.send(is_client ? masked_text("and") : text_frame("and"));
    bench.advance(1s);
    ends.client.take();
    ends.member.take();
  }
  CHECK(bench.reason() == (is_client ? EndReason::client_close : EndReason::member_close));
}

TEST_CASE("a lifetime ends a tunnel of which one side has ended", "[relay][life]") {
  Bench bench;
  TunnelPlan plan = strict_plan();
  plan.settings.times.lifetime = 10s;
  Ends ends = bench.start(std::move(plan));
  ends.client.end_writing();
  for (int second = 0; second < 18; ++second) {
    ends.member.send(text_frame("on and on"));
    bench.advance(1s);
    ends.client.take();
  }
  CHECK(bench.reason() == EndReason::lifetime);
  CHECK(count_closes(ends.client) == 1);
}

TEST_CASE("without memory too, pongs of ours are cut out behind a header that was cut",
          "[relay][life]") {
  Bench bench(0);
  TunnelPlan plan = strict_plan();
  plan.settings.times.ping_interval[kClient] = 1s;
  set_send_buffer(plan.member.near.get(), 4096);
  Ends ends = bench.start(std::move(plan));
  bench.advance(1100ms);
  ends.client.take();
  const auto pings = frames_of(ends.client.received());
  REQUIRE(pings.size() == 1);
  std::string others;
  std::string all;
  for (int i = 0; i < 10; ++i) {
    std::string frames;
    for (int frame = 0; frame < 450; ++frame) frames += masked_text("four");
    others += frames;
    all += frames + masked_frame(0x8a, pings[0].payload);
  }
  CHECK(ends.client.send(all) == all.size());
  CHECK(bench.run_until([&] {
    const bool is_still = bench.run_until_quiet();
    ends.member.take();
    return !is_still || ends.member.received().size() >= others.size();
  }));
  CHECK(is_same(ends.member.received(), others));
}

TEST_CASE("without memory too, a close of ours follows the frame whose header was cut",
          "[relay][life]") {
  Bench bench(0);
  TunnelPlan plan = strict_plan();
  plan.settings.times.lifetime = 10s;
  set_send_buffer(plan.member.near.get(), 4096);
  Ends ends = bench.start(std::move(plan));
  const std::string frame = masked_text("four");
  std::string all;
  for (int i = 0; i < 5000; ++i) all += frame;
  CHECK(ends.client.send(all) == all.size());
  CHECK(bench.run_until_quiet());
  bench.advance(10100ms);
  ends.member.take();
  const std::size_t before = ends.member.received().size();
  CHECK(before % frame.size() != 0);
  CHECK(bench.run_until_quiet());
  CHECK(count_closes(ends.member) == 1);
  CHECK(ends.member.received().find(frame, before + frame.size()) == std::string::npos);
}

TEST_CASE("the end of a side that a rate makes wait is no event without end", "[relay][life]") {
  const bool is_tcp = GENERATE(false, true);
  const int how = GENERATE(range(0, 4));
  CAPTURE(is_tcp, how);
  Bench bench;
  TunnelPlan plan = is_tcp ? tcp_plan() : TunnelPlan{};
  plan.settings = {};
  plan.settings.message_rate = {.per_second = 10, .burst = 10};
  Ends ends = bench.start(std::move(plan));
  std::string sent;
  for (int count = 0; count < 200; ++count) sent += masked_text("x");
  ends.client.send(sent);
  CHECK(bench.run_until_received(ends.member, sent));
  ends.client.send(masked_text("last"));
  sent += masked_text("last");
  if (how == 1) ends.client.end_writing();
  if (how >= 2) ends.client.close();
  if (how == 3) ends.member.end_writing();
  CHECK(bench.run_until_quiet());
  bench.advance(10s);
  CHECK(bench.run_until_quiet());
  CHECK_FALSE(bench.has_ended());
  ends.member.send(text_frame("hello"));  // A client that is gone resets its connection.
  CHECK(bench.run_until_quiet());
  bench.advance(15s);
  if (!is_tcp || how < 2) CHECK(bench.run_until_received(ends.member, sent));
  ends.client.close();
  ends.member.close();
  CHECK(bench.run_until([&] { return bench.has_ended(); }));
  CHECK(bench.budget.bytes_held() == 0);
}

TEST_CASE("a held part of a header goes on at the end of its side, and not behind a close of ours",
          "[relay][life]") {
  const bool is_closed = GENERATE(false, true);
  Bench bench;
  TunnelPlan plan = strict_plan();
  plan.settings.times.lifetime = 10s;
  const std::string part = masked_frame(0x82, std::string(200, 'x')).substr(0, 5);
  const std::string first = masked_text("first") + part;
  plan.from_client = first;
  Ends ends = bench.start(std::move(plan));
  CHECK(bench.run_until_received(ends.member, masked_text("first")));
  if (is_closed) bench.advance(10100ms);
  ends.client.end_writing();
  CHECK(bench.run_until_quiet());
  ends.member.take();
  CHECK(ends.member.saw_end());
  if (is_closed) {
    CHECK(count_closes(ends.member) == 1);
    CHECK(frames_of(ends.member.received()).size() == 2);
    CHECK(ends.member.received().find(part) == std::string::npos);
  } else {
    CHECK(ends.member.received() == first);
  }
}

}  // namespace
}  // namespace wsbalance::relay
