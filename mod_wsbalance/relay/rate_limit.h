// rate_limit.h - so much in a second, and not more at once.
//
// Layer:    relay (pure: the time is always an argument).
// Threads:  one at a time.
// Errors:   none.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "relay/tunnel_settings.h"

namespace wsbalance::relay {

// The generic cell rate algorithm (ITU-T I.371): one point in time, the moment at which all that
// was taken will have been earned. It is exact: no rate drifts, however small the parts.
//
// As a bucket: it holds `burst` units (0 is as 1) when at rest, and earns `per_second` up to that.
// All calls of one object have the same settings.
class RateLimit {
 public:
  // Takes `count` units at `now`. True if the bucket is not overdrawn then; always without a
  // limit. They are taken in any case: what is too much has to be waited for.
  bool take(std::uint64_t count, const RateSettings& settings, Clock::time_point now) noexcept {
    if (settings.per_second == 0) return true;
    const Parts now_parts = Parts{now.time_since_epoch().count()} * settings.per_second;
    if (earned_at_ < now_parts) earned_at_ = now_parts;
    earned_at_ += parts_of(count);
    return earned_at_ <= now_parts + parts_of(burst_of(settings));
  }

  // The earliest moment at which take(1) is true: the bucket holds a whole unit again. That is
  // past if it does already, and Clock::time_point::min() without a limit.
  Clock::time_point ready_at(const RateSettings& settings) const noexcept;

 private:
  // Of time, per_second of them make a tick of the clock: so nothing here has to be divided, which
  // is dear, nor rounded. No time, burst or sum of counts that there can be overflows.
  // Aligned as all else, or a tunnel would need more memory.
  __extension__ typedef __int128 Parts __attribute__((aligned(8)));

  static constexpr std::uint32_t kTicksInSecond = Clock::duration(std::chrono::seconds(1)).count();

  static Parts parts_of(std::uint64_t count) { return Parts{count} * kTicksInSecond; }
  static std::uint32_t burst_of(const RateSettings& settings) {
    return std::max(settings.burst, 1u);
  }

  Parts earned_at_ = -(Parts{1} << 100);  // Before any time.
};

}  // namespace wsbalance::relay
