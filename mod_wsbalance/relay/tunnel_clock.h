// tunnel_clock.h - what a tunnel's timers say: who has been silent for how long, and what is due.
//
// Layer:    relay (pure: the time is always an argument).
// Threads:  one at a time.
// Errors:   none.
//
// A message costs one or two stores: nothing is computed until a deadline may have come. Of a side
// that is not read nobody knows whether it speaks, so its clocks stand still then.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "relay/side.h"
#include "relay/tunnel_settings.h"

namespace wsbalance::relay {

class TunnelClock {
 public:
  enum class Due : std::uint8_t {
    nothing,
    ping_client,  // It has been silent for TunnelTimes::ping_interval. Call pinged() when one went.
    ping_member,
    client_silent,  // For ping_timeout since its ping: it is dead.
    member_silent,
    idle,       // No byte came from either side for TunnelTimes::idle.
    data_idle,  // No byte of data did for TunnelTimes::data_idle.
    lifetime,
  };

  // The tunnel begins. `jitter` from 0 (none) to 65535: which share of TunnelTimes::lifetime_jitter
  // is taken off its lifetime.
  void begin(const TunnelTimes& times, std::uint16_t jitter, Clock::time_point now) noexcept;

  // Bytes came from `side`; some of them were data, not control frames.
  void heard(Side side, Clock::time_point now) noexcept {
    SideClock& clock = of(side);
    clock.heard = now;
    clock.pinged = kNone;
  }
  void heard_data(Clock::time_point now) noexcept { data_ = now; }

  // `side` is not read from now on; is read again. Repeated calls change nothing. Neither idle nor
  // data_idle comes while a side is paused, nor a ping or the end of a side that is.
  void pause(Side side, Clock::time_point now) noexcept;
  void resume(Side side, Clock::time_point now) noexcept;

  // A ping to `side` went out: it answers within ping_timeout with any byte, or it is dead. One
  // that follows an unanswered one gives no more time.
  void pinged(Side side, Clock::time_point now) noexcept;

  // The most urgent thing that is due, an end before a ping. A ping stays due until pinged() or
  // heard().
  Due due(const TunnelTimes& times, Clock::time_point now) const noexcept;

  // Whether due() names an end.
  bool is_end_due(const TunnelTimes& times, Clock::time_point now) const noexcept;

  // Whether a ping to `side` is due. due() names one of two; the other may be sent where that one
  // cannot.
  bool is_ping_due(Side side, const TunnelTimes& times, Clock::time_point now) const noexcept;

  // Max: never.
  Clock::time_point lifetime_end() const noexcept { return lifetime_end_; }

  // When due() may have something to say that it does not have at `now`; Clock::time_point::max()
  // if never. What is due already does not count: an end is for due() to tell first, and a ping
  // is tried again by the caller. It may be earlier than before after pinged(), after the heard()
  // that answers it, and after resume(), by which something may be due at once; no other call
  // makes it earlier.
  Clock::time_point next(const TunnelTimes& times, Clock::time_point now) const noexcept;

 private:
  static constexpr Clock::time_point kNone = Clock::time_point::min();

  struct SideClock {
    bool is_paused() const noexcept { return paused_since != kNone; }

    Clock::time_point heard{};         // Or when the tunnel began. Moved on by each pause.
    Clock::time_point pinged = kNone;  // kNone: no ping waits for an answer. Moved on likewise.
    Clock::time_point paused_since = kNone;  // kNone: it is read.
  };

  struct Deadline {
    Due what;
    Clock::time_point at;  // Max: never.
  };

  SideClock& of(Side side) noexcept { return sides_[static_cast<std::size_t>(side)]; }
  const SideClock& of(Side side) const noexcept { return sides_[static_cast<std::size_t>(side)]; }

  Clock::time_point ping_at(Side side, const TunnelTimes& times) const noexcept;
  Clock::time_point silent_at(Side side, const TunnelTimes& times) const noexcept;
  Clock::time_point data_idle_at(const TunnelTimes& times) const noexcept;
  Clock::time_point idle_at(const TunnelTimes& times) const noexcept;
  bool is_any_paused() const noexcept;
  std::array<Deadline, 7> deadlines(const TunnelTimes& times) const noexcept;

  std::array<SideClock, 2> sides_;
  Clock::time_point data_{};  // When data last came. Moved on by the time with any side paused.
  Clock::time_point lifetime_end_ = Clock::time_point::max();
};

}  // namespace wsbalance::relay
