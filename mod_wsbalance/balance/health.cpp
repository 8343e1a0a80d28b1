#include "balance/health.h"

#include <algorithm>
#include <cassert>

namespace wsbalance::balance {
namespace {

using std::chrono::milliseconds;

constexpr std::uint32_t kChecked = 1u << 16;
constexpr std::uint32_t kDown = 1u << 17;

// For a process that has little of the processor.
constexpr milliseconds kClaimGrace{1000};

}  // namespace

std::uint32_t Health::pack() const {
  return std::uint32_t{against} | (is_checked ? kChecked : 0) | (is_down ? kDown : 0);
}

Health Health::unpack(std::uint32_t word) {
  return {.is_checked = (word & kChecked) != 0,
          .is_down = (word & kDown) != 0,
          .against = static_cast<std::uint16_t>(word & 0xffff)};
}

HealthChange take_check(Health& health, bool was_good, const HealthRule& rule) {
  health.is_checked = true;
  if (was_good != health.is_down) {
    health.against = 0;
    return HealthChange::none;
  }
  // A reload may have brought a smaller number than what has come already.
  const std::uint16_t enough = health.is_down ? rule.rise : rule.fall;
  if (health.against + 1 < enough) {
    ++health.against;
    return HealthChange::none;
  }
  health.against = 0;
  health.is_down = !health.is_down;
  return health.is_down ? HealthChange::went_down : HealthChange::came_back;
}

milliseconds claim_for(const CheckTimes& times) { return times.timeout + kClaimGrace; }

milliseconds due_at(milliseconds due, milliseconds now, const CheckTimes& times, std::size_t index,
                    std::size_t count) {
  assert(index < count);
  if (due.count() != 0 && due <= now + std::max(times.interval, claim_for(times))) return due;
  return now + times.interval * static_cast<std::int64_t>(index) / static_cast<std::int64_t>(count);
}

milliseconds due_after(milliseconds began, milliseconds now, const CheckTimes& times) {
  return std::max(began + times.interval, now);
}

}  // namespace wsbalance::balance
