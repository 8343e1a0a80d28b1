// config.h - what the administrator wants: plain values, defaults, and how sections merge.
//
// Layer:    httpd.
// Owns:     nothing; all of it lives in httpd's configuration pools.
// Threads:  written while the configuration is read, read by any thread after that.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "httpd/httpd_api.h"
#include "protocol/frame_rules.h"
#include "relay/tunnel_settings.h"

namespace wsbalance::httpd {

class ExplicitParameters;  // httpd/explicit_parameters.h
struct BalancerConfig;     // httpd/balancer_config.h
struct ModuleState;        // httpd/module_state.h
struct TunnelLog;          // httpd/tunnel_log.h

// Directives for the whole server (main server only, but for the tunnel log).
struct ServerConfig {
  unsigned threads = 1;                                     // WSBalanceThreads
  std::size_t buffer_total_bytes_max = 256u * 1024 * 1024;  // WSBalanceBufferTotal
  std::chrono::milliseconds drain_timeout{0};               // WSBalanceDrainTimeout; 0 is off
  // What follows from the MPM where it is not set: server_limits.h.
  std::optional<std::uint32_t> waiting_handshakes_max;  // WSBalanceMaxHandshakes; 0 is no limit
  std::optional<unsigned> pumped_max;                   // WSBalanceMaxPumped
  std::optional<unsigned> carriers_max;                 // WSBalanceMaxCarriers; 0: none at all
  TunnelLog* tunnel_log = nullptr;                      // WSBalanceLog; a virtual host's own wins.
  BalancerConfig* balancers = nullptr;                  // Of this server's own sections.
  const BalancerConfig* inherited_balancers = nullptr;  // Of the main server's, in a virtual host.
  const ExplicitParameters* parameters = nullptr;       // Set in post_config of the main server.
  ModuleState* state = nullptr;                         // Set in post_config, the same for all.
};

// WSBalancePing, a line of it.
struct PingConfig {
  std::array<std::chrono::milliseconds, 2> interval{};  // Of each relay::Side; 0: no pings to it.
  std::chrono::milliseconds timeout = relay::TunnelTimes{}.ping_timeout;
};

// WSBalanceLifetime, a line of it.
struct LifetimeConfig {
  std::chrono::milliseconds time{0};
  std::uint8_t jitter_percent = 0;
};

// What ends a tunnel because of time; a time of 0 is "off".
struct TimeConfig {
  std::optional<std::chrono::milliseconds> idle;           // WSBalanceIdleTimeout
  std::optional<std::chrono::milliseconds> data_idle;      // WSBalanceDataTimeout
  std::optional<PingConfig> ping;                          // WSBalancePing
  std::optional<LifetimeConfig> lifetime;                  // WSBalanceLifetime
  std::optional<std::chrono::milliseconds> close_timeout;  // WSBalanceCloseTimeout
  std::optional<relay::KeepAliveSettings> keep_alive;      // WSBalanceKeepAlive
};

// How frames are looked at.
struct FrameConfig {
  std::array<std::optional<protocol::Strictness>, 2> strictness;  // WSBalanceFrames, of each Side
  std::optional<std::uint64_t> frame_bytes_max;                   // WSBalanceMaxFrame; 0: no limit
  std::optional<std::uint64_t> message_bytes_max;                 // WSBalanceMaxMessage
};

// What a client may send in a second.
struct RateConfig {
  std::optional<relay::RateSettings> messages;  // WSBalanceMessageRate
  std::optional<relay::RateSettings> bytes;     // WSBalanceByteRate
};

// Directives for server, virtual host, Location, Proxy and If.
struct DirConfig {
  std::optional<bool> enabled;                           // WSBalance
  std::optional<std::size_t> buffer_bytes_max;           // WSBalanceBuffer
  std::optional<apr_interval_time_t> handshake_timeout;  // WSBalanceHandshakeTimeout, microseconds
  TimeConfig times;
  FrameConfig frames;
  RateConfig rates;
};

inline constexpr unsigned kCarriersMax = 10'000;
inline constexpr apr_interval_time_t kHandshakeTimeoutDefault = apr_time_from_sec(10);

const ServerConfig& server_config(const server_rec* server);
ServerConfig& mutable_server_config(server_rec* server);
const DirConfig& dir_config(const request_rec* r);
ServerConfig merge(const ServerConfig& base, const ServerConfig& add);
DirConfig merge(const DirConfig& base, const DirConfig& add);

inline bool is_enabled(const DirConfig& config) { return config.enabled.value_or(true); }
inline bool is_enabled(const request_rec* r) { return is_enabled(dir_config(r)); }

}  // namespace wsbalance::httpd
