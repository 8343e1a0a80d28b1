// member_state.h - what can be seen of a member, and what is to become of its tunnels then.
//
// Layer:    balance (pure).
// Threads:  any.
// Errors:   none.
#pragma once

#include <chrono>
#include <cstdint>

namespace wsbalance::balance {

// What an administrator lets a member do.
enum class Duty : std::uint8_t {
  full,
  draining,  // It takes only clients that belong to it.
  none,      // Disabled, stopped, or not configured any more.
};

struct MemberState {
  bool is_down = false;  // Nobody may ask it, because it failed.
  Duty duty = Duty::full;

  bool takes_all() const noexcept { return !is_down && duty == Duty::full; }
  bool operator==(const MemberState&) const = default;

  // For a word of shared memory. Never 0, which is: never seen.
  std::uint32_t packed() const noexcept;
  static MemberState unpacked(std::uint32_t word) noexcept;
};

// Which tunnels of a member are closed so that their clients connect again. Those that end a state
// of the member stand as long as that lasts.
enum class Move : std::uint8_t {
  none,
  down,           // All that there were when it went down, at once.
  drain_earlier,  // All that there were when the drain began, spread over a time: clients that
                  // belong to the member come back to it, and stay then.
  drain,          // All, spread over a time. It takes no others.
  some,           // So many, for the sake of another member.
};

// WSBalanceOnMemberDown and WSBalanceOnDrain.
struct MoveWishes {
  bool closes_when_down = false;
  bool closes_at_drain = false;
};

// What the state asks for: anything but `some`.
Move move_for(const MemberState& state, const MoveWishes& wishes) noexcept;

// How many of `total` tunnels are to be closed `elapsed` after the begin, spread evenly over `over`.
std::uint32_t due_by(std::uint32_t total, std::chrono::milliseconds elapsed,
                     std::chrono::milliseconds over) noexcept;

}  // namespace wsbalance::balance
