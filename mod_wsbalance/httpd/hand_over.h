// hand_over.h - from two connections of httpd to a tunnel of the relay.
//
// Layer:    httpd.
// Owns:     a prepared tunnel until the relay has it.
// Threads:  the worker thread of the request, then of its connection.
//
// The member's connection is taken while the handler runs, because mod_proxy gets its record back
// then. The client's descriptor is taken then too, but its TLS only when httpd closes the
// connection: until the access log is written, mod_ssl's variables have to be there.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "httpd/child.h"
#include "httpd/httpd_api.h"
#include "relay/tunnel.h"
#include "relay/unique_fd.h"

namespace wsbalance::httpd {

// All that a tunnel needs and that may be refused, made before the client is told yes.
struct PreparedTunnel {
  relay::UniqueFd client_inert;
  relay::UniqueFd member_inert;
  std::unique_ptr<relay::Tunnel> tunnel;
  std::vector<std::byte> from_client;  // What httpd has read already.
  std::vector<std::byte> from_member;

  explicit operator bool() const { return client_inert && member_inert && tunnel != nullptr; }
};

// False in a boolean context: no descriptor is left. May throw std::bad_alloc.
PreparedTunnel prepare_tunnel(request_rec* r, const Child& child, const proxy_worker* worker);

// After the 101 was sent: the connections leave httpd and become a tunnel of the child's relay.
// Says nothing to either side if one of them is lost on the way.
void hand_over(request_rec* r, Child& child, proxy_conn_rec* member, PreparedTunnel prepared);

// What httpd still does with the request must not pass the request's filters: they would write an
// answer of their own (as ap_proxy_tunnel_create() does it).
void bypass_request_filters(request_rec* r);

// pre_close_connection.
void register_hand_over_hooks();

}  // namespace wsbalance::httpd
