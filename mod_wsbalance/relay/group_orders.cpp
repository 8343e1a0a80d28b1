#include "relay/group_orders.h"

#include <algorithm>

namespace wsbalance::relay {
namespace {

// From the lowest bit: the count, the reason, and the time in milliseconds. Taking one is
// subtracting 1.
constexpr int kCountBits = 20;
constexpr int kReasonBits = 5;
constexpr int kTimeBits = 39;
static_assert(kCountBits + kReasonBits + kTimeBits == 64);
static_assert(kEndReasons <= std::size_t{1} << kReasonBits);

constexpr std::uint64_t low_bits(int bits) { return (std::uint64_t{1} << bits) - 1; }
static_assert(GroupOrder::kAll == low_bits(kCountBits));

// Of the clock; beyond 17 years: never.
std::uint64_t ms_of(Clock::time_point time) {
  constexpr auto kNever = static_cast<std::int64_t>(low_bits(kTimeBits));
  const auto ms = std::chrono::floor<std::chrono::milliseconds>(time.time_since_epoch()).count();
  return static_cast<std::uint64_t>(std::clamp<std::int64_t>(ms, 0, kNever));
}

std::uint32_t count_of(std::uint64_t word) {
  return static_cast<std::uint32_t>(word & low_bits(kCountBits));
}

}  // namespace

void GroupOrders::give(std::size_t group, const GroupOrder& order) noexcept {
  if (group >= groups_) return;
  const std::uint64_t count = std::min(order.count, GroupOrder::kAll);
  const std::uint64_t word =
      (ms_of(order.before) << kReasonBits | static_cast<std::uint64_t>(order.reason)) << kCountBits;
  words_[group].store(word | count, std::memory_order_relaxed);
}

std::uint32_t GroupOrders::take_back(std::size_t group) noexcept {
  return group < groups_ ? count_of(words_[group].exchange(0, std::memory_order_relaxed)) : 0;
}

std::optional<EndReason> GroupOrders::take(std::size_t group, Clock::time_point began) noexcept {
  if (group >= groups_) return std::nullopt;
  std::uint64_t word = words_[group].load(std::memory_order_relaxed);
  do {
    const std::uint64_t before = word >> (kCountBits + kReasonBits);
    const bool is_meant = before == low_bits(kTimeBits) || ms_of(began) < before;
    if (count_of(word) == 0 || !is_meant) return std::nullopt;
  } while (!words_[group].compare_exchange_weak(word, word - 1, std::memory_order_relaxed));
  return static_cast<EndReason>(word >> kCountBits & low_bits(kReasonBits));
}

}  // namespace wsbalance::relay
