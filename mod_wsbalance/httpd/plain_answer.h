// plain_answer.h - a member's answer other than 101, passed to the client as plain HTTP.
//
// Layer:    httpd.
// Threads:  the worker thread of the request.
#pragma once

#include "httpd/httpd_api.h"
#include "httpd/member_connection.h"
#include "protocol/response_head.h"

namespace wsbalance::httpd {

// Passes the answer whose head is `head` on, with all that mod_proxy_http would apply to it
// (mod_proxy_http.c, ap_proxy_http_process_response): ProxyPassReverse and its cookie directives,
// ProxyErrorOverride, ProxyVia, hop-by-hop fields, framing. Reads the body through httpd's own
// filters. Returns what the scheme handler has to return.
int pass_plain_answer(request_rec* r, const proxy_server_conf* conf, MemberConnection& member,
                      const protocol::ResponseHead& head);

}  // namespace wsbalance::httpd
