// health_config.h - what an administrator wants of a balancer's health: values.
//
// Layer:    httpd.
// Owns:     nothing; text lives in httpd's configuration pool.
// Threads:  written while the configuration is read, read by any thread after that.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "balance/ejection.h"
#include "balance/health.h"

namespace wsbalance::httpd {

enum class CheckMethod : std::uint8_t {
  tcp,      // A connection.
  upgrade,  // A whole handshake, and a close frame.
  ping,     // A ping besides, that is answered.
};

// WSBalanceHealthCheck, a line of it.
struct HealthConfig {
  bool is_on = true;
  CheckMethod method = CheckMethod::upgrade;
  balance::HealthRule rule;
  balance::CheckTimes times{.interval = std::chrono::seconds(10),
                            .timeout = std::chrono::seconds(2)};
  const char* path = "/";
  const char* host = nullptr;         // Null: the member's own.
  const char* origin = nullptr;       // Null: no such field. As for the next one.
  const char* subprotocol = nullptr;  // One, or a list.
  std::vector<int> expected{101};     // Statuses that are good.
};

}  // namespace wsbalance::httpd
