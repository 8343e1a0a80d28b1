// fake_clock.h - a clock that tests move by hand.
#pragma once

#include "relay/time_source.h"

namespace wsbalance::relay {

class FakeTime : public TimeSource {
 public:
  Clock::time_point now() const noexcept override { return now_; }
  void advance(Clock::duration by) { now_ += by; }

 private:
  Clock::time_point now_{std::chrono::hours(1000)};
};

}  // namespace wsbalance::relay
