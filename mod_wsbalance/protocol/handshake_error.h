// handshake_error.h - every rule of the opening handshake that a request or an answer can break.
//
// Layer:    protocol (pure).
// Threads:  stateless.
// Errors:   these values are the errors; the table says what each one means to the client.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace wsbalance::protocol {

enum class HandshakeError : std::uint8_t {
  none,

  // The client's request, RFC 6455 4.2.1.
  method_not_get,
  key_missing,
  key_repeated,
  key_malformed,  // Not 16 bytes in base64.
  body_announced,
  version_missing,
  version_unsupported,   // Not 13.
  hop_by_hop_handshake,  // Connection names a Sec-WebSocket field, which would go no further.

  // The head of the member's answer, RFC 9112 2 to 5 and our limits.
  head_truncated,  // End of file before its end.
  status_line_malformed,
  field_line_malformed,
  control_character,  // CR without LF, NUL and the like.
  obsolete_folding,   // RFC 9112 5.2.
  line_too_long,
  too_many_fields,
  head_too_large,
  too_many_interim_answers,

  // A 101, RFC 6455 4.1 and 4.2.2.
  answer_not_http_1_1,
  answer_upgrade_missing,
  answer_connection_missing,
  answer_accept_missing,
  answer_accept_wrong,
  answer_subprotocol_not_offered,
  answer_extension_not_offered,
  answer_hop_by_hop_handshake,  // As in the request.
};

// One row of the table of rules.
struct HandshakeRule {
  HandshakeError error;
  int status;             // What the client gets: 400, 426 or 502.
  const char* log_id;     // "WSB0101": stable, docs/log-messages.md has it. Empty for `none`.
  const char* text;       // What was wrong, for the log: "Sec-WebSocket-Key is missing".
  const char* reference;  // Where the rule stands: "RFC 6455 4.2.1 item 5".
};

// The row of an error. `none` has status 101.
const HandshakeRule& rule_of(HandshakeError error);

// The whole table, `none` first, in the order of the enumeration.
std::span<const HandshakeRule> handshake_rules();

}  // namespace wsbalance::protocol
