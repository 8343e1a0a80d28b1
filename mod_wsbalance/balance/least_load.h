// least_load.h - the member with the least to do for its weight; equals in turn.
//
// Layer:    balance (pure).
// Threads:  any.
#pragma once

#include <cstddef>
#include <span>

#include "balance/candidate.h"

namespace wsbalance::balance {

// The index of the chosen one; there must be a candidate. Among equals whose turn it is, as often as
// their weights say: `turn` of each of them changes by what adds up to 0, so that it stays small
// whatever is chosen, and who chooses next begins from there.
std::size_t choose_least(std::span<Candidate> candidates) noexcept;

}  // namespace wsbalance::balance
