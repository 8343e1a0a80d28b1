// two_choices.h - two members at random, the better one: the power of two choices.
//
// Layer:    balance (pure).
// Threads:  any.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "balance/candidate.h"

namespace wsbalance::balance {

// The index of the chosen one; there must be a candidate. Each is drawn as often as its weight says.
std::size_t choose_of_two(std::span<const Candidate> candidates,
                          const std::array<std::uint32_t, 2>& random) noexcept;

}  // namespace wsbalance::balance
