#include "relay/timer_wheel.h"

#include <algorithm>
#include <bit>
#include <chrono>

namespace wsbalance::relay {
namespace {

constexpr int kTickBits = 20;  // A tick is 2^20 ns, 1.05 ms.

std::int64_t nanoseconds(Clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

std::int64_t tick_at(Clock::time_point now) { return nanoseconds(now) >> kTickBits; }

// The first tick that does not begin before the deadline.
std::int64_t tick_not_before(Clock::time_point deadline) {
  const std::int64_t count = nanoseconds(deadline);
  const std::int64_t into_tick = count & ((std::int64_t{1} << kTickBits) - 1);
  return (count >> kTickBits) + (into_tick != 0 ? 1 : 0);
}

Clock::time_point begin_of(std::int64_t tick) {
  return Clock::time_point(std::chrono::nanoseconds(tick << kTickBits));
}

}  // namespace

TimerWheel::TimerWheel(Clock::time_point now) noexcept : tick_(tick_at(now)) {}

void TimerWheel::arm(TimerNode& node, Clock::time_point deadline) noexcept {
  node.unlink();
  node.due_tick_ = std::max(tick_not_before(deadline), tick_ + 1);
  insert(node);
}

void TimerWheel::insert(TimerNode& node) noexcept {
  const auto differing = static_cast<std::uint64_t>(node.due_tick_ ^ tick_);
  const int level = (63 - std::countl_zero(differing)) / kSlotBits;
  const auto slot = static_cast<std::size_t>(node.due_tick_ >> (level * kSlotBits)) % kSlots;
  const auto wheel = static_cast<std::size_t>(level);
  slots_[wheel][slot].push_back(node);
  occupied_[wheel] |= std::uint64_t{1} << slot;
}

void TimerWheel::collect_due(Clock::time_point now, ListNode& due) noexcept {
  const std::int64_t new_tick = tick_at(now);
  if (new_tick <= tick_) return;

  ListNode reached;
  for (std::size_t level = 0; level < kLevels; ++level) {
    const int shift = static_cast<int>(level) * kSlotBits;
    const std::int64_t old_digits = tick_ >> shift;
    const std::int64_t steps = (new_tick >> shift) - old_digits;
    if (steps == 0) break;
    for (std::int64_t step = 1; step <= std::min<std::int64_t>(steps, kSlots); ++step) {
      const auto slot = static_cast<std::size_t>(old_digits + step) % kSlots;
      reached.take_all(slots_[level][slot]);
      occupied_[level] &= ~(std::uint64_t{1} << slot);
    }
  }
  tick_ = new_tick;

  while (reached.is_linked()) {
    auto& node = static_cast<TimerNode&>(*reached.next());
    node.unlink();
    if (node.due_tick_ <= tick_) {
      due.push_back(node);
    } else {
      insert(node);
    }
  }
}

std::optional<Clock::time_point> TimerWheel::next_look() noexcept {
  for (std::size_t level = 0; level < kLevels; ++level) {
    const int shift = static_cast<int>(level) * kSlotBits;
    while (occupied_[level] != 0) {
      const auto slot = static_cast<std::size_t>(std::countr_zero(occupied_[level]));
      if (slots_[level][slot].is_linked()) {
        // All its nodes share the digits above with the current tick, and come after it.
        const std::int64_t block = (tick_ >> shift) & ~static_cast<std::int64_t>(kSlots - 1);
        return begin_of((block | static_cast<std::int64_t>(slot)) << shift);
      }
      occupied_[level] &= occupied_[level] - 1;
    }
  }
  return std::nullopt;
}

}  // namespace wsbalance::relay
