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
#include "httpd/in_flight.h"
#include "httpd/inert_descriptors.h"
#include "httpd/members.h"
#include "httpd/pump.h"
#include "httpd/seat.h"
#include "httpd/tunnel_info.h"
#include "relay/tunnel.h"
#include "relay/unique_fd.h"

namespace wsbalance::httpd {

// What a side of a tunnel needs: an inert descriptor for httpd if its connection leaves httpd, else
// a socketpair.
struct PreparedSide {
  relay::UniqueFd inert;
  relay::UniqueFd relay_end;
  relay::UniqueFd pump_end;
  std::vector<std::byte> read_already;  // What httpd has read of a connection that leaves.

  bool is_pumped() const { return static_cast<bool>(pump_end); }
  explicit operator bool() const { return inert || (relay_end && pump_end); }
};

// All that a tunnel needs and that may be refused, made before the client is told yes.
struct PreparedTunnel {
  PreparedSide client;
  PreparedSide member;
  std::unique_ptr<relay::Tunnel> tunnel;
  MemberRef counted{};   // As which member.
  InFlight in_flight{};  // Until it is.
  Seat seat{};           // At it, until the tunnel has it.

  explicit operator bool() const { return client && member; }
};

// Which sides cannot leave httpd.
struct PumpedSides {
  bool client = false;
  bool member = false;  // Only with the client: a worker is held anyway.
};

// False in a boolean context: no descriptor is left. May throw std::bad_alloc.
PreparedTunnel prepare_tunnel(Child& child, const relay::TunnelSettings& settings,
                              std::unique_ptr<TunnelInfo> info, InertPair inert,
                              PumpedSides pumped);

// After the 101 was sent: the connections become a tunnel of the child's relay. Returns at once if
// both leave httpd, else when the tunnel has ended. Says nothing to either side if one of them is
// lost on the way; where that is for want of memory, the tunnel has ended with `resources`.
void hand_over(request_rec* r, Child& child, proxy_conn_rec* member, PreparedTunnel prepared);

// pre_close_connection.
void register_hand_over_hooks();

}  // namespace wsbalance::httpd
