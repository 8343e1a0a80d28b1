#include "protocol/upgrade_response.h"

#include <cassert>

namespace wsbalance::protocol {
namespace {

// Calls visit(element) for each list element of all fields of this name, as for_each_element()
// does.
template <typename Visit>
bool for_each_element_of(Fields fields, std::string_view name, Visit&& visit) {
  for (const Field& field : fields) {
    if (!equal_ignoring_case(field.name, name)) continue;
    if (!for_each_element(field.value, visit)) return false;
  }
  return true;
}

// A second protocol, or a version, could be what the member really went over to.
bool is_upgrade_to_websocket_alone(Fields fields) {
  std::size_t count = 0;
  const bool all_websocket =
      for_each_element_of(fields, "Upgrade", [&count](std::string_view element) {
        ++count;
        return equal_ignoring_case(element, "websocket");
      });
  return all_websocket && count == 1;
}

HandshakeError check_accept(Fields fields, std::string_view expected) {
  switch (count_fields(fields, "Sec-WebSocket-Accept")) {
    case 0:
      return HandshakeError::answer_accept_missing;
    case 1:
      return first_value(fields, "Sec-WebSocket-Accept") == expected
                 ? HandshakeError::none
                 : HandshakeError::answer_accept_wrong;
    default:
      return HandshakeError::answer_accept_wrong;  // RFC 6455 11.3.3: not more than once.
  }
}

bool is_subprotocol_offered(Fields fields, Fields request_fields) {
  const std::size_t count = count_fields(fields, "Sec-WebSocket-Protocol");
  if (count == 0) return true;  // None was chosen, which is always allowed (RFC 6455 4.2.2 item 4).
  const std::string_view chosen = first_value(fields, "Sec-WebSocket-Protocol");
  if (count > 1 || !is_token(chosen)) return false;
  return !for_each_element_of(request_fields, "Sec-WebSocket-Protocol",
                              [chosen](std::string_view offered) { return offered != chosen; });
}

std::string_view extension_name(std::string_view element) {
  return trim(element.substr(0, element.find(';')));
}

// Their parameters are between client and member: the proxy does not look into payloads.
bool are_extensions_offered(Fields fields, Fields request_fields) {
  return for_each_element_of(fields, "Sec-WebSocket-Extensions", [=](std::string_view element) {
    const std::string_view used = extension_name(element);
    return is_token(used) &&
           !for_each_element_of(request_fields, "Sec-WebSocket-Extensions",
                                [used](std::string_view offered) {
                                  return !equal_ignoring_case(extension_name(offered), used);
                                });
  });
}

}  // namespace

HandshakeError check_switching_response(int version_minor, Fields fields,
                                        const UpgradeOffer& offer) {
  assert(!offer.expected_accept.empty());
  if (version_minor != 1) return HandshakeError::answer_not_http_1_1;
  if (!is_upgrade_to_websocket_alone(fields)) return HandshakeError::answer_upgrade_missing;
  if (!has_token(fields, "Connection", "upgrade")) return HandshakeError::answer_connection_missing;
  const HandshakeError accept_error = check_accept(fields, offer.expected_accept);
  if (accept_error != HandshakeError::none) return accept_error;
  if (!is_subprotocol_offered(fields, offer.request_fields)) {
    return HandshakeError::answer_subprotocol_not_offered;
  }
  if (!are_extensions_offered(fields, offer.request_fields)) {
    return HandshakeError::answer_extension_not_offered;
  }
  return has_element_with_prefix(fields, "Connection", "Sec-WebSocket-")
             ? HandshakeError::answer_hop_by_hop_handshake
             : HandshakeError::none;
}

}  // namespace wsbalance::protocol
