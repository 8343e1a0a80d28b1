// health_check.h - one check of a member: a connection, a handshake, a ping.
//
// Layer:    httpd.
// Threads:  one of its own for each check; it waits.
// Errors:   a CheckResult. May throw std::bad_alloc.
#pragma once

#include <vector>

#include "httpd/check_connection.h"
#include "httpd/health_config.h"
#include "httpd/httpd_api.h"

namespace wsbalance::httpd {

// All that a check needs.
struct CheckPlan {
  server_rec* server = nullptr;
  const HealthConfig* config = nullptr;
  ap_conf_vector_t* section = nullptr;  // Where the SSLProxy* of the balancer stand; may be null.
  MemberPlace place;
  bool has_tls = false;
  bool is_default_port = false;          // Of its scheme.
  std::vector<SocketAddress> addresses;  // Empty: looked up, and left here.
};

// `stop_fd`: readable when all checks have to end.
CheckResult check_member(CheckPlan& plan, int stop_fd);

}  // namespace wsbalance::httpd
