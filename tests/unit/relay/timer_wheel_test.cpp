#include "relay/timer_wheel.h"

#include <functional>
#include <random>
#include <vector>

#include "support/catch.h"

namespace wsbalance::relay {
namespace {

using namespace std::chrono_literals;

constexpr auto kTick = std::chrono::nanoseconds(1 << 20);

const Clock::time_point kStart(1234567s);

struct Timer : TimerNode {
  Clock::time_point deadline{};
  Clock::time_point fired_at{};
  int fired = 0;
};

void advance(TimerWheel& wheel, Clock::time_point now) {
  wheel.advance(now, [now](TimerNode& node) {
    auto& timer = static_cast<Timer&>(node);
    timer.fired_at = now;
    ++timer.fired;
  });
}

TEST_CASE("a deadline comes not early and at most a tick late, whatever the span", "[relay]") {
  const auto span = GENERATE(as<Clock::duration>{}, 0ns, 1ns, 1ms, 5ms, 66ms, 68ms, 1s, 5s, 30s,
                             300s, 1h, 24h, 24h * 365, 24h * 365 * 50);
  TimerWheel wheel(kStart);
  Timer timer;
  wheel.arm(timer, kStart + span);

  // Goes from look to look, as a loop does.
  int looks = 0;
  while (timer.fired == 0 && looks < 100) {
    const auto next = wheel.next_look();
    REQUIRE(next);
    REQUIRE(*next <= kStart + span + kTick);
    advance(wheel, *next);
    ++looks;
  }
  CHECK(timer.fired == 1);
  CHECK(looks <= 8);
  CHECK(timer.fired_at >= kStart + span);
  CHECK_FALSE(timer.is_armed());
  CHECK_FALSE(wheel.next_look());
}

TEST_CASE("a jump of the clock brings all that is due and nothing else", "[relay]") {
  TimerWheel wheel(kStart);
  std::vector<Timer> timers(2000);
  std::mt19937_64 random(3);
  for (Timer& timer : timers) {
    timer.deadline = kStart + std::chrono::milliseconds(random() % (1u << (random() % 31)));
    wheel.arm(timer, timer.deadline);
  }
  auto now = kStart;
  while (wheel.next_look()) {
    now += std::chrono::milliseconds(random() % (1u << (random() % 28)));
    advance(wheel, now);
    for (const Timer& timer : timers) {
      if (timer.deadline + kTick <= now) REQUIRE(timer.fired == 1);
      if (timer.deadline > now) REQUIRE(timer.fired == 0);
    }
  }
}

TEST_CASE("the next look is never after a deadline", "[relay]") {
  TimerWheel wheel(kStart);
  std::vector<Timer> timers(300);
  std::mt19937_64 random(5);
  auto now = kStart;
  for (int round = 0; round < 2000; ++round) {
    Timer& timer = timers[random() % timers.size()];
    timer.deadline = now + std::chrono::milliseconds(random() % 100'000);
    wheel.arm(timer, timer.deadline);
    auto earliest = Clock::time_point::max();
    for (const Timer& each : timers) {
      if (each.is_armed()) earliest = std::min(earliest, each.deadline);
    }
    REQUIRE(wheel.next_look());
    REQUIRE(*wheel.next_look() <= earliest + 2 * kTick);
    if (round % 3 == 0) advance(wheel, now += std::chrono::milliseconds(random() % 700));
  }
}

TEST_CASE("a cancelled timer does not come, and one armed anew comes once", "[relay]") {
  TimerWheel wheel(kStart);
  Timer cancelled;
  Timer moved;
  wheel.arm(cancelled, kStart + 10ms);
  wheel.arm(moved, kStart + 10ms);
  wheel.arm(moved, kStart + 1h);
  cancelled.cancel();
  advance(wheel, kStart + 1min);
  CHECK(cancelled.fired == 0);
  CHECK(moved.fired == 0);
  advance(wheel, kStart + 2h);
  CHECK(moved.fired == 1);
}

TEST_CASE("a timer that ends is armed no more", "[relay]") {
  TimerWheel wheel(kStart);
  {
    Timer timer;
    wheel.arm(timer, kStart + 1s);
  }
  CHECK_FALSE(wheel.next_look());
  advance(wheel, kStart + 2s);
}

TEST_CASE("what a timer does when it comes may arm, cancel and destroy any timer", "[relay]") {
  TimerWheel wheel(kStart);
  auto destroyed = std::make_unique<Timer>();
  Timer first;
  Timer cancelled;
  wheel.arm(first, kStart + 5ms);
  wheel.arm(cancelled, kStart + 5ms);
  wheel.arm(*destroyed, kStart + 5ms);
  int fired = 0;
  wheel.advance(kStart + 1s, [&](TimerNode& node) {
    ++fired;
    cancelled.cancel();
    destroyed.reset();
    wheel.arm(node, kStart + 2s);
  });
  CHECK(fired == 1);
  CHECK(first.is_armed());
  advance(wheel, kStart + 3s);
  CHECK(first.fired == 1);
}

TEST_CASE("a clock that goes back changes nothing", "[relay]") {
  TimerWheel wheel(kStart);
  Timer timer;
  wheel.arm(timer, kStart + 1s);
  advance(wheel, kStart - 1h);
  CHECK(timer.fired == 0);
  advance(wheel, kStart + 2s);
  CHECK(timer.fired == 1);
}

}  // namespace
}  // namespace wsbalance::relay
