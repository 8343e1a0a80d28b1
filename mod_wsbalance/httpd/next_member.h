// next_member.h - which other member of its balancer a handshake goes to.
//
// Layer:    httpd.
// Threads:  the worker thread of the request; the balancer's thread mutex is held while its method
//           chooses, as mod_proxy_balancer does it.
//
// The first member is mod_proxy_balancer's choice. Those after it are chosen by the same method,
// out of the members that have not been left out: these stand there as stopped, so that spares and
// hot standbys come in exactly when they would if the others were down.
#pragma once

#include <optional>
#include <vector>

#include "httpd/httpd_api.h"
#include "httpd/member_connection.h"

namespace wsbalance::httpd {

// The balancer that chose the member of this request; null: none did. Nothing but the name of
// worker->balancer is to be trusted.
proxy_balancer* balancer_of(const request_rec* r, const MemberRoute& route);

class NextMember {
 public:
  NextMember(request_rec* r, proxy_balancer* balancer) : r_(r), balancer_(balancer) {}

  void leave_out(proxy_worker* worker) { left_out_.push_back(worker); }

  // Does the client's session belong to a member that has no substitute (nofailover)? Then only
  // members of the same route and its redirect= help.
  bool is_bound() const;

  // The next one, or null.
  proxy_worker* choose();

  // Prepares the request for that member as mod_proxy_balancer does it: URL and variables. `first`:
  // the route of the first one. Nothing: its URL is not possible.
  std::optional<MemberRoute> route_to(proxy_worker* worker, const MemberRoute& first);

 private:
  proxy_worker* find_of_session() const;
  proxy_worker* ask_method();
  bool is_left_out(const proxy_worker* worker) const;
  bool may_serve(const proxy_worker* worker) const;

  request_rec* const r_;
  proxy_balancer* const balancer_;
  std::vector<proxy_worker*> left_out_;
};

// pre_request and request_status of mod_proxy.
void register_next_member_hooks();

}  // namespace wsbalance::httpd
