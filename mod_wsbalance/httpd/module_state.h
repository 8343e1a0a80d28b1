// module_state.h - the one object that hooks share: made in post_config, completed in each child.
//
// Layer:    httpd.
// Owns:     nothing: rows and child belong to their pools.
// Threads:  written in post_config and child_init, read by any thread after that.
#pragma once

#include <cstdint>

#include "httpd/httpd_api.h"
#include "relay/relay.h"

namespace wsbalance::httpd {

class Child;
class SharedRows;

struct ModuleState {
  SharedRows* rows = nullptr;                // Counted by all children of this generation.
  std::uint32_t waiting_handshakes_max = 0;  // 0: no limit.
  unsigned pumped_max = 0;                   // In each child; see WSBalanceMaxPumped.
  unsigned pumped_http2_max = 0;             // The same for a stream of HTTP/2.
  relay::RelaySettings relay;
  Child* child = nullptr;  // Null in the parent, and where the relay could not be started.
};

}  // namespace wsbalance::httpd
