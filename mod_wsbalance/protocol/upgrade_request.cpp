#include "protocol/upgrade_request.h"

#include <algorithm>

namespace wsbalance::protocol {
namespace {

constexpr std::string_view kVersion = "13";

// Any Transfer-Encoding announces a body, also one that we do not know. So does a Content-Length
// other than the one plain "0": where two readers could take it for different lengths, what follows
// would be a frame to one and a body to the other.
bool announces_body(Fields fields) {
  if (count_fields(fields, "Transfer-Encoding") > 0) return true;
  const std::size_t lengths = count_fields(fields, "Content-Length");
  return lengths > 1 || (lengths == 1 && first_value(fields, "Content-Length") != "0");
}

HandshakeError check_version(Fields fields) {
  const std::size_t count = count_fields(fields, "Sec-WebSocket-Version");
  if (count == 0) return HandshakeError::version_missing;
  // Twice is once too often, even where both say 13 (RFC 6455 11.3.5). httpd merges such fields to
  // "13, 13".
  if (count > 1 || first_value(fields, "Sec-WebSocket-Version") != kVersion) {
    return HandshakeError::version_unsupported;
  }
  return HandshakeError::none;
}

HandshakeError check_key(Fields fields) {
  const std::size_t count = count_fields(fields, "Sec-WebSocket-Key");
  if (count == 0) return HandshakeError::key_missing;
  const std::string_view key = first_value(fields, "Sec-WebSocket-Key");
  // httpd merges repeated fields with a comma, which base64 does not have.
  if (count > 1 || key.find(',') != std::string_view::npos) return HandshakeError::key_repeated;
  return is_key(key) ? HandshakeError::none : HandshakeError::key_malformed;
}

constexpr bool is_base64_character(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
         c == '/';
}

}  // namespace

bool is_websocket_upgrade(const RequestHead& request) {
  return request.version_major == 1 && request.version_minor >= 1 &&
         has_token(request.fields, "Upgrade", "websocket") &&
         has_token(request.fields, "Connection", "upgrade");
}

HandshakeError check_request(const RequestHead& request) {
  if (request.method != "GET") return HandshakeError::method_not_get;
  if (announces_body(request.fields)) return HandshakeError::body_announced;
  // A request without key and version is no handshake at all, and 426 would invite to another one.
  if (const auto error = check_key(request.fields); error != HandshakeError::none) return error;
  if (const auto error = check_version(request.fields); error != HandshakeError::none) return error;
  return has_element_with_prefix(request.fields, "Connection", "Sec-WebSocket-")
             ? HandshakeError::hop_by_hop_handshake
             : HandshakeError::none;
}

bool is_key(std::string_view text) {
  // 16 bytes are five groups of three and one byte over: 22 characters and two of padding. The four
  // bits of the last character that carry nothing may have any value (RFC 4648 3.5 leaves it open).
  constexpr std::size_t kCharacters = 22;
  if (text.size() != kCharacters + 2 || text.substr(kCharacters) != "==") return false;
  const std::string_view characters = text.substr(0, kCharacters);
  return std::all_of(characters.begin(), characters.end(), is_base64_character);
}

}  // namespace wsbalance::protocol
