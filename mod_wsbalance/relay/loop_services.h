// loop_services.h - what a relay loop lends to its tunnels while it lets them do something.
//
// Layer:    relay.
// Threads:  of one loop only.
#pragma once

#include <cstddef>
#include <span>

#include "relay/tunnel_settings.h"

namespace wsbalance::relay {

class BufferBudget;
class Poller;
class TimerWheel;

struct LoopServices {
  Poller& poller;
  TimerWheel& timers;
  BufferBudget& budget;
  std::span<std::byte> read_buffer;  // One for all: what is in it does not outlive a call.
  Clock::time_point now{};           // Read once per turn.
};

}  // namespace wsbalance::relay
