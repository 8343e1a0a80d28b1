// upgrade_request.h - is a request a WebSocket upgrade, and does it keep the rules of one?
//
// Layer:    protocol (pure).
// Threads:  stateless.
// Errors:   one HandshakeError for each broken rule.
#pragma once

#include <string_view>

#include "protocol/field.h"
#include "protocol/handshake_error.h"

namespace wsbalance::protocol {

// What the rules look at. Views into the caller's memory.
struct RequestHead {
  std::string_view method;
  int version_major = 1;
  int version_minor = 1;
  Fields fields;
};

// HTTP/1.1, `Upgrade` has the token websocket and `Connection` the token upgrade. HTTP/1.0 must
// ignore Upgrade (RFC 9110 7.8), so such a request is an ordinary one.
bool is_websocket_upgrade(const RequestHead& request);

// Checks a request for which is_websocket_upgrade() holds (RFC 6455 4.2.1): the method, the body,
// the key, the version, in this order. Returns the first broken rule or `none`.
HandshakeError check_request(const RequestHead& request);

// Is `text` base64 (RFC 4648 4, with padding) of exactly 16 bytes?
bool is_key(std::string_view text);

}  // namespace wsbalance::protocol
