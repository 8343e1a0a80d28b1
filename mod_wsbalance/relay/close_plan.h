// close_plan.h - when which of a loop's tunnels has its turn to be closed, so that their ends are
// spread evenly over a time.
//
// Layer:    relay (pure: the time is always an argument).
// Threads:  one at a time.
// Errors:   none.
//
// The times between turns are equal, and the last turn comes when the time is over. A tunnel that
// ends before its turn takes the place of the next one that would have had its: the others are
// left to live.
#pragma once

#include <chrono>
#include <cstdint>

#include "relay/end_reason.h"
#include "relay/tunnel_settings.h"

namespace wsbalance::relay {

// What is to be done to all tunnels.
struct CloseOrder {
  EndReason reason = EndReason::none;
  std::chrono::milliseconds over{0};
  std::chrono::milliseconds close_timeout{0};  // The most that one of them may take.

  // For an atomic variable. Zero is no order. Times beyond 4 years and 69 minutes are cut to that.
  std::uint64_t packed() const noexcept;
  static CloseOrder unpacked(std::uint64_t packed) noexcept;

  bool operator==(const CloseOrder&) const = default;
};

class ClosePlan {
 public:
  // A tunnel more that waits for its turn; one of those that waited has had it, or has ended
  // before. Also before begin(), for all tunnels that there are.
  void add() noexcept {
    ++total_;
    ++waiting_;
  }
  void take() noexcept { --waiting_; }

  // Replaces what was planned before.
  void begin(const CloseOrder& order, Clock::time_point now) noexcept;

  const CloseOrder& order() const noexcept { return order_; }

  // When the next of those that wait has its turn, which may have come; max: none waits, or it has
  // not begun.
  Clock::time_point next_turn() const noexcept;

 private:
  CloseOrder order_;
  bool has_begun_ = false;
  Clock::time_point began_{};
  std::uint32_t total_ = 0;
  std::uint32_t waiting_ = 0;
};

}  // namespace wsbalance::relay
