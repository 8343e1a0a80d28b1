#include "protocol/handshake_error.h"

#include <array>
#include <cassert>
#include <cstddef>

namespace wsbalance::protocol {
namespace {

using enum HandshakeError;

constexpr std::array kRules{
    HandshakeRule{none, 101, "", "no rule is broken", "RFC 6455 4.2.2"},

    HandshakeRule{method_not_get, 400, "WSB0101", "the method is not GET", "RFC 6455 4.2.1 item 1"},
    HandshakeRule{key_missing, 400, "WSB0102", "Sec-WebSocket-Key is missing",
                  "RFC 6455 4.2.1 item 5"},
    HandshakeRule{key_repeated, 400, "WSB0103", "Sec-WebSocket-Key is there more than once",
                  "RFC 6455 11.3.1"},
    HandshakeRule{key_malformed, 400, "WSB0104", "Sec-WebSocket-Key is not 16 bytes in base64",
                  "RFC 6455 4.2.1 item 5"},
    // No rule of RFC 6455 forbids a body, but its bytes could be taken for frames, or frames for
    // it.
    HandshakeRule{body_announced, 400, "WSB0105", "the request announces a body", "RFC 9110 9.3.1"},
    HandshakeRule{version_missing, 426, "WSB0106", "Sec-WebSocket-Version is missing",
                  "RFC 6455 4.2.1 item 6"},
    HandshakeRule{version_unsupported, 426, "WSB0107", "Sec-WebSocket-Version is not 13",
                  "RFC 6455 4.2.2 item 4"},

    // mod_proxy removes what Connection names, and the member would see another handshake.
    HandshakeRule{hop_by_hop_handshake, 400, "WSB0108", "Connection names a Sec-WebSocket field",
                  "RFC 9110 7.6.1"},

    HandshakeRule{head_truncated, 502, "WSB0121", "the member's answer ended within its head",
                  "RFC 9112 8"},
    HandshakeRule{status_line_malformed, 502, "WSB0122",
                  "the member's answer does not begin with an HTTP/1 status line", "RFC 9112 4"},
    HandshakeRule{field_line_malformed, 502, "WSB0123",
                  "a line in the head of the member's answer is no header field", "RFC 9112 5"},
    HandshakeRule{control_character, 502, "WSB0124",
                  "the head of the member's answer has a control character", "RFC 9110 5.5"},
    HandshakeRule{obsolete_folding, 502, "WSB0125",
                  "the head of the member's answer has a folded line", "RFC 9112 5.2"},
    HandshakeRule{line_too_long, 502, "WSB0126",
                  "a line in the head of the member's answer is too long", "RFC 9110 5.4"},
    HandshakeRule{too_many_fields, 502, "WSB0127",
                  "the head of the member's answer has too many fields", "RFC 9110 5.4"},
    HandshakeRule{head_too_large, 502, "WSB0128", "the head of the member's answer is too large",
                  "RFC 9110 5.4"},
    HandshakeRule{too_many_interim_answers, 502, "WSB0129",
                  "the member sent too many interim answers", "RFC 9110 15.2"},

    HandshakeRule{answer_not_http_1_1, 502, "WSB0141", "the member's 101 is not HTTP/1.1",
                  "RFC 6455 4.2.2 item 5.1"},
    HandshakeRule{answer_upgrade_missing, 502, "WSB0142",
                  "Upgrade of the member's 101 is missing or not just websocket",
                  "RFC 6455 4.1 answer item 2"},
    HandshakeRule{answer_connection_missing, 502, "WSB0143",
                  "Connection of the member's 101 is missing or has no upgrade",
                  "RFC 6455 4.1 answer item 3"},
    HandshakeRule{answer_accept_missing, 502, "WSB0144",
                  "Sec-WebSocket-Accept of the member's 101 is missing",
                  "RFC 6455 4.1 answer item 4"},
    HandshakeRule{answer_accept_wrong, 502, "WSB0145",
                  "Sec-WebSocket-Accept of the member's 101 does not answer the key",
                  "RFC 6455 4.1 answer item 4"},
    HandshakeRule{answer_subprotocol_not_offered, 502, "WSB0146",
                  "the member's 101 chose a subprotocol that was not offered",
                  "RFC 6455 4.1 answer item 6"},
    HandshakeRule{answer_extension_not_offered, 502, "WSB0147",
                  "the member's 101 uses an extension that was not offered",
                  "RFC 6455 4.1 answer item 5"},
    HandshakeRule{answer_hop_by_hop_handshake, 502, "WSB0148",
                  "Connection of the member's 101 names a Sec-WebSocket field", "RFC 9110 7.6.1"},
};

// rule_of() takes an error for the index of its row.
constexpr bool is_in_order() {
  for (std::size_t i = 0; i < kRules.size(); ++i) {
    if (static_cast<std::size_t>(kRules[i].error) != i) return false;
  }
  return true;
}
static_assert(is_in_order());
static_assert(kRules.back().error == answer_hop_by_hop_handshake, "the last enumerator has a row");

}  // namespace

const HandshakeRule& rule_of(HandshakeError error) {
  const auto index = static_cast<std::size_t>(error);
  assert(index < kRules.size());
  return kRules[index];
}

std::span<const HandshakeRule> handshake_rules() { return kRules; }

}  // namespace wsbalance::protocol
