// member_order.h - what is to become of a member's tunnels, in all processes that have some: a word
// of its row.
//
// Layer:    httpd (pure: no header of httpd or APR).
// Threads:  values.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "balance/member_state.h"

namespace wsbalance::httpd {

struct MemberOrder {
  balance::Move move = balance::Move::none;
  std::int64_t began_ms = 0;  // CLOCK_MONOTONIC. Two orders of a member never begin at once.
  // Move::some: how many tunnels are still to be closed; processes count it down. For a drain: its
  // time, in tenths of a second.
  std::uint32_t amount = 0;

  static constexpr std::uint32_t kAmountMax = (1u << 22) - 1;  // More than four days.

  std::chrono::milliseconds over() const { return std::chrono::milliseconds(100) * amount; }
  static std::uint32_t amount_of(std::chrono::milliseconds over) {
    return static_cast<std::uint32_t>((over.count() + 99) / 100);
  }

  bool is_same(const MemberOrder& other) const {
    return move == other.move && began_ms == other.began_ms;
  }

  // 0 is no order.
  std::uint64_t packed() const {
    if (move == balance::Move::none) return 0;
    return static_cast<std::uint64_t>(began_ms) << (kMoveBits + kAmountBits) |
           std::uint64_t{std::min(amount, kAmountMax)} << kMoveBits |
           static_cast<std::uint64_t>(move);
  }
  static MemberOrder unpacked(std::uint64_t word) {
    return {.move = static_cast<balance::Move>(word & ((1u << kMoveBits) - 1)),
            .began_ms = static_cast<std::int64_t>(word >> (kMoveBits + kAmountBits)),
            .amount = static_cast<std::uint32_t>(word >> kMoveBits & kAmountMax)};
  }

 private:
  static constexpr int kMoveBits = 3;
  static constexpr int kAmountBits = 22;  // Leaves 39 for the time: 17 years.
};

}  // namespace wsbalance::httpd
