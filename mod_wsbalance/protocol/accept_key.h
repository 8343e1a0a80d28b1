// accept_key.h - the value of Sec-WebSocket-Accept that answers a Sec-WebSocket-Key.
//
// Layer:    protocol (pure; its source is the only one here that includes OpenSSL, for SHA-1).
// Threads:  any.
// Errors:   throws std::runtime_error if OpenSSL refuses SHA-1.
#pragma once

#include <string>
#include <string_view>

namespace wsbalance::protocol {

// base64(SHA-1(key + GUID)), 28 characters (RFC 6455 4.2.2 item 5.4). `key` is taken as it stands
// in the request, without white space around it.
std::string accept_key(std::string_view key);

}  // namespace wsbalance::protocol
