#include "protocol/frame_scanner.h"

#include <algorithm>
#include <bit>

namespace wsbalance::protocol {
namespace {

// RFC 6455 5.2: FIN, three reserved bits, opcode; MASK, length; 0, 2 or 8 bytes of length; 0 or 4
// bytes of masking key.
constexpr std::size_t kShortHeaderBytes = 2;
constexpr std::size_t kMaskBytes = 4;
constexpr std::uint8_t kFin = 0x80;
constexpr std::uint8_t kReservedBits = 0x70;
constexpr std::uint8_t kRsv1 = 0x40;  // "Per-Message Compressed" (RFC 7692 6).
constexpr std::uint8_t kOpcodeBits = 0x0f;
constexpr std::uint8_t kContinuation = 0;
constexpr std::uint8_t kText = 1;
constexpr std::uint8_t kBinary = 2;
constexpr std::uint8_t kClose = 8;  // The first of the control frames: close, ping, pong.
constexpr std::uint8_t kPing = 9;
constexpr std::uint8_t kPong = 10;
constexpr std::uint8_t kMasked = 0x80;
constexpr std::uint8_t kLengthBits = 0x7f;
constexpr std::uint8_t kLength16 = 126;  // The length follows in 16 bits; 127: in 64 bits.
constexpr std::uint64_t kLength64Min = 0x10000;
constexpr std::uint64_t kLengthMax = ~std::uint64_t{0} >> 1;

constexpr std::size_t kCodeBytes = 2;      // RFC 6455 5.5.1.
constexpr std::uint16_t kNoStatus = 1005;  // RFC 6455 7.1.5.

// These are ours to keep, not the protocol's: they hold where rules are only noted, too.
constexpr std::uint16_t kLimits =
    rule_bit(FrameRule::frame_size) | rule_bit(FrameRule::message_size);

inline std::uint64_t big_endian(const std::uint8_t* bytes, std::size_t count) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < count; ++i) value = value << 8 | bytes[i];
  return value;
}

inline std::uint16_t bit_if(bool is_broken, FrameRule rule) {
  return is_broken ? rule_bit(rule) : std::uint16_t{0};
}

// The order of the enumerators is the order in which a frame's broken rules are named.
inline FrameRule first_of(std::uint16_t rules) {
  return static_cast<FrameRule>(std::countr_zero(rules));
}

}  // namespace

struct FrameScanner::Header {
  std::uint8_t first_byte;
  std::uint8_t second_byte;
  std::size_t bytes = 0;  // 0: it does not stand whole.
  std::uint64_t payload = 0;

  // At least kShortHeaderBytes have to be there.
  Header(const std::uint8_t* at, std::size_t size) : first_byte(at[0]), second_byte(at[1]) {
    const std::size_t length_bytes =
        short_length() < kLength16 ? 0 : (short_length() == kLength16 ? 2 : 8);
    const std::size_t whole = kShortHeaderBytes + length_bytes + (is_masked() ? kMaskBytes : 0);
    if (size < whole) return;
    bytes = whole;
    payload = length_bytes == 0 ? short_length() : big_endian(at + kShortHeaderBytes, length_bytes);
  }

  std::uint8_t opcode() const { return first_byte & kOpcodeBits; }
  bool is_control() const { return opcode() >= kClose; }
  bool is_masked() const { return (second_byte & kMasked) != 0; }
  std::uint8_t short_length() const { return second_byte & kLengthBits; }

  // The payload's byte `i`, less than kMaskBytes or in a payload without a mask, as it was before
  // it was masked (RFC 6455 5.3). `at`: where the header stands.
  std::uint8_t unmasked(const std::uint8_t* at, std::size_t i) const {
    const std::uint8_t byte = at[bytes + i];
    if (!is_masked()) return byte;
    return byte ^ at[bytes - kMaskBytes + i % kMaskBytes];
  }
};

FrameScanner::Result FrameScanner::scan(std::span<const std::byte> bytes, const FrameRules& rules,
                                        const PingTag* tag) noexcept {
  const auto* const begin = reinterpret_cast<const std::uint8_t*>(bytes.data());
  const std::size_t size = bytes.size();
  if (state_ == State::lost) return {size, 0, Stop::end};
  if (state_ == State::refused) return {0, 0, Stop::refused};
  std::size_t at = payload_left_ == 0 ? 0 : take_payload(size);
  for (;;) {
    if (state_ == State::outside) at += pass_whole_messages(begin + at, size - at, rules);
    if (at == size) return {at, 0, Stop::end};
    const Result frame = take_frame(begin + at, size - at, rules, tag);
    at += frame.passed;
    if (frame.passed == 0) return {at, frame.skip, frame.stop};
  }
}

// The hot path: counts the messages of one frame that stand whole at the start of `bytes` and break
// no rule. Stops before anything else, and before lengths of 64 bits, which seldom stand whole.
std::size_t FrameScanner::pass_whole_messages(const std::uint8_t* bytes, std::size_t size,
                                              const FrameRules& rules) noexcept {
  // What is asked of each frame, put together once.
  const std::size_t mask_bit = rules.is_masked ? kMasked : 0;
  const std::size_t header_bytes = kShortHeaderBytes + (rules.is_masked ? kMaskBytes : 0);
  const std::uint8_t asked_bits = rules.allows_deflate ? 0xff & ~kRsv1 : 0xff;
  const std::uint64_t payload_max = std::min(rules.frame_bytes_max, rules.message_bytes_max);

  const std::uint8_t* at = bytes;
  std::size_t left = size;
  std::uint64_t messages = 0;
  while (left >= kShortHeaderBytes) {
    const std::uint8_t first_byte = at[0] & asked_bits;
    if (first_byte != (kFin | kText) && first_byte != (kFin | kBinary)) break;
    std::size_t payload = at[1] ^ mask_bit;  // Above 127: the masking is wrong.
    std::size_t whole = header_bytes;
    if (payload >= kLength16) {
      if (payload > kLength16 || left < kShortHeaderBytes + 2) break;
      payload = static_cast<std::size_t>(at[2] << 8 | at[3]);
      if (payload < kLength16) break;
      whole += 2;
    }
    whole += payload;
    if (payload > payload_max || whole > left) break;
    ++messages;
    at += whole;
    left -= whole;
  }
  frames_ += messages;
  messages_ += messages;
  return size - left;
}

// Takes the header of any frame and what is there of its payload. Passes nothing if the frame
// cannot be judged yet or stops scan().
FrameScanner::Result FrameScanner::take_frame(const std::uint8_t* bytes, std::size_t size,
                                              const FrameRules& rules,
                                              const PingTag* tag) noexcept {
  if (size < kShortHeaderBytes) return {};
  const Header header(bytes, size);
  if (header.bytes == 0) return {};

  // What the header breaks refuses the frame before its payload is looked at, so that the rule that
  // is named does not hang on how the bytes are cut.
  const bool is_strict = rules.strictness == Strictness::strict;
  std::uint16_t broken = judge(header, rules);
  const std::uint16_t refusing = is_strict ? broken : broken & kLimits;
  if (refusing != 0) return refuse(broken, refusing);
  if (header.payload > kLengthMax) {
    note(broken);
    state_ = State::lost;
    return {size, 0, Stop::end};
  }

  const std::size_t payload_here = size - header.bytes;
  std::uint16_t code = kNoStatus;
  if (header.opcode() == kClose && header.payload >= kCodeBytes) {
    if (payload_here < kCodeBytes) return {};
    code = static_cast<std::uint16_t>(header.unmasked(bytes, 0) << 8 | header.unmasked(bytes, 1));
    broken |= bit_if(!is_wire_close_code(code), FrameRule::close_code);
    if (is_strict && broken != 0) return refuse(broken, broken);
  }

  constexpr std::size_t kTagBytes = sizeof(PingTag);
  if (tag != nullptr && header.first_byte == (kFin | kPong) && header.short_length() == kTagBytes) {
    if (payload_here < kTagBytes) return {};
    bool is_ours = true;
    for (std::size_t i = 0; i < kTagBytes; ++i) {
      is_ours &= header.unmasked(bytes, i) == std::to_integer<std::uint8_t>((*tag)[i]);
    }
    if (is_ours) return {0, header.bytes + kTagBytes, Stop::own_pong};
  }

  note(broken);
  if (header.opcode() == kClose && !has_close_) close_code_ = code;
  begin_frame(header);
  return {header.bytes + take_payload(payload_here), 0, Stop::end};
}

// The rules that a frame's header breaks.
std::uint16_t FrameScanner::judge(const Header& header, const FrameRules& rules) const noexcept {
  using enum FrameRule;
  const std::uint8_t opcode = header.opcode();
  const std::uint64_t payload = header.payload;
  const bool begins_message = opcode == kText || opcode == kBinary;

  unsigned broken = bit_if(header.is_masked() != rules.is_masked, masking);
  if (!rules.allows_any_extension) {
    const bool is_known = opcode <= kBinary || (opcode >= kClose && opcode <= kPong);
    broken |= bit_if(!is_known, reserved_opcode);
    const int allowed = rules.allows_deflate && begins_message ? kRsv1 : 0;
    broken |= bit_if((header.first_byte & kReservedBits & ~allowed) != 0, reserved_bits);
  }
  broken |= bit_if(header.short_length() >= kLength16 &&
                       payload < (header.short_length() == kLength16 ? kLength16 : kLength64Min),
                   length_encoding);
  broken |= bit_if(payload > kLengthMax, length_too_large);
  if (header.is_control()) {
    broken |= bit_if(header.short_length() >= kLength16, control_length);
    broken |= bit_if((header.first_byte & kFin) == 0, control_fragmented);
  } else {
    broken |= bit_if(opcode <= kBinary && (opcode == kContinuation) != (state_ == State::inside),
                     continuation);
  }
  broken |= bit_if(opcode == kClose && payload == 1, close_payload);

  // Behind a length that cannot be followed no limit could be kept, so it is above each of them,
  // whatever frame it is in.
  if (!header.is_control() || payload > kLengthMax) {
    broken |= bit_if(payload > rules.frame_bytes_max, frame_size);
    const std::uint64_t before = opcode == kContinuation ? message_bytes_ : 0;
    const std::uint64_t message = before + std::min(payload, ~before);  // Not beyond the largest.
    broken |= bit_if(message > rules.message_bytes_max, message_size);
  }
  return static_cast<std::uint16_t>(broken);
}

// `refusing`: those of the broken rules that are not only noted.
FrameScanner::Result FrameScanner::refuse(std::uint16_t broken, std::uint16_t refusing) noexcept {
  note(broken);
  broken_ = first_of(refusing);
  state_ = State::refused;
  return {0, 0, Stop::refused};
}

// Notes the rules that one frame breaks. The first of them gives its name.
void FrameScanner::note(std::uint16_t broken) noexcept {
  if (broken == 0) return;
  broken_ = first_of(broken);
  broken_rules_ |= broken;
  ++violations_;
}

void FrameScanner::begin_frame(const Header& header) noexcept {
  first_byte_ = header.first_byte;
  payload_left_ = header.payload;
  if (header.is_control()) {
    control_bytes_ += header.bytes;
  } else if (header.opcode() <= kBinary) {
    // A frame out of its place is followed as what it says it is: one that begins a message drops
    // the message that it stands in, a continuation of nothing begins one.
    if (header.opcode() != kContinuation) message_bytes_ = 0;
    const bool is_last = (header.first_byte & kFin) != 0;
    message_bytes_ = is_last ? 0 : message_bytes_ + header.payload;
    state_ = is_last ? State::outside : State::inside;
  }
}

// Takes what is here of the payload of the frame that passes; ends the frame with its last byte.
std::size_t FrameScanner::take_payload(std::size_t size) noexcept {
  const auto taken = static_cast<std::size_t>(std::min<std::uint64_t>(payload_left_, size));
  if ((first_byte_ & kOpcodeBits) >= kClose) control_bytes_ += taken;
  payload_left_ -= taken;
  if (payload_left_ == 0) end_frame();
  return taken;
}

void FrameScanner::end_frame() noexcept {
  const std::uint8_t opcode = first_byte_ & kOpcodeBits;
  ++frames_;
  if (opcode <= kBinary && (first_byte_ & kFin) != 0) ++messages_;
  if (opcode == kPing) ++pings_;
  if (opcode == kClose) has_close_ = true;
}

}  // namespace wsbalance::protocol
