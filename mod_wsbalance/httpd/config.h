// config.h - what the administrator wants: plain values, defaults, and how sections merge.
//
// Layer:    httpd.
// Owns:     nothing; all of it lives in httpd's configuration pools.
// Threads:  written while the configuration is read, read by any thread after that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "httpd/httpd_api.h"

namespace wsbalance::httpd {

struct ModuleState;  // httpd/module_state.h

// Directives for the whole server (main server only).
struct ServerConfig {
  std::optional<unsigned> threads;                      // WSBalanceThreads
  std::optional<std::size_t> buffer_total_bytes_max;    // WSBalanceBufferTotal
  std::optional<std::uint32_t> waiting_handshakes_max;  // WSBalanceMaxHandshakes; 0 is no limit
  std::optional<unsigned> pumped_max;                   // WSBalanceMaxPumped
  ModuleState* state = nullptr;                         // Set in post_config, the same for all.
};

// Directives for server, virtual host, Location, Proxy and If.
struct DirConfig {
  std::optional<bool> enabled;                           // WSBalance
  std::optional<std::size_t> buffer_bytes_max;           // WSBalanceBuffer
  std::optional<apr_interval_time_t> handshake_timeout;  // WSBalanceHandshakeTimeout, microseconds
};

inline constexpr unsigned kThreadsDefault = 1;
inline constexpr std::size_t kBufferTotalDefault = 256u * 1024 * 1024;
inline constexpr std::size_t kBufferDefault = 128u * 1024;
inline constexpr apr_interval_time_t kHandshakeTimeoutDefault = apr_time_from_sec(10);

const ServerConfig& server_config(const server_rec* server);
ServerConfig& mutable_server_config(server_rec* server);
const DirConfig& dir_config(const request_rec* r);
DirConfig merge(const DirConfig& base, const DirConfig& add);

inline bool is_enabled(const request_rec* r) { return dir_config(r).enabled.value_or(true); }

}  // namespace wsbalance::httpd
