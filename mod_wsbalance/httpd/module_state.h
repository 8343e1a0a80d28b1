// module_state.h - the one object that hooks share: made in post_config, completed in each child.
//
// Layer:    httpd.
// Owns:     nothing: what it points to belongs to pools.
// Threads:  written in post_config and child_init, read by any thread after that.
#pragma once

#include <chrono>
#include <cstdint>

#include "httpd/descriptor_plan.h"
#include "httpd/httpd_api.h"
#include "relay/relay.h"

namespace wsbalance::httpd {

class Child;
class ExplicitParameters;
class Lineage;
class Members;
class Orphans;
class SharedRows;

struct ModuleState {
  Lineage* lineage = nullptr;
  Orphans* orphans = nullptr;                      // In the parent.
  SharedRows* rows = nullptr;                      // Counted by all processes, over restarts.
  Members* members = nullptr;                      // Of this configuration.
  const ExplicitParameters* parameters = nullptr;  // The same.
  std::uint32_t epoch = 0;                         // Its number, in the rows' count.
  unsigned carriers_max = 0;                       // WSBalanceMaxCarriers
  std::chrono::milliseconds drain_timeout{0};      // WSBalanceDrainTimeout; 0: off.
  std::uint32_t waiting_handshakes_max = 0;        // 0: no limit.
  unsigned pumped_max = 0;                         // In each child; see WSBalanceMaxPumped.
  unsigned pumped_http2_max = 0;                   // The same for a stream of HTTP/2.
  relay::RelaySettings relay;
  bool has_sticky_balancers = false;  // A balancer has WSBalanceSticky.
  DescriptorPlan descriptors;         // Of each child.
  Child* child = nullptr;  // Null in the parent, and where the relay could not be started.
};

}  // namespace wsbalance::httpd
