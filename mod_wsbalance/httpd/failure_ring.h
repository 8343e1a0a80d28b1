// failure_ring.h - the last failures of a member, in shared memory.
//
// Layer:    httpd (pure: no header of httpd or APR).
// Threads:  any thread of any process, without a lock. All zero is empty.
// Errors:   none; when it is full the oldest is overwritten.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "balance/ejection.h"

namespace wsbalance::httpd {

class FailureRing {
 public:
  using List = std::array<balance::Failure, balance::kFailuresMax>;

  // Of `client` the lower 24 bits count.
  void add(std::chrono::milliseconds at, std::uint32_t client) noexcept {
    const std::uint32_t place = next_.fetch_add(1, std::memory_order_relaxed);
    words_[place % words_.size()].store(
        static_cast<std::uint64_t>(at.count()) << kClientBits | (client & kClientMask),
        std::memory_order_relaxed);
  }

  // Copies all there are to the begin of `list`; returns how many.
  std::size_t read(List& list) const noexcept {
    std::size_t count = 0;
    for (const std::atomic<std::uint64_t>& place : words_) {
      const std::uint64_t word = place.load(std::memory_order_relaxed);
      if (word == 0) continue;
      list[count++] = {std::chrono::milliseconds(word >> kClientBits),
                       static_cast<std::uint32_t>(word & kClientMask)};
    }
    return count;
  }

  void clear() noexcept {
    for (std::atomic<std::uint64_t>& word : words_) word.store(0, std::memory_order_relaxed);
  }

 private:
  static constexpr int kClientBits = 24;
  static constexpr std::uint64_t kClientMask = (1u << kClientBits) - 1;

  // One word each, so that nobody sees the time of one failure with the client of another.
  std::array<std::atomic<std::uint64_t>, balance::kFailuresMax> words_{};
  std::atomic<std::uint32_t> next_{0};
};

}  // namespace wsbalance::httpd
