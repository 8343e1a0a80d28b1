#include "protocol/frame_scanner.h"

#include <algorithm>

namespace wsbalance::protocol {
namespace {

// RFC 6455 5.2: FIN, three reserved bits, opcode; MASK, length; 0, 2 or 8 bytes of length; 0 or 4
// bytes of masking key.
constexpr std::size_t kShortHeaderBytes = 2;
constexpr std::size_t kMaskBytes = 4;
constexpr std::uint8_t kFin = 0x80;
constexpr std::uint8_t kOpcodeBits = 0x0f;
constexpr std::uint8_t kOpcodeBinary =
    2;  // The last of the data frames: continuation, text, binary.
constexpr std::uint8_t kOpcodeClose = 8;
constexpr std::uint8_t kMasked = 0x80;
constexpr std::uint8_t kLengthBits = 0x7f;
constexpr std::uint8_t kLength16 = 126;  // The length follows in 16 bits; 127: in 64 bits.
constexpr std::uint64_t kLengthMax = ~std::uint64_t{0} >> 1;

constexpr std::uint8_t kStatusBytes = 2;   // RFC 6455 5.5.1.
constexpr std::uint16_t kNoStatus = 1005;  // RFC 6455 7.1.5.

// How long the header is whose first two bytes stand at `header`.
inline std::size_t header_bytes(const std::uint8_t* header) {
  const std::uint8_t length = header[1] & kLengthBits;
  const std::size_t length_bytes = length < kLength16 ? 0 : length == kLength16 ? 2 : 8;
  return kShortHeaderBytes + length_bytes + ((header[1] & kMasked) != 0 ? kMaskBytes : 0);
}

inline std::uint64_t big_endian(const std::uint8_t* bytes, std::size_t count) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < count; ++i) value = value << 8 | bytes[i];
  return value;
}

// The payload's length in a whole header.
inline std::uint64_t payload_bytes(const std::uint8_t* header) {
  const std::uint8_t length = header[1] & kLengthBits;
  if (length < kLength16) return length;
  return big_endian(header + kShortHeaderBytes, length == kLength16 ? 2 : 8);
}

inline bool is_close(std::uint8_t first_byte) { return (first_byte & kOpcodeBits) == kOpcodeClose; }

inline bool ends_message(std::uint8_t first_byte) {
  return (first_byte & kFin) != 0 && (first_byte & kOpcodeBits) <= kOpcodeBinary;
}

}  // namespace

void FrameScanner::scan(std::span<const std::byte> bytes) {
  const auto* at = reinterpret_cast<const std::uint8_t*>(bytes.data());
  const std::uint8_t* const end = at + bytes.size();
  while (at != end && state_ != State::lost) {
    const auto size = static_cast<std::size_t>(end - at);
    if (state_ == State::payload) {
      at += take_payload(at, size);
      continue;
    }
    const std::size_t passed = header_size_ == 0 ? pass_whole_frames(at, size) : 0;
    at += passed > 0 ? passed : take_header(at, size);
  }
}

// The hot path: counts the frames that stand whole at the start of `bytes`, without a note of their
// headers. Stops before a frame that is cut, and before a close frame, whose payload is read.
std::size_t FrameScanner::pass_whole_frames(const std::uint8_t* bytes, std::size_t size) {
  const std::uint8_t* at = bytes;
  std::size_t left = size;
  std::uint64_t frames = 0;
  std::uint64_t messages = 0;
  while (left >= kShortHeaderBytes) {
    const std::size_t header = header_bytes(at);
    if (left < header || is_close(at[0])) break;
    const std::uint64_t payload = payload_bytes(at);
    if (payload > left - header) break;
    ++frames;
    messages += ends_message(at[0]) ? 1 : 0;
    at += header + payload;
    left -= header + static_cast<std::size_t>(payload);
  }
  frames_ += frames;
  messages_ += messages;
  return size - left;
}

// Takes what is here of the header: its first two bytes, which tell how long it is, then the rest.
std::size_t FrameScanner::take_header(const std::uint8_t* bytes, std::size_t size) {
  const std::size_t wanted =
      header_size_ < kShortHeaderBytes ? kShortHeaderBytes : header_bytes(header_.data());
  const std::size_t taken = std::min(wanted - header_size_, size);
  std::copy_n(bytes, taken, header_.begin() + header_size_);
  header_size_ = static_cast<std::uint8_t>(header_size_ + taken);
  if (header_size_ < kShortHeaderBytes || header_size_ < header_bytes(header_.data())) return taken;

  payload_left_ = payload_bytes(header_.data());
  state_ = payload_left_ > kLengthMax ? State::lost : State::payload;
  if (payload_left_ == 0) end_frame();
  return taken;
}

std::size_t FrameScanner::take_payload(const std::uint8_t* bytes, std::size_t size) {
  const auto taken = static_cast<std::size_t>(std::min<std::uint64_t>(payload_left_, size));
  if (opcode() == kOpcodeClose) read_status(bytes, taken);
  payload_left_ -= taken;
  if (payload_left_ == 0) end_frame();
  return taken;
}

// Takes what is here of the first two bytes of a close frame's payload (RFC 6455 5.5.1, 5.3).
void FrameScanner::read_status(const std::uint8_t* payload, std::size_t size) {
  for (std::size_t i = 0; i < size && status_size_ < kStatusBytes; ++i, ++status_size_) {
    std::uint8_t byte = payload[i];
    // The masking key is the end of the header.
    if (is_masked()) byte ^= header_[header_size_ - kMaskBytes + status_size_];
    status_ = static_cast<std::uint16_t>(status_ << 8 | byte);
  }
}

void FrameScanner::end_frame() {
  ++frames_;
  if (ends_message(header_[0])) ++messages_;
  if (opcode() == kOpcodeClose && !has_close_) {
    has_close_ = true;
    close_code_ = status_size_ == kStatusBytes ? status_ : kNoStatus;
  }
  status_ = 0;
  status_size_ = 0;
  header_size_ = 0;
  state_ = State::header;
}

}  // namespace wsbalance::protocol
