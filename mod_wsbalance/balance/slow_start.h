// slow_start.h - how much of its share a member gets that has just come back.
//
// Layer:    balance (pure).
// Threads:  any.
#pragma once

#include <chrono>

namespace wsbalance::balance {

// The part of its loadfactor that counts `up_for` after its return: grows evenly until `ramp` is
// over, from one hundredth, so that it is tried at all. 1 with a ramp of 0.
double slow_start_part(std::chrono::milliseconds up_for, std::chrono::milliseconds ramp) noexcept;

}  // namespace wsbalance::balance
