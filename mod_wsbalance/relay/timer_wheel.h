// timer_wheel.h - deadlines of many tunnels, each armed and taken back at constant cost.
//
// Layer:    relay (pure: the time is always an argument).
// Owns:     nothing; the nodes are their holders', and a node's end cancels it.
// Threads:  one at a time.
// Errors:   none.
//
// Eight wheels of 64 slots, each slot of a wheel as long as the whole wheel below it. A node waits
// in the wheel of the highest digit in which its tick differs from the current one, and moves down
// when that digit is reached. Deadlines come up to a tick (about a millisecond) late, never early.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "relay/list_node.h"
#include "relay/tunnel_settings.h"

namespace wsbalance::relay {

// A deadline that can be armed. What it belongs to derives from it.
class TimerNode : private ListNode {
 public:
  bool is_armed() const noexcept { return is_linked(); }
  void cancel() noexcept { unlink(); }

 private:
  friend class TimerWheel;
  std::int64_t due_tick_ = 0;
};

class TimerWheel {
 public:
  explicit TimerWheel(Clock::time_point now) noexcept;

  // Arms it, or moves its deadline. One that is past comes with the next tick.
  void arm(TimerNode& node, Clock::time_point deadline) noexcept;

  // Calls fired(TimerNode&) for each node whose deadline has come; it is not armed any more then.
  // The call may arm, cancel and destroy any node.
  template <typename Fired>
  void advance(Clock::time_point now, Fired&& fired) {
    ListNode due;
    collect_due(now, due);
    while (due.is_linked()) {
      auto& node = static_cast<TimerNode&>(*due.next());
      node.cancel();
      fired(node);
    }
  }

  // When advance() has to be called next; nothing may be due then yet. None without armed nodes.
  std::optional<Clock::time_point> next_look() noexcept;

 private:
  static constexpr int kSlotBits = 6;
  static constexpr std::size_t kSlots = std::size_t{1} << kSlotBits;
  static constexpr std::size_t kLevels = 8;  // 48 bits of ticks: all that nanoseconds can say.

  void insert(TimerNode& node) noexcept;
  void collect_due(Clock::time_point now, ListNode& due) noexcept;

  std::int64_t tick_;
  std::array<std::uint64_t, kLevels> occupied_{};  // A bit may be left over from a cancelled node.
  std::array<std::array<ListNode, kSlots>, kLevels> slots_;
};

}  // namespace wsbalance::relay
