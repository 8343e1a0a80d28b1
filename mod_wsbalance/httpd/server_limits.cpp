#include "httpd/server_limits.h"

#include <algorithm>

#include "httpd/queries.h"

namespace wsbalance::httpd {

std::uint32_t waiting_handshakes_max(const ServerConfig& config) {
  const int workers = ask_mpm(AP_MPMQ_MAX_DAEMONS) * std::max(1, ask_mpm(AP_MPMQ_MAX_THREADS));
  return config.waiting_handshakes_max.value_or(
      static_cast<std::uint32_t>(std::max(1, workers / 2)));
}

PumpLimits pump_limits(server_rec* server) {
  const auto& configured = server_config(server).pumped_max;
  if (configured) return {.workers = *configured, .http2 = *configured};
  const unsigned threads = static_cast<unsigned>(std::max(1, ask_mpm(AP_MPMQ_MAX_THREADS)));
  PumpLimits limits{.workers = std::max(1u, threads / 2), .http2 = std::max(1u, threads / 2)};
  int low = 0;
  int high = 0;
  if (const auto get_workers = APR_RETRIEVE_OPTIONAL_FN(http2_get_num_workers)) {
    get_workers(server, &low, &high);
  }
  if (high > 0) limits.http2 = static_cast<unsigned>(std::max(1, high - kHttp2WorkersLeft));
  return limits;
}

unsigned carriers_max(const ServerConfig& config) {
  const auto children = static_cast<unsigned>(std::max(1, ask_mpm(AP_MPMQ_HARD_LIMIT_DAEMONS)));
  return config.carriers_max.value_or(std::max(kCarriersDefaultMin, 2 * children));
}

}  // namespace wsbalance::httpd
