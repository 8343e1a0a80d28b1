// tunnel_facts.h - what a request says about the tunnel that it becomes: for the tunnel log, and for
// the access log.
//
// Layer:    httpd.
// Threads:  the worker thread of the request.
// Errors:   describe_tunnel() may throw std::bad_alloc.
#pragma once

#include <cstdint>
#include <memory>

#include "httpd/child.h"
#include "httpd/httpd_api.h"
#include "httpd/tunnel_info.h"
#include "protocol/field.h"

namespace wsbalance::httpd {

// `counted`: as which member. `answer`: the fields of its 101. Nothing of a query, a cookie or a field that may hold a
// secret is in it.
std::unique_ptr<TunnelInfo> describe_tunnel(request_rec* r, Child& child,
                                            const proxy_conn_rec* member, const MemberRef& counted,
                                            protocol::Fields answer, bool is_pumped);

// Variables of the request (docs/directives.md), for LogFormat and Header:
// WSBALANCE_MEMBER and WSBALANCE_ATTEMPTS, when a member has been chosen,
void tell_attempt(request_rec* r, const proxy_worker* worker, unsigned number);
// and WSBALANCE_TUNNEL, when it will be a tunnel.
void tell_tunnel_id(request_rec* r, std::uint64_t id);

}  // namespace wsbalance::httpd
