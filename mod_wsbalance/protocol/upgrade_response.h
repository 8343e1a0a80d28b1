// upgrade_response.h - does a member's 101 accept the upgrade that was offered to it?
//
// Layer:    protocol (pure).
// Threads:  stateless.
// Errors:   one HandshakeError for each broken rule.
#pragma once

#include <string_view>

#include "protocol/field.h"
#include "protocol/handshake_error.h"

namespace wsbalance::protocol {

// What the request offered. Views into the caller's memory.
struct UpgradeOffer {
  std::string_view expected_accept;  // accept_key() of the request's key.
  Fields request_fields;             // Sec-WebSocket-Protocol and -Extensions are looked at.
};

// Checks a complete head with status 101 (RFC 6455 4.1, the list under "once the client's opening
// handshake has been sent"): HTTP/1.1, Upgrade is websocket and nothing else, Connection has
// upgrade, the one right Sec-WebSocket-Accept, at most one subprotocol and only one that was
// offered (its case counts), extensions only of names that were offered. Returns the first broken
// rule or `none`.
HandshakeError check_switching_response(int version_minor, Fields fields,
                                        const UpgradeOffer& offer);

}  // namespace wsbalance::protocol
