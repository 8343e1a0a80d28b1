#include "protocol/frame_rules.h"

#include <array>
#include <cassert>
#include <cstddef>

namespace wsbalance::protocol {
namespace {

using enum FrameRule;

struct Row {
  FrameRule rule;
  FrameRuleText text;
};

constexpr std::array kRows{
    Row{none, {"no rule is broken", "RFC 6455 5"}},
    Row{masking, {"a frame is not masked as it must be", "RFC 6455 5.1"}},
    Row{reserved_opcode, {"a frame has a reserved opcode", "RFC 6455 5.2"}},
    Row{reserved_bits,
        {"a frame has a reserved bit that no extension allows", "RFC 6455 5.2, RFC 7692 6"}},
    Row{length_encoding, {"a frame's length takes more bytes than it needs", "RFC 6455 5.2"}},
    Row{length_too_large, {"a frame's length is 2^63 or above", "RFC 6455 5.2"}},
    Row{control_length, {"a control frame has more than 125 bytes", "RFC 6455 5.5"}},
    Row{control_fragmented, {"a control frame is fragmented", "RFC 6455 5.5"}},
    Row{continuation,
        {"a frame continues no message, or begins one inside another", "RFC 6455 5.4"}},
    Row{close_payload, {"a close frame has one byte, which is no status code", "RFC 6455 5.5.1"}},
    Row{close_code, {"a close frame has a status code that may not be sent", "RFC 6455 7.4"}},
    Row{frame_size, {"a frame is larger than allowed", "WSBalanceMaxFrame"}},
    Row{message_size, {"a message is larger than allowed", "WSBalanceMaxMessage"}},
};
static_assert(kRows.size() == kFrameRules);

// rule_text() takes a rule for the index of its row.
constexpr bool is_in_order() {
  for (std::size_t i = 0; i < kRows.size(); ++i) {
    if (static_cast<std::size_t>(kRows[i].rule) != i) return false;
  }
  return true;
}
static_assert(is_in_order());

constexpr std::uint16_t kProtocolError = 1002;  // RFC 6455 7.4.1.
constexpr std::uint16_t kTooBig = 1009;

}  // namespace

FrameRuleText rule_text(FrameRule rule) {
  const auto index = static_cast<std::size_t>(rule);
  assert(index < kRows.size());
  return kRows[index].text;
}

std::uint16_t close_code_for(FrameRule rule) {
  return rule == frame_size || rule == message_size ? kTooBig : kProtocolError;
}

bool is_wire_close_code(std::uint16_t code) {
  // 1004 is reserved; 1005, 1006 and 1015 are for what was never sent (RFC 6455 7.4.1). IANA has
  // registered 1012 to 1014. 3000 and above belong to libraries and applications (7.4.2).
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
         (code >= 3000 && code <= 4999);
}

}  // namespace wsbalance::protocol
