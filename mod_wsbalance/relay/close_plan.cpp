#include "relay/close_plan.h"

#include <algorithm>

namespace wsbalance::relay {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr int kReasonBits = 5;
constexpr int kTimeoutBits = 22;
constexpr int kOverBits = 37;
static_assert(kEndReasons <= std::size_t{1} << kReasonBits);
static_assert(kReasonBits + kTimeoutBits + kOverBits == 64);

constexpr std::uint64_t low_bits(int bits) { return (std::uint64_t{1} << bits) - 1; }

std::uint64_t limited(milliseconds time, int bits) {
  const auto longest = static_cast<milliseconds::rep>(low_bits(bits));
  return static_cast<std::uint64_t>(std::clamp<milliseconds::rep>(time.count(), 0, longest));
}

milliseconds low_time(std::uint64_t packed, int bits) {
  return milliseconds(static_cast<milliseconds::rep>(packed & low_bits(bits)));
}

// `over` * part / whole, rounded up; part <= whole. No product overflows.
nanoseconds share_of(nanoseconds over, std::uint64_t part, std::uint64_t whole) {
  const auto count = static_cast<std::uint64_t>(over.count());
  const std::uint64_t share = count / whole * part + (count % whole * part + whole - 1) / whole;
  return nanoseconds(static_cast<nanoseconds::rep>(share));
}

}  // namespace

std::uint64_t CloseOrder::packed() const noexcept {
  return (limited(over, kOverBits) << kTimeoutBits | limited(close_timeout, kTimeoutBits))
             << kReasonBits |
         static_cast<std::uint64_t>(reason);
}

CloseOrder CloseOrder::unpacked(std::uint64_t packed) noexcept {
  return {.reason = static_cast<EndReason>(packed & low_bits(kReasonBits)),
          .over = low_time(packed >> (kReasonBits + kTimeoutBits), kOverBits),
          .close_timeout = low_time(packed >> kReasonBits, kTimeoutBits)};
}

void ClosePlan::begin(const CloseOrder& order, Clock::time_point now) noexcept {
  order_ = order;
  has_begun_ = true;
  began_ = now;
  total_ = waiting_;
}

Clock::time_point ClosePlan::next_turn() const noexcept {
  if (!has_begun_ || waiting_ == 0) return Clock::time_point::max();
  return began_ + share_of(order_.over, total_ - waiting_ + 1, total_);
}

}  // namespace wsbalance::relay
