#include "relay/rate_limit.h"

namespace wsbalance::relay {

Clock::time_point RateLimit::ready_at(const RateSettings& settings) const noexcept {
  constexpr auto kLongAgo = Clock::time_point::min();
  constexpr auto kEndOfTime = Clock::time_point::max();
  if (settings.per_second == 0) return kLongAgo;
  const Parts per_tick = settings.per_second;
  const Parts ready = earned_at_ - parts_of(burst_of(settings) - 1);
  if (ready <= kLongAgo.time_since_epoch().count() * per_tick) return kLongAgo;
  if (ready >= kEndOfTime.time_since_epoch().count() * per_tick) return kEndOfTime;
  // The first whole tick that is not before it.
  const Parts ticks = ready / per_tick + (ready % per_tick > 0 ? 1 : 0);
  return Clock::time_point(Clock::duration(static_cast<Clock::rep>(ticks)));
}

}  // namespace wsbalance::relay
