// control_frame.h - the control frames that we make ourselves (RFC 6455 5.5).
//
// Layer:    protocol (pure).
// Threads:  values.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace wsbalance::protocol {

// What marks a ping as ours, so that its pong can be told from those that the other side asked for.
using PingTag = std::array<std::byte, 8>;

// A whole control frame, ready to be written.
class ControlFrame {
 public:
  // `mask`: the masking key, for a frame to a member (RFC 6455 5.1); null for one to a client.
  // A reason that is too long for a control frame is cut; it must be ASCII.
  static ControlFrame close(std::uint16_t code, std::string_view reason,
                            const std::uint32_t* mask) noexcept;
  static ControlFrame ping(const PingTag& tag, const std::uint32_t* mask) noexcept;

  std::span<const std::byte> bytes() const noexcept { return {bytes_.data(), size_}; }

 private:
  static constexpr std::size_t kPayloadMax = 125;  // RFC 6455 5.5.
  static constexpr std::size_t kHeaderMax = 6;

  static ControlFrame make(std::uint8_t opcode, std::span<const std::byte> payload,
                           const std::uint32_t* mask) noexcept;

  std::array<std::byte, kHeaderMax + kPayloadMax> bytes_{};
  std::size_t size_ = 0;
};

}  // namespace wsbalance::protocol
