// rebalance.h - which members give how many tunnels for the sake of one that has come.
//
// Layer:    balance (pure).
// Threads:  any.
// Errors:   none.
//
// All of it goes by tunnels per weight. A member's fair part is rounded up, so one that has it
// exactly never gives, and what one gives makes no other give: it comes to an end.
#pragma once

#include <cstdint>
#include <span>

namespace wsbalance::balance {

// A member that takes new tunnels.
struct MemberLoad {
  std::uint32_t row = 0;  // Which one it is.
  std::uint32_t tunnels = 0;
  double weight = 1;         // More than 0.
  std::uint32_t closes = 0;  // What plan_step() says.
};

// Has any of them more or less than its fair part, by more than `share` (0.1 is 10 %) of that?
bool is_uneven(std::span<const MemberLoad> loads, double share) noexcept;

// How many tunnels are above the fair parts of those that have them. While clients come back there
// are fewer tunnels than there will be: `total` is how many to reckon with, if there are not more.
std::uint32_t surplus(std::span<const MemberLoad> loads, std::uint32_t total) noexcept;

// A step: each gives at most `share` of its tunnels, but one if it has any to give, and all together
// `most`. Sets `closes` of each, which may change places, and returns the sum.
std::uint32_t plan_step(std::span<MemberLoad> loads, std::uint32_t total, double share,
                        std::uint32_t most) noexcept;

}  // namespace wsbalance::balance
