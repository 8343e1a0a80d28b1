// server_limits.h - limits of the whole server that follow from the MPM where they are not set.
//
// Layer:    httpd.
// Threads:  any, once the configuration has been read.
#pragma once

#include <cstdint>

#include "httpd/config.h"

namespace wsbalance::httpd {

// WSBalanceMaxHandshakes, else half of all workers, so that the other half is there for requests
// that no member holds up. 0 is no limit.
std::uint32_t waiting_handshakes_max(const ServerConfig& config);

// WSBalanceMaxPumped. A tunnel over HTTP/2 holds one of mod_http2's own threads, any other pumped one
// a worker: some of them must be left for requests.
struct PumpLimits {
  unsigned workers = 0;
  unsigned http2 = 0;
};
inline constexpr int kHttp2WorkersLeft = 2;
PumpLimits pump_limits(server_rec* server);

// WSBalanceMaxCarriers, else twice as many as there may be children, but no fewer than this.
inline constexpr unsigned kCarriersDefaultMin = 64;
unsigned carriers_max(const ServerConfig& config);

}  // namespace wsbalance::httpd
