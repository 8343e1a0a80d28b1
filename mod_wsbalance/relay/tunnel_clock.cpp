#include "relay/tunnel_clock.h"

#include <algorithm>
#include <utility>

namespace wsbalance::relay {
namespace {

using std::chrono::milliseconds;

constexpr auto kNever = Clock::time_point::max();

// Never if `timer` is off or beyond all that a time can say.
Clock::time_point deadline_after(Clock::time_point begin, milliseconds timer) {
  constexpr auto kLongest = std::chrono::duration_cast<milliseconds>(Clock::duration::max());
  if (timer <= milliseconds::zero() || timer > kLongest) return kNever;
  return begin > kNever - timer ? kNever : begin + timer;
}

bool has_come(Clock::time_point deadline, Clock::time_point now) {
  return deadline <= now && deadline != kNever;
}

// Where `mark` has to stand after a pause, so that the pause adds nothing to the time since then.
Clock::time_point moved_on(Clock::time_point mark, Clock::time_point paused,
                           Clock::time_point resumed) {
  const Clock::time_point stopped = std::max(mark, paused);
  return resumed > stopped ? mark + (resumed - stopped) : mark;
}

// What is left of a lifetime. No product overflows.
milliseconds jittered(milliseconds lifetime, std::uint8_t percent_max, std::uint16_t jitter) {
  constexpr std::int64_t kWhole = 100 * 65535;
  const std::int64_t share = std::int64_t{std::min<std::uint8_t>(percent_max, 100)} * jitter;
  return lifetime - (lifetime / kWhole * share + lifetime % kWhole * share / kWhole);
}

}  // namespace

void TunnelClock::begin(const TunnelTimes& times, std::uint16_t jitter,
                        Clock::time_point now) noexcept {
  sides_.fill(SideClock{.heard = now});
  data_ = now;
  lifetime_end_ = kNever;
  if (times.lifetime > milliseconds::zero()) {
    const milliseconds left = jittered(times.lifetime, times.lifetime_jitter, jitter);
    // All of it may be taken off; that is not the zero of a timer that is off.
    lifetime_end_ = left == milliseconds::zero() ? now : deadline_after(now, left);
  }
}

void TunnelClock::pause(Side side, Clock::time_point now) noexcept {
  if (!of(side).is_paused()) of(side).paused_since = now;
}

void TunnelClock::resume(Side side, Clock::time_point now) noexcept {
  SideClock& clock = of(side);
  if (!clock.is_paused()) return;
  const Clock::time_point paused = std::exchange(clock.paused_since, kNone);
  clock.heard = moved_on(clock.heard, paused, now);
  if (clock.pinged != kNone) clock.pinged = moved_on(clock.pinged, paused, now);

  // What both pauses share counts once: with the pause of the other side, when that ends.
  const SideClock& other_clock = of(other(side));
  data_ = moved_on(data_, paused, other_clock.is_paused() ? other_clock.paused_since : now);
}

void TunnelClock::pinged(Side side, Clock::time_point now) noexcept {
  if (of(side).pinged == kNone) of(side).pinged = now;
}

TunnelClock::Due TunnelClock::due(const TunnelTimes& times, Clock::time_point now) const noexcept {
  for (const Deadline& deadline : deadlines(times)) {
    if (has_come(deadline.at, now)) return deadline.what;
  }
  return Due::nothing;
}

bool TunnelClock::is_end_due(const TunnelTimes& times, Clock::time_point now) const noexcept {
  const Due what = due(times, now);
  return what != Due::nothing && what != Due::ping_client && what != Due::ping_member;
}

bool TunnelClock::is_ping_due(Side side, const TunnelTimes& times,
                              Clock::time_point now) const noexcept {
  return has_come(ping_at(side, times), now);
}

Clock::time_point TunnelClock::next(const TunnelTimes& times,
                                    Clock::time_point now) const noexcept {
  Clock::time_point earliest = kNever;
  for (const Deadline& deadline : deadlines(times)) {
    if (deadline.at > now) earliest = std::min(earliest, deadline.at);
  }
  return earliest;
}

Clock::time_point TunnelClock::ping_at(Side side, const TunnelTimes& times) const noexcept {
  const SideClock& clock = of(side);
  if (clock.is_paused() || clock.pinged != kNone) return kNever;
  return deadline_after(clock.heard, times.ping_interval[static_cast<std::size_t>(side)]);
}

Clock::time_point TunnelClock::silent_at(Side side, const TunnelTimes& times) const noexcept {
  const SideClock& clock = of(side);
  if (clock.is_paused() || clock.pinged == kNone) return kNever;
  return deadline_after(clock.pinged, times.ping_timeout);
}

Clock::time_point TunnelClock::data_idle_at(const TunnelTimes& times) const noexcept {
  return is_any_paused() ? kNever : deadline_after(data_, times.data_idle);
}

Clock::time_point TunnelClock::idle_at(const TunnelTimes& times) const noexcept {
  if (is_any_paused()) return kNever;
  return deadline_after(std::max(of(Side::client).heard, of(Side::member).heard), times.idle);
}

bool TunnelClock::is_any_paused() const noexcept {
  return of(Side::client).is_paused() || of(Side::member).is_paused();
}

// The most urgent first.
std::array<TunnelClock::Deadline, 7> TunnelClock::deadlines(
    const TunnelTimes& times) const noexcept {
  return {{
      {Due::client_silent, silent_at(Side::client, times)},
      {Due::member_silent, silent_at(Side::member, times)},
      {Due::lifetime, lifetime_end_},
      {Due::data_idle, data_idle_at(times)},
      {Due::idle, idle_at(times)},
      {Due::ping_client, ping_at(Side::client, times)},
      {Due::ping_member, ping_at(Side::member, times)},
  }};
}

}  // namespace wsbalance::relay
