// frame_rules.h - the rules that a stream of frames has to keep, and their names.
//
// Layer:    protocol (pure).
// Threads:  values.
#pragma once

#include <cstdint>

namespace wsbalance::protocol {

// What is done about a frame that breaks a rule (WSBalanceFrames).
enum class Strictness : std::uint8_t {
  off,      // Nobody looks: the bytes are not followed.
  lenient,  // Followed and counted; all of it passes, but for what is above a limit of ours.
  strict,   // It does not pass, and nothing after it.
};

// Each broken rule has one value. rule_text() has the words and the section of the RFC. Of a frame
// that breaks several, the first here is named.
enum class FrameRule : std::uint8_t {
  none,
  masking,             // RFC 6455 5.1
  reserved_opcode,     // RFC 6455 5.2
  reserved_bits,       // RFC 6455 5.2, RFC 7692 6
  length_encoding,     // RFC 6455 5.2: more bytes than needed
  length_too_large,    // RFC 6455 5.2: 2^63 and above
  control_length,      // RFC 6455 5.5: above 125 bytes
  control_fragmented,  // RFC 6455 5.5
  continuation,        // RFC 6455 5.4: a continuation of nothing, or a new message inside one
  close_payload,       // RFC 6455 5.5.1: one byte
  close_code,          // RFC 6455 7.4: not for the wire
  frame_size,          // WSBalanceMaxFrame
  message_size,        // WSBalanceMaxMessage
};
inline constexpr unsigned kFrameRules = 13;

struct FrameRuleText {
  const char* text;       // For a log line, behind "the client broke a rule: ".
  const char* reference;  // "RFC 6455 5.1", or the directive.
};
FrameRuleText rule_text(FrameRule rule);

// A set of rules.
constexpr std::uint16_t rule_bit(FrameRule rule) {
  return static_cast<std::uint16_t>(1u << static_cast<unsigned>(rule));
}

// The status code that the sender of a frame that broke `rule` is closed with: 1002, for the two
// sizes 1009 (RFC 6455 7.4.1).
std::uint16_t close_code_for(FrameRule rule);

// May a close frame carry this code (RFC 6455 7.4, and what IANA has registered since)?
bool is_wire_close_code(std::uint16_t code);

// What one direction has to keep.
struct FrameRules {
  Strictness strictness = Strictness::lenient;
  bool is_masked = false;                   // The sender is a client (RFC 6455 5.1).
  bool allows_deflate = false;              // RSV1 on the first frame of a message (RFC 7692 6).
  bool allows_any_extension = false;        // An extension was agreed that is not known here.
  std::uint64_t frame_bytes_max = ~0ull;    // Of payload, in a data frame.
  std::uint64_t message_bytes_max = ~0ull;  // Of payload, in all its frames.

  bool operator==(const FrameRules&) const = default;
};

}  // namespace wsbalance::protocol
