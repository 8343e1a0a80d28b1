// frame_scan.h - a FrameScanner as its caller uses it, and frames to give to it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/frame_scanner.h"
#include "support/catch.h"
#include "support/pieces.h"

namespace wsbalance::test {

// What followed from the frames that have passed.
struct FrameFacts {
  std::uint64_t frames = 0;
  std::uint64_t messages = 0;
  bool at_boundary = true;  // And nothing is held.
  bool is_lost = false;
  bool has_close = false;
  int close_code = 0;

  bool operator==(const FrameFacts&) const = default;
};

// All that a caller can see.
struct ScanOutcome {
  FrameFacts facts{};
  std::string passed{};
  std::string held{};  // Or refused.
  std::uint64_t payload_left = 0;
  std::uint64_t control_bytes = 0;
  std::uint32_t pings = 0;
  int own_pongs = 0;
  bool is_refused = false;
  protocol::FrameRule broken = protocol::FrameRule::none;
  unsigned broken_rules = 0;
  std::uint32_t violations = 0;

  bool operator==(const ScanOutcome&) const = default;
};

// Keeps what may not go on yet and presents it again in front of the next piece. The subject of
// pieces.h.
class FrameScan {
 public:
  explicit FrameScan(const protocol::FrameRules& rules, const protocol::PingTag* tag = nullptr)
      : rules_(rules), tag_(tag) {}

  void feed(std::string_view piece) {
    using Stop = protocol::FrameScanner::Stop;
    held_ += piece;
    for (auto stop = Stop::own_pong; stop == Stop::own_pong;) {
      // Memory of its own, so that the address sanitizer sees a look behind its end.
      const std::vector<char> bytes(held_.begin(), held_.end());
      const auto result = scanner_.scan(std::as_bytes(std::span(bytes)), rules_, tag_);
      stop = result.stop;
      is_sound_ &= result.passed + result.skip <= bytes.size();
      is_sound_ &= !is_refused_ || (stop == Stop::refused && result.passed == 0);
      is_sound_ &= (stop == Stop::own_pong) == (result.skip > 0);
      passed_.append(held_, 0, result.passed);
      held_.erase(0, result.passed + result.skip);
      if (stop == Stop::own_pong) ++own_pongs_;
      if (stop == Stop::refused) is_refused_ = true;
      // What may not go on begins a frame.
      if (stop != Stop::end || !held_.empty()) is_sound_ &= scanner_.at_boundary();
    }
    if (!is_refused_) held_max_ = std::max(held_max_, held_.size());
  }

  ScanOutcome outcome() const {
    CHECK(is_sound_);
    CHECK(held_max_ <= protocol::FrameScanner::kHeldMax);
    ScanOutcome outcome;
    outcome.facts = {
        scanner_.frames(),  scanner_.messages(),  scanner_.at_boundary() && held_.empty(),
        scanner_.is_lost(), scanner_.has_close(), scanner_.close_code()};
    outcome.passed = passed_;
    outcome.held = held_;
    outcome.own_pongs = own_pongs_;
    outcome.is_refused = is_refused_;
    outcome.payload_left = scanner_.payload_left();
    outcome.control_bytes = scanner_.control_bytes();
    outcome.pings = scanner_.pings();
    outcome.broken = scanner_.broken();
    outcome.broken_rules = scanner_.broken_rules();
    outcome.violations = scanner_.violations();
    return outcome;
  }

  std::size_t held_max() const { return held_max_; }

 private:
  protocol::FrameRules rules_;
  const protocol::PingTag* tag_;
  protocol::FrameScanner scanner_{};
  std::string passed_{};
  std::string held_{};
  std::size_t held_max_ = 0;
  int own_pongs_ = 0;
  bool is_refused_ = false;
  bool is_sound_ = true;
};

// The outcome with the input cut anywhere.
inline ScanOutcome scan_any_cut(std::string_view bytes, const protocol::FrameRules& rules,
                                const protocol::PingTag* tag = nullptr) {
  return outcome_of_any_cut(bytes, [&] { return FrameScan(rules, tag); });
}

// The first byte of a frame.
constexpr int kContinuation = 0x00;
constexpr int kText = 0x01;
constexpr int kBinary = 0x02;
constexpr int kClose = 0x08;
constexpr int kPing = 0x09;
constexpr int kPong = 0x0a;
constexpr int kFin = 0x80;
constexpr int kRsv1 = 0x40;
constexpr int kFinContinuation = kFin | kContinuation;
constexpr int kFinText = kFin | kText;
constexpr int kFinBinary = kFin | kBinary;
constexpr int kFinClose = kFin | kClose;
constexpr int kFinPing = kFin | kPing;
constexpr int kFinPong = kFin | kPong;

constexpr std::string_view kKey = "\x37\xfa\x21\x3d";  // That of RFC 6455 5.7.

// How many bytes of length follow the first two.
constexpr int shortest_form(std::uint64_t length) {
  return length < 126 ? 0 : length <= 0xffff ? 2 : 8;
}

inline std::string frame_header(int first_byte, std::uint64_t length, bool masked,
                                int length_bytes) {
  std::string bytes(1, static_cast<char>(first_byte));
  const int mask_bit = masked ? 0x80 : 0;
  const int short_length = length_bytes == 0   ? static_cast<int>(length)
                           : length_bytes == 2 ? 126
                                               : 127;
  bytes += static_cast<char>(mask_bit | short_length);
  for (int i = length_bytes - 1; i >= 0; --i) bytes += static_cast<char>(length >> (8 * i) & 0xff);
  if (masked) bytes += kKey;
  return bytes;
}

inline std::string frame_header(int first_byte, std::uint64_t length, bool masked = false) {
  return frame_header(first_byte, length, masked, shortest_form(length));
}

// `payload` is what the receiver reads.
inline std::string frame_of(int first_byte, std::string_view payload, bool masked,
                            int length_bytes) {
  std::string bytes = frame_header(first_byte, payload.size(), masked, length_bytes);
  for (std::size_t i = 0; i < payload.size(); ++i) {
    bytes += static_cast<char>(payload[i] ^ (masked ? kKey[i % kKey.size()] : 0));
  }
  return bytes;
}

inline std::string frame_of(int first_byte, std::string_view payload, bool masked = false) {
  return frame_of(first_byte, payload, masked, shortest_form(payload.size()));
}

inline std::string close_frame(int code, std::string_view reason, bool masked) {
  std::string payload(1, static_cast<char>(code >> 8));
  payload += static_cast<char>(code & 0xff);
  payload += reason;
  return frame_of(kFinClose, payload, masked);
}

}  // namespace wsbalance::test
