// tls_take_over.h - takes the TLS of a connection away from mod_ssl.
//
// Layer:    httpd.
// Owns:     nothing; what it hands out belongs to the caller.
// Threads:  the worker thread of the connection.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include "httpd/httpd_api.h"
#include "relay/tls_stream.h"

namespace wsbalance::httpd {

// The filters of mod_ssl on a connection (names as registered, in lower case).
bool is_tls_filter(std::string_view name);

// The SSL that mod_ssl made for this connection, or null without TLS. It is mod_ssl's.
SSL* tls_of(conn_rec* connection);

// mod_ssl has its reads end at each record that is no data (a session ticket, a KeyUpdate), with
// data behind it that no poll() will tell of. For this SSL that is no longer so.
void read_over_tickets(SSL* ssl);

// Takes the TLS over, and to the end of `decrypted` everything that httpd has read of it. The
// socket's descriptor must have been exchanged before, so that nothing more can come from the
// network. Null if mod_ssl did not let go of it; then the connection is lost. May throw
// std::bad_alloc.
std::unique_ptr<relay::TlsStream> take_tls(conn_rec* connection, std::vector<std::byte>& decrypted);

// mod_ssl's pre_handshake.
void register_tls_hooks();

}  // namespace wsbalance::httpd
