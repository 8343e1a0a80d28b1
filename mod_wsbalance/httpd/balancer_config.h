// balancer_config.h - what an administrator wants of a balancer: the directives that stand directly
// in <Proxy balancer://name>.
//
// Layer:    httpd.
// Owns:     nothing; all of it lives in httpd's configuration pools.
// Threads:  written while the configuration is read, read by any thread after that.
// Errors:   balancer_section(): null, and `error` has the sentence that httpd prints.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "balance/tries.h"
#include "httpd/health_config.h"
#include "httpd/httpd_api.h"
#include "httpd/sticky_config.h"

namespace wsbalance::httpd {

// When tunnels of members are closed so that their clients connect again.
struct MoveConfig {
  bool closes_when_down = false;                     // WSBalanceOnMemberDown
  std::optional<std::chrono::milliseconds> drain{};  // WSBalanceOnDrain; none: they are kept
  unsigned rebalance_percent = 0;                    // WSBalanceRebalance; 0: off
  std::chrono::milliseconds rebalance_every{0};
};

// One of a server and a balancer. Several sections of the same name in a server are one.
struct BalancerConfig {
  const char* name = nullptr;  // As proxy_balancer_shared has it: "balancer://name".
  BalancerConfig* next = nullptr;

  std::chrono::milliseconds slow_start{0};     // WSBalanceSlowStart; 0: off
  std::optional<StickyConfig> sticky;          // WSBalanceSticky
  const ap_expr_info_t* hash_key = nullptr;    // WSBalanceHashKey; null: the
  const char* hash_key_text = nullptr;         // client's address
  std::optional<unsigned> hash_bound_percent;  // WSBalanceHashBound; none: off
  balance::StatusList retry_on = balance::default_retry_statuses();  // WSBalanceRetryOn
  std::optional<balance::TryLimits> tries;                           // WSBalanceTries
  std::uint32_t tunnels_per_member_max = 0;                    // WSBalanceMaxPerMember; 0: any
  std::optional<HealthConfig> health;                          // WSBalanceHealthCheck
  std::optional<balance::EjectRule> eject;                     // WSBalanceEject
  unsigned eject_percent_max = balance::kEjectPercentDefault;  // WSBalanceEjectMax
  MoveConfig moves;                                            // WSBalanceOnMemberDown and so on
};

// The balancer in whose section this directive stands. Made at its first directive.
BalancerConfig* balancer_section(cmd_parms* cmd, const char*& error);

// Null: the balancer has no directive of ours. A virtual host that has no section of ours for it has
// the main server's, unless it inherits nothing (BalancerInherit, ProxyPassInherit).
const BalancerConfig* find_balancer_config(const server_rec* server,
                                           const proxy_balancer& balancer);

// The same, with all defaults where the balancer has no directive of ours, or there is none (null).
const BalancerConfig& balancer_config(const server_rec* server, const proxy_balancer* balancer);

}  // namespace wsbalance::httpd
