// checked_members.h - the members of balancers with WSBalanceHealthCheck or WSBalanceEject, and what
// their shared rows say to mod_proxy's records of them.
//
// Layer:    httpd.
// Owns:     nothing of mod_proxy's.
// Threads:  the parent's main thread, or the one that checks.
// Errors:   may throw std::bad_alloc.
//
// A member is out (PROXY_WORKER_HC_FAIL in its status) while checks say that it is down, or while it
// is ejected. Rows say which, and outlive mod_proxy's records, which each configuration makes anew.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "balance/health.h"
#include "httpd/balancer_config.h"
#include "httpd/httpd_api.h"
#include "httpd/module_state.h"
#include "httpd/shared_rows.h"

namespace wsbalance::httpd {

struct CheckedMember {
  server_rec* server = nullptr;  // Whose section it is.
  proxy_balancer* balancer = nullptr;
  const BalancerConfig* config = nullptr;
  proxy_worker_shared* record = nullptr;
  MemberRow* row = nullptr;  // Null: a place for one that is added at run time.
  bool was_told = false;     // That it might be ejected and is not.

  bool is_there() const { return row != nullptr; }
  bool is_ejectable() const { return config->eject && config->eject->failures != 0; }
  // Does WSBalanceHealthCheck hold for it? `why_not` says why where it stands there and does not.
  bool is_checkable(const char** why_not = nullptr) const;
  // Is a check worth it now? One that is switched off by hand is left alone.
  bool is_wanted() const;
};

class CheckedMembers {
 public:
  // Those of the configuration, and places for members that balancer-manager adds.
  CheckedMembers(server_rec* main_server, const ModuleState& state);

  bool is_empty() const { return members_.empty(); }
  std::span<CheckedMember> all() { return members_; }

  // Finds members that have been added.
  void find_added();

  // Takes members out that have failed too often, and brings back those whose time is over.
  void eject(std::int64_t now_ms);

  // Brings mod_proxy's records to what the rows say.
  void apply();

 private:
  void add_balancer(server_rec* server, proxy_balancer& balancer, const BalancerConfig& config);
  void add(CheckedMember member, const proxy_worker& worker);
  bool has(const proxy_worker_shared* record) const;
  void eject_of(std::span<CheckedMember> members, std::int64_t now_ms);

  const ModuleState& state_;
  std::vector<CheckedMember> members_;  // Those of a balancer stand together.
};

// Brings a record to what its row says.
void apply(const CheckedMember& member);

// In the parent, when mod_proxy has made its new records: a member that was out stays out. What no
// directive asks for any more is forgotten.
void restore_health(server_rec* main_server, const ModuleState& state);

}  // namespace wsbalance::httpd
