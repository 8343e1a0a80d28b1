#include "relay/close_plan.h"

#include <vector>

#include "support/catch.h"

namespace wsbalance::relay {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

constexpr Clock::time_point kBegin{1000h};
constexpr auto kNever = Clock::time_point::max();

CloseOrder over(milliseconds time) {
  return {.reason = EndReason::drain, .over = time, .close_timeout = 1s};
}

ClosePlan plan_for(int tunnels, milliseconds time) {
  ClosePlan plan;
  for (int i = 0; i < tunnels; ++i) plan.add();
  plan.begin(over(time), kBegin);
  return plan;
}

// When those that are left have their turns.
std::vector<milliseconds> turns(ClosePlan plan) {
  std::vector<milliseconds> at;
  for (; plan.next_turn() != kNever; plan.take()) {
    at.push_back(std::chrono::ceil<milliseconds>(plan.next_turn() - kBegin));
  }
  return at;
}

using Turns = std::vector<milliseconds>;

TEST_CASE("turns are spread evenly, the last one when the time is over", "[relay][close]") {
  CHECK(turns(plan_for(4, 10s)) == Turns{2500ms, 5s, 7500ms, 10s});
  CHECK(turns(plan_for(1, 10s)) == Turns{10s});
  CHECK(turns(plan_for(3, 1s)) == Turns{334ms, 667ms, 1s});
  CHECK(turns(plan_for(3, 0s)) == Turns{0s, 0s, 0s});
  CHECK(turns(plan_for(0, 10s)).empty());
}

TEST_CASE("nobody has a turn before a plan begins", "[relay][close]") {
  ClosePlan plan;
  plan.add();
  CHECK(plan.next_turn() == kNever);
}

TEST_CASE("a tunnel that ends by itself takes the next turn", "[relay][close]") {
  ClosePlan plan = plan_for(5, 10s);
  plan.take();
  plan.take();
  CHECK(turns(plan) == Turns{6s, 8s, 10s});
}

TEST_CASE("tunnels that come later have their turns within the time", "[relay][close]") {
  ClosePlan plan = plan_for(2, 12s);
  plan.take();
  plan.add();
  CHECK(turns(plan) == Turns{8s, 12s});
  while (plan.next_turn() != kNever) plan.take();
  plan.add();
  CHECK(turns(plan) == Turns{12s});
}

TEST_CASE("a plan replaces another for those that wait", "[relay][close]") {
  ClosePlan plan = plan_for(4, 10s);
  plan.take();
  plan.take();
  plan.begin(over(1s), kBegin + 6s);
  CHECK(turns(plan) == Turns{6500ms, 7s});
}

TEST_CASE("many tunnels over a long time do not overflow", "[relay][close]") {
  ClosePlan plan;
  constexpr int kTunnels = 1'000'003;
  for (int i = 0; i < kTunnels; ++i) plan.add();
  constexpr milliseconds kTime = 24h * 365 * 4;
  plan.begin(over(kTime), kBegin);
  auto before = kBegin;
  for (int i = 0; i < kTunnels; ++i) {
    const auto turn = plan.next_turn();
    if (turn <= before) FAIL("turn " << i << " does not come after the one before");
    before = turn;
    plan.take();
  }
  CHECK(before == kBegin + kTime);
}

TEST_CASE("an order keeps what it says in one word, within bounds", "[relay][close]") {
  for (const EndReason reason : {EndReason::drain, EndReason::shutdown, EndReason::idle}) {
    for (const milliseconds time : {0ms, 1ms, milliseconds(24h * 365 * 4)}) {
      for (const milliseconds timeout : {0ms, 5000ms, milliseconds(1h)}) {
        const CloseOrder order{.reason = reason, .over = time, .close_timeout = timeout};
        CHECK(CloseOrder::unpacked(order.packed()) == order);
        CHECK(order.packed() != 0);
      }
    }
  }
  const CloseOrder beyond{.reason = EndReason::drain, .over = 24h * 36500, .close_timeout = 24h};
  CHECK(CloseOrder::unpacked(beyond.packed()).over > 24h * 365 * 4);
  CHECK(CloseOrder::unpacked(beyond.packed()).close_timeout > 1h);
  const CloseOrder below{.reason = EndReason::drain, .over = -1s, .close_timeout = -1s};
  CHECK(CloseOrder::unpacked(below.packed()) == CloseOrder{.reason = EndReason::drain});
}

}  // namespace
}  // namespace wsbalance::relay
