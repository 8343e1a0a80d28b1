// candidate.h - a member that a method may choose, as far as the choice goes.
//
// Layer:    balance (pure).
// Threads:  any.
#pragma once

#include <cstdint>
#include <string_view>

namespace wsbalance::balance {

struct Candidate {
  std::string_view name;     // The same on all machines: where the member is reached.
  std::uint64_t load = 0;    // What it has to do, below 2^32.
  std::uint32_t weight = 1;  // From 1 to kWeightMax.
  std::int32_t turn = 0;     // Whose turn it is among equals (least_load.h).
};

inline constexpr std::uint32_t kWeightMax = 1u << 16;

// `part`: of its share that it is to have now (slow_start.h).
std::uint32_t weight_of(int loadfactor, double part) noexcept;

// Has `a` less to do for its weight?
constexpr bool has_less(const Candidate& a, const Candidate& b) noexcept {
  return a.load * b.weight < b.load * a.weight;
}

}  // namespace wsbalance::balance
