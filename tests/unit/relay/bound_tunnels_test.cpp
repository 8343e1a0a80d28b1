// Tunnels that cannot go on in another process are closed, the others are not; and what another
// process has to keep open for those.

#include <algorithm>
#include <chrono>
#include <vector>

#include "support/catch.h"
#include "unit/relay/bench.h"
#include "unit/relay/frames.h"
#include "unit/relay/running_relay.h"

namespace wsbalance::relay {
namespace {

using namespace std::chrono_literals;

constexpr CloseOrder kClose{.reason = EndReason::drain, .over = 0ms, .close_timeout = 800ms};

Ends start_bound(Bench& bench) {
  TunnelPlan plan;
  auto tunnel = make_tunnel(plan);
  tunnel->bind();
  bench.loop.submit(std::move(tunnel));
  bench.loop.turn(0ms);
  return {Peer(std::move(plan.client.far)), Peer(std::move(plan.member.far))};
}

bool has_close(Peer& peer) {
  peer.take();
  const auto frames = frames_of(peer.received());
  return !frames.empty() && frames.back().is_close() && frames.back().code() == 1001;
}

TEST_CASE("bound tunnels alone are closed, those that just came too", "[relay][close]") {
  Bench bench;
  Ends free_one = bench.start();
  Ends bound = start_bound(bench);
  TunnelPlan plan;
  auto late = make_tunnel(plan);
  late->bind();
  bench.loop.request_close_bound(kClose);
  bench.loop.submit(std::move(late));
  Ends late_ends{Peer(std::move(plan.client.far)), Peer(std::move(plan.member.far))};
  bench.run_until_quiet();
  for (Ends* ends : {&bound, &late_ends}) {
    CHECK(has_close(ends->client));
    CHECK(has_close(ends->member));
  }
  free_one.client.send(masked_text("still here"));
  bench.run_until_quiet();
  free_one.member.take();
  CHECK(frames_of(free_one.member.received()).back().payload == "still here");

  bench.advance(1s);  // Nobody has answered.
  REQUIRE(bench.ended.summaries.size() == 2);
  for (const TunnelSummary& summary : bench.ended.summaries) {
    CHECK(summary.reason == EndReason::drain);
  }
  CHECK(bench.loop.load() == 1);
}

TEST_CASE("a plan for all tunnels goes on beside it", "[relay][close]") {
  Bench bench;
  Ends first = bench.start();
  Ends bound = start_bound(bench);
  Ends last = bench.start();
  bench.loop.request_close({.reason = EndReason::drain, .over = 3s, .close_timeout = 1h});
  bench.loop.request_close_bound(kClose);
  bench.run_until_quiet();
  CHECK(has_close(bound.client));
  CHECK_FALSE(has_close(first.client));
  bench.advance(3s);
  CHECK(has_close(first.client));
  CHECK(has_close(last.client));
}

TEST_CASE("a paused relay names every descriptor that it needs", "[relay][pause]") {
  TunnelPlan begun;
  TunnelPlan waiting;
  std::vector<int> expected;
  for (const TunnelPlan* plan : {&begun, &waiting}) {
    expected.push_back(plan->client.near.get());
    expected.push_back(plan->member.near.get());
  }
  RunningRelay running(2);
  const Ends first = running.submit(std::move(begun));
  REQUIRE(running.relay.pause(10s));
  const Ends second = running.submit(std::move(waiting));
  std::vector<int> found;
  running.relay.list_descriptors(found);
  for (const int fd : expected) CHECK(std::count(found.begin(), found.end(), fd) == 1);
  // Beside them each of the two loops has its epoll and its wake descriptor.
  CHECK(found.size() == expected.size() + 4);
  running.relay.start();
  CHECK(wait_until([&] { return running.relay.load() == 2; }));
}

TEST_CASE("without threads the caller carries tunnels to their end", "[relay][pause]") {
  RunningRelay running(2);
  CHECK_FALSE(running.relay.turn_here(0ms));  // It has threads.
  Ends first = running.submit();
  Ends second = running.submit();
  REQUIRE(running.relay.pause(10s));
  Ends late = running.submit();
  running.relay.close_tunnels(EndReason::drain, 0ms, 5s);
  for (Ends* ends : {&first, &second, &late}) {
    ends->client.send(masked_close(1001));
    ends->member.send(close_frame(1001));
  }
  const auto deadline = std::chrono::steady_clock::now() + 20s;
  while (running.relay.load() > 0 && std::chrono::steady_clock::now() < deadline) {
    REQUIRE(running.relay.turn_here(5ms));
  }
  CHECK(running.relay.load() == 0);
  CHECK(running.observer.ends == 3);
  for (Ends* ends : {&first, &second, &late}) CHECK(has_close(ends->client));
}

}  // namespace
}  // namespace wsbalance::relay
