// switching_response.h - the 101 that a client gets.
//
// Layer:    httpd.
// Threads:  the worker thread of the request.
// Errors:   false when the client's connection broke.
#pragma once

#include <string_view>

#include "httpd/httpd_api.h"

namespace wsbalance::httpd {

// Writes and flushes a 101 with r->headers_out and r->err_headers_out, in which the member's fields
// stand by now, after the `Header` and `Header always` directives have been applied to them.
// Upgrade, Connection and Sec-WebSocket-Accept (`accept`) are what they must be whatever the
// configuration says. Both tables stay as they were sent, for the access log.
// ap_send_interim_response() would send one of them only and empty it.
bool send_switching_response(request_rec* r, std::string_view accept);

}  // namespace wsbalance::httpd
