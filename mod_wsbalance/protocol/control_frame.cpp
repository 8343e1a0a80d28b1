#include "protocol/control_frame.h"

#include <algorithm>
#include <cassert>

namespace wsbalance::protocol {
namespace {

// RFC 6455 5.2.
constexpr std::uint8_t kFin = 0x80;
constexpr std::uint8_t kOpcodeClose = 8;
constexpr std::uint8_t kOpcodePing = 9;
constexpr std::uint8_t kMasked = 0x80;

}  // namespace

ControlFrame ControlFrame::close(std::uint16_t code, std::string_view reason,
                                 const std::uint32_t* mask) noexcept {
  std::array<std::byte, kPayloadMax> payload;
  payload[0] = static_cast<std::byte>(code >> 8);
  payload[1] = static_cast<std::byte>(code & 0xff);
  const std::size_t reason_size = std::min(reason.size(), kPayloadMax - 2);
  std::transform(reason.begin(), reason.begin() + static_cast<std::ptrdiff_t>(reason_size),
                 payload.begin() + 2, [](char c) { return static_cast<std::byte>(c); });
  return make(kOpcodeClose, std::span(payload).first(2 + reason_size), mask);
}

ControlFrame ControlFrame::ping(const PingTag& tag, const std::uint32_t* mask) noexcept {
  return make(kOpcodePing, tag, mask);
}

ControlFrame ControlFrame::make(std::uint8_t opcode, std::span<const std::byte> payload,
                                const std::uint32_t* mask) noexcept {
  assert(payload.size() <= kPayloadMax);
  ControlFrame frame;
  auto* at = frame.bytes_.data();
  *at++ = static_cast<std::byte>(kFin | opcode);
  *at++ = static_cast<std::byte>((mask != nullptr ? kMasked : 0) | payload.size());
  std::array<std::byte, 4> key{};
  if (mask != nullptr) {
    for (std::size_t i = 0; i < key.size(); ++i) {
      key[i] = static_cast<std::byte>(*mask >> (24 - 8 * i) & 0xff);
    }
    at = std::copy(key.begin(), key.end(), at);
  }
  // Without a mask the key is 0, which changes nothing (RFC 6455 5.3).
  for (std::size_t i = 0; i < payload.size(); ++i) *at++ = payload[i] ^ key[i % key.size()];
  frame.size_ = static_cast<std::size_t>(at - frame.bytes_.data());
  return frame;
}

}  // namespace wsbalance::protocol
