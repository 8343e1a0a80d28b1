// time_source.h - where a relay loop gets the time from, so that tests can move it.
//
// Layer:    relay.
// Threads:  now() from any thread and in signal handlers.
#pragma once

#include "relay/tunnel_settings.h"

namespace wsbalance::relay {

class TimeSource {
 public:
  virtual ~TimeSource() = default;
  // Never goes back.
  virtual Clock::time_point now() const noexcept = 0;
};

// The system's own.
class SteadyTime : public TimeSource {
 public:
  Clock::time_point now() const noexcept override;
};

}  // namespace wsbalance::relay
