// tunnel_settings.h - what an administrator can set for a tunnel, and how it went.
//
// Layer:    relay.
// Threads:  values, copied freely.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "relay/end_reason.h"

namespace wsbalance::relay {

using Clock = std::chrono::steady_clock;  // Only as a type; RelayLoop is told the time.

struct TunnelSettings {
  // The most that is kept for a side that does not take it, in bytes (WSBalanceBuffer).
  std::size_t buffer_bytes_max = 128 * 1024;
  // After the first end of file: how long without a byte moving before both sides are closed.
  std::chrono::milliseconds close_timeout{5000};
};

// What passed in one direction.
struct DirectionCounts {
  std::uint64_t bytes = 0;
  std::uint64_t frames = 0;
  std::uint64_t messages = 0;
};

struct TunnelSummary {
  EndReason reason = EndReason::none;
  std::uint16_t close_code = 0;  // Of the first close frame; 0 if there was none.
  // A side ended TCP without a close_notify of TLS and without a close frame: what it sent may have
  // been cut short by anybody on the way.
  bool is_truncated = false;
  std::chrono::milliseconds duration{0};
  DirectionCounts to_member;
  DirectionCounts to_client;
};

}  // namespace wsbalance::relay
