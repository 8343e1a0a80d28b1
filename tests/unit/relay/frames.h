// frames.h - frames as clients send them, settings for tunnels, and what a side has received.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "relay/tunnel_settings.h"
#include "unit/relay/peer.h"

namespace wsbalance::relay {

// As make_frame(), masked (RFC 6455 5.3).
inline std::string masked_frame(std::uint8_t first, std::string_view payload) {
  std::string frame = make_frame(first, payload);
  const std::string key = "\x37\xfa\x21\x3d";
  const std::size_t header = frame.size() - payload.size();
  for (std::size_t i = 0; i < payload.size(); ++i) {
    frame[header + i] = static_cast<char>(frame[header + i] ^ key[i % 4]);
  }
  frame.insert(header, key);
  frame[1] = static_cast<char>(frame[1] | 0x80);
  return frame;
}

inline std::string masked_text(std::string_view payload) { return masked_frame(0x81, payload); }

inline std::string close_payload(std::uint16_t code, std::string_view reason = {}) {
  std::string payload(1, static_cast<char>(code >> 8));
  payload += static_cast<char>(code);
  return payload.append(reason);
}

inline std::string masked_close(std::uint16_t code) {
  return masked_frame(0x88, close_payload(code));
}

struct Frame {
  std::uint8_t first = 0;  // FIN, reserved bits, opcode.
  bool is_masked = false;
  std::string payload;

  bool is_ping() const { return first == 0x89; }
  bool is_close() const { return first == 0x88; }
  int code() const {
    return payload.size() < 2
               ? 0
               : static_cast<std::uint8_t>(payload[0]) << 8 | static_cast<std::uint8_t>(payload[1]);
  }
  std::string reason() const { return payload.size() < 2 ? "" : payload.substr(2); }
};

// The whole frames at the begin of `bytes`, of at most 64 KB each; payloads unmasked.
inline std::vector<Frame> frames_of(std::string_view bytes) {
  std::vector<Frame> frames;
  const auto at = [&bytes](std::size_t place) { return static_cast<std::uint8_t>(bytes[place]); };
  while (bytes.size() >= 2) {
    const bool is_masked = (at(1) & 0x80) != 0;
    std::size_t length = at(1) & 0x7f;
    std::size_t header = 2;
    if (length == 126 && bytes.size() >= 4) {
      length = static_cast<std::size_t>(at(2) << 8 | at(3));
      header = 4;
    }
    const std::string_view key = bytes.substr(std::min(header, bytes.size()), 4);
    if (is_masked) header += 4;
    if (bytes.size() < header + length) break;
    Frame frame{at(0), is_masked, std::string(bytes.substr(header, length))};
    for (std::size_t i = 0; is_masked && i < length; ++i) {
      frame.payload[i] = static_cast<char>(frame.payload[i] ^ key[i % 4]);
    }
    frames.push_back(std::move(frame));
    bytes.remove_prefix(header + length);
  }
  return frames;
}

inline std::shared_ptr<const TunnelSettings> shared(const TunnelSettings& settings) {
  return std::make_shared<const TunnelSettings>(settings);
}

inline TunnelSettings settings_with(protocol::Strictness strictness) {
  TunnelSettings settings;
  for (auto& rules : settings.frames) rules.strictness = strictness;
  return settings;
}

}  // namespace wsbalance::relay
