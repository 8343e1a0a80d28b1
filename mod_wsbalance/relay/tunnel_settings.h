// tunnel_settings.h - what an administrator can set for a tunnel, and how it went.
//
// Layer:    relay.
// Threads:  values, copied freely.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "protocol/frame_rules.h"
#include "relay/end_reason.h"
#include "relay/side.h"

namespace wsbalance::relay {

using Clock = std::chrono::steady_clock;  // Only as a type; RelayLoop is told the time.

// So much in a second; in an instant no more than the burst.
struct RateSettings {
  std::uint32_t per_second = 0;  // 0: no limit.
  std::uint32_t burst = 0;
  bool closes = false;  // What to do above it: close with 1008, or read no more for a while.

  bool operator==(const RateSettings&) const = default;
};

// Zero: that timer is off.
struct TunnelTimes {
  std::chrono::milliseconds idle{0};                         // WSBalanceIdleTimeout
  std::chrono::milliseconds data_idle{0};                    // WSBalanceDataTimeout
  std::array<std::chrono::milliseconds, 2> ping_interval{};  // WSBalancePing, of each Side
  std::chrono::milliseconds ping_timeout{10'000};
  std::chrono::milliseconds lifetime{0};  // WSBalanceLifetime
  std::uint8_t lifetime_jitter = 0;       // The most that is taken off it, in percent.

  bool operator==(const TunnelTimes&) const = default;
};

// Of TCP; zero seconds of idleness: off (WSBalanceKeepAlive).
struct KeepAliveSettings {
  std::uint16_t idle_seconds = 60;
  std::uint16_t interval_seconds = 10;
  std::uint8_t probes = 6;

  // When an end is given up that does not acknowledge what was sent to it (TCP_USER_TIMEOUT).
  std::uint32_t give_up_seconds() const {
    return idle_seconds + std::uint32_t{interval_seconds} * probes;
  }

  bool operator==(const KeepAliveSettings&) const = default;
};

using FrameSettings = std::array<protocol::FrameRules, 2>;

struct TunnelSettings {
  // The most that is kept for a side that does not take it, in bytes (WSBalanceBuffer).
  std::size_t buffer_bytes_max = 128 * 1024;
  // How long an end may take (WSBalanceCloseTimeout): for a close frame to be answered, and for
  // each byte to move after the first end of file.
  std::chrono::milliseconds close_timeout{5000};
  TunnelTimes times;
  KeepAliveSettings keep_alive;
  // Of what comes from each Side (WSBalanceFrames, WSBalanceMaxFrame, WSBalanceMaxMessage).
  FrameSettings frames{
      protocol::FrameRules{.strictness = protocol::Strictness::strict, .is_masked = true},
      protocol::FrameRules{}};
  // Of what the client sends (WSBalanceMessageRate, WSBalanceByteRate).
  RateSettings message_rate;
  RateSettings byte_rate;

  bool operator==(const TunnelSettings&) const = default;
};

// What passed in one direction.
struct DirectionCounts {
  std::uint64_t bytes = 0;
  std::uint64_t frames = 0;
  std::uint64_t messages = 0;
  std::uint32_t throttled = 0;     // How often a limit made it wait.
  std::uint32_t violations = 0;    // Frames that broke a rule.
  std::uint16_t broken_rules = 0;  // By protocol::rule_bit().
};

// Who sent the first close frame.
enum class Closer : std::uint8_t { none, client, member, proxy };

struct TunnelSummary {
  EndReason reason = EndReason::none;
  Closer closer = Closer::none;
  std::uint16_t close_code = 0;  // Of the first close frame; 0 if there was none.
  // A side ended TCP without a close_notify of TLS and without a close frame: what it sent may have
  // been cut short by anybody on the way.
  bool is_truncated = false;
  bool is_short = false;  // Its end began in its first second.
  std::chrono::milliseconds duration{0};
  std::array<std::uint32_t, 2> pings{};  // Of ours, sent to each Side.
  DirectionCounts to_member;
  DirectionCounts to_client;
};

}  // namespace wsbalance::relay
