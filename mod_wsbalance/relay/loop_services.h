// loop_services.h - what a relay loop lends to its tunnels while it lets them do something.
//
// Layer:    relay.
// Threads:  of one loop only.
#pragma once

#include <cstddef>
#include <cstdint>
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
  std::uint64_t random_state = 0;

  // For masking keys, ping tags and jitter: nothing that an attacker gains by guessing
  // (splitmix64).
  std::uint64_t random() noexcept {
    std::uint64_t value = random_state += 0x9e3779b97f4a7c15;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    return value ^ (value >> 31);
  }
};

}  // namespace wsbalance::relay
