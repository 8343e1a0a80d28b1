// What a pause of a loop means to timers. The clock is the test's.

#include <chrono>
#include <thread>
#include <vector>

#include "support/catch.h"
#include "unit/relay/bench.h"
#include "unit/relay/frames.h"

namespace wsbalance::relay {
namespace {

using namespace std::chrono_literals;

// Lets the loop run, in a thread, until `reached()`; then it is paused again.
template <typename Reached>
bool run_until(RelayLoop& loop, Reached&& reached) {
  loop.resume();
  std::thread runner([&loop] { loop.run(); });
  const bool is_reached = wait_until(reached);
  loop.request_pause();
  runner.join();
  return is_reached;
}

bool has_got(Peer& peer, std::size_t bytes) {
  peer.take();
  return peer.received().size() >= bytes;
}

// A tunnel whose timer acts with those that were armed before, or after them.
struct Marker {
  Marker(Bench& bench, std::chrono::milliseconds idle) {
    TunnelPlan plan;
    plan.settings = {};
    plan.settings.times.idle = idle;
    ends = bench.start(std::move(plan));
  }
  bool has_acted() {
    ends.client.take();
    const auto frames = frames_of(ends.client.received());
    return !frames.empty() && frames.back().reason() == "idle";
  }
  Ends ends;
};

TEST_CASE("a timer that came due during a pause acts at its end", "[relay][pause]") {
  Bench bench;
  Marker marker(bench, 1h);  // Far more than any wait here, if it were waited for.
  bench.time.advance(2h);
  CHECK(run_until(bench.loop, [&] { return marker.has_acted(); }));
}

TEST_CASE("a ping that came due during a pause goes out, and its pong counts", "[relay][pause]") {
  Bench bench;
  TunnelPlan plan;
  plan.settings = {};
  plan.settings.times.ping_interval[static_cast<std::size_t>(Side::client)] = 10s;
  plan.settings.times.ping_timeout = 10s;
  Ends ends = bench.start(std::move(plan));
  Marker marker(bench, 15s);
  bench.time.advance(11s);
  REQUIRE(run_until(bench.loop, [&] { return has_got(ends.client, 2); }));
  const auto ping = frames_of(ends.client.received()).back();
  REQUIRE(ping.is_ping());

  const bool answers = GENERATE(true, false);
  if (answers) ends.client.send(masked_frame(0x8a, ping.payload));
  bench.time.advance(11s);
  const std::size_t before = ends.client.received().size();
  REQUIRE(run_until(bench.loop, [&] { return marker.has_acted(); }));
  ends.client.take();
  if (answers) {
    CHECK(ends.client.received().size() == before);
  } else {
    CHECK(frames_of(ends.client.received()).back().reason() == "peer timeout");
  }
}

TEST_CASE("what came during a pause is heard before a timer acts", "[relay][pause]") {
  constexpr std::size_t kTunnels = 200;  // Their events do not fit into one wait.
  static_assert(2 * kTunnels > Poller::kEventsMax);
  Bench bench;
  std::vector<Ends> all;
  for (std::size_t i = 0; i < kTunnels; ++i) {
    TunnelPlan plan;
    plan.settings = {};
    plan.settings.times.idle = 10s;
    all.push_back(bench.start(std::move(plan)));
  }
  Marker marker(bench, 10s);
  bench.time.advance(11s);
  for (Ends& ends : all) {
    ends.client.send(masked_text("here"));
    ends.member.send(text_frame("here"));
  }
  CHECK(run_until(bench.loop, [&] { return marker.has_acted(); }));
  for (Ends& ends : all) {
    ends.client.take();
    if (!is_same(ends.client.received(), text_frame("here"))) FAIL_CHECK("it was not heard");
  }
}

TEST_CASE("a pause before the loop runs is kept", "[relay][pause]") {
  Bench bench;
  Ends ends = bench.start();
  bench.loop.request_pause();
  ends.client.send("data");
  bench.loop.run();
  CHECK(unread_bytes(ends.member.fd()) == 0);
  CHECK_FALSE(bench.loop.resume());
  CHECK(run_until(bench.loop, [&] { return has_got(ends.member, 4); }));

  bench.loop.request_pause();
  bench.loop.request_stop();
  CHECK_FALSE(bench.loop.resume());
  bench.loop.run();
  CHECK(bench.open_tunnels == 0);
}

}  // namespace
}  // namespace wsbalance::relay
