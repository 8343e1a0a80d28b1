// answer_headers.h - the fields of a member's answer on their way into r->headers_out.
//
// Layer:    httpd.
// Threads:  the worker thread of the request.
#pragma once

#include "httpd/httpd_api.h"
#include "protocol/field.h"

namespace wsbalance::httpd {

// Replaces r->headers_out by the member's fields, as mod_proxy_http does (mod_proxy_http.c,
// ap_proxy_read_headers and process_proxy_header): cookies that modules have set stay,
// ProxyPassReverse and ProxyPassReverseCookie apply, dates take httpd's form.
void take_member_fields(request_rec* r, protocol::Fields fields);

// Removes what belongs to the member's connection only (RFC 9110 7.6.1): Connection, what it names,
// and the fields that are hop-by-hop by definition. False when Connection is malformed.
bool remove_hop_by_hop(request_rec* r);

// Adds httpd's own Via as ProxyVia says. `server_port_text` is ":port" or empty.
void add_via(request_rec* r, const proxy_server_conf* conf, const char* server_port_text);

}  // namespace wsbalance::httpd
