// refusal.h - answers of our own to a request that does not become a tunnel.
//
// Layer:    httpd.
// Threads:  the worker thread of the request.
#pragma once

#include "httpd/httpd_api.h"
#include "protocol/handshake_error.h"

namespace wsbalance::httpd {

// The request breaks a rule of the handshake: logs which one, returns its status (400 or 426).
int refuse_request(request_rec* r, protocol::HandshakeError error);

// A non-upgrade on a ws:// route that only the scheme handler can refuse: 426.
int refuse_plain_request(request_rec* r);

// We have no room for this handshake now: 503 with Retry-After, which neither ends mod_proxy's
// opinion of the member nor makes it try the next one.
int refuse_busy(request_rec* r);

// The members of a balancer failed, and have had their punishment: this status is not to be mod_proxy's
// reason to punish one or to try others. With Retry-After if it is 503.
int refuse_after_tries(request_rec* r, int status);

void add_retry_after(request_rec* r);

// The client has gone: 408 for the log, and nothing that counts against the member.
int refuse_gone(request_rec* r);

// Was this answer one of the above? Then mod_proxy_balancer must not count it (failonstatus).
bool is_own_refusal(const request_rec* r);

// If bytes wait behind a handshake that does not become a tunnel, httpd would read them as the next
// request: makes it close the connection after this answer instead.
void close_if_bytes_wait(request_rec* r);

}  // namespace wsbalance::httpd
