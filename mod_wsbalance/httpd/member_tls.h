// member_tls.h - says in words why the TLS handshake with a member failed.
//
// Layer:    httpd.
// Threads:  the worker thread of the request.
#pragma once

#include <string>

#include "httpd/httpd_api.h"

namespace wsbalance::httpd {

// mod_ssl logs the reason at level info only, and lets go of the SSL. `ssl` is a reference of our
// own, or null; `member` the connection that mod_ssl gave up. Empty: the handshake is not to blame.
std::string why_tls_failed(SSL* ssl, conn_rec* member);

}  // namespace wsbalance::httpd
