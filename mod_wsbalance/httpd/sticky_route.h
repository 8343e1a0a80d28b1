// sticky_route.h - clients come back to their member: WSBalanceSticky.
//
// Layer:    httpd.
// Owns:     nothing.
// Threads:  prepare_sticky_balancers() the parent's main thread, the rest worker threads.
// Errors:   may throw std::bad_alloc.
//
// mod_proxy_balancer finds the member, with all that it knows of redirect=, nofailover, hot standby
// and drain. It is given a name of a cookie that no client's cookie has, and is shown a cookie of
// that name, with the route that stands in ours, while it looks for the member. Nobody else sees it.
#pragma once

#include "httpd/balancer_config.h"

namespace wsbalance::httpd {

// Gives balancers with WSBalanceSticky that name and their members routes, in the records that all
// children share; after mod_proxy_balancer's post_config. False: there is none.
bool prepare_sticky_balancers(server_rec* main_server);

// For each request that goes to a member: the client's own fields are back, and the cookie is set.
// `balancer`: balancer_of() the request (next_member.h), or null.
void settle_route(request_rec* r, const proxy_balancer* balancer, proxy_worker& worker);

// Sets the cookie in r->err_headers_out if the client has not got it yet; takes one away that was
// set before for another member. To be called again when another member is asked.
void set_route_cookie(request_rec* r, const proxy_balancer& balancer, proxy_worker& worker);

// pre_request, canon_handler and request_status of mod_proxy.
void register_sticky_hooks();

}  // namespace wsbalance::httpd
