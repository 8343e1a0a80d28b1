// frame_scanner.h - follows frames in a stream of bytes that passes by (RFC 6455 5), and says how
// much of it may go on.
//
// Layer:    protocol (pure).
// Threads:  one at a time.
// Errors:   values: the rule that was broken. A lenient scanner notes rules and lets all pass that
//           keeps the two limits; where a length cannot be one (RFC 6455 5.2: 2^63 and above) it
//           gives up following. With a limit set it refuses such a length, in any frame: behind it
//           no limit could be kept.
//
// It copies nothing, keeps a few bytes of state, jumps over payloads, and reads of them only the
// status code of a close frame and the payload of a pong that may be the answer to a ping of ours.
// One for each direction of a tunnel.
//
// Nobody can judge a part of a header, and between a part and its rest no frame of ours can be put
// in. So what it cannot judge yet does not go on: at most kHeldMax bytes, which the caller keeps and
// presents again in front of the next bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "protocol/control_frame.h"
#include "protocol/frame_rules.h"

namespace wsbalance::protocol {

class FrameScanner {
 public:
  // A header of 14 bytes and the status of a close frame, less one byte. A pong that may be ours has
  // a header of 6 bytes.
  static constexpr std::size_t kHeldMax = 15;

  enum class Stop : std::uint8_t {
    end,       // Of what is there. What is left (at most kHeldMax bytes) has to be presented again.
    own_pong,  // The next `skip` bytes are the pong to our ping: not for the other side. Goes on
               // behind it with a call of its own.
    refused,   // The frame that begins behind what may go on breaks `broken()`: any rule if strict,
               // one of the two limits if lenient. Neither it nor anything after it may go on; a
               // further scan() lets nothing pass.
  };

  struct Result {
    std::size_t passed = 0;  // So many bytes may go on.
    std::size_t skip = 0;    // With own_pong.
    Stop stop = Stop::end;
  };

  // Follows the next bytes of the stream. How they are cut into pieces changes no fact below.
  // `tag`: of our pings to this side if one of them may still be answered, else null. A pong is ours
  // with FIN, no reserved bit and the tag alone; then only a strict scanner looks at its masking.
  // Not with Strictness::off.
  Result scan(std::span<const std::byte> bytes, const FrameRules& rules,
              const PingTag* tag = nullptr) noexcept;

  // The part of scan() that nearly all calls come to, for less: passes the messages of one frame that
  // stand whole at the start of `bytes` and break no rule, and returns how long they are. The rest is
  // for scan().
  std::size_t pass_messages(std::span<const std::byte> bytes, const FrameRules& rules) noexcept {
    if (payload_left_ != 0 || state_ != State::outside) return 0;
    return pass_whole_messages(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size(),
                               rules);
  }

  // True between two frames, of what went on: a frame of our own could be put in.
  // Never after is_lost().
  bool at_boundary() const noexcept { return payload_left_ == 0 && !is_lost(); }

  // Of the frame whose header went on and whose payload has not ended; else 0.
  std::uint64_t payload_left() const noexcept { return payload_left_; }

  // True once the boundaries are unknown; the counters stand still from then on.
  bool is_lost() const noexcept { return state_ == State::lost; }

  // Whole frames that have passed, control frames too; pongs to our own pings not.
  std::uint64_t frames() const noexcept { return frames_; }

  // Whole messages: data frames with FIN that have passed (opcodes 0, 1, 2: RFC 6455 5.4, 5.6).
  std::uint64_t messages() const noexcept { return messages_; }

  // Of all bytes that went on, so many belonged to control frames: the rest was data.
  std::uint64_t control_bytes() const noexcept { return control_bytes_; }
  std::uint32_t pings() const noexcept { return pings_; }  // Wraps around.

  // Has a close frame passed whole? Its status code as it was sent, valid or not; 1005 for a close
  // frame without one (RFC 6455 7.1.5), 0 while none has passed. The first close frame counts.
  bool has_close() const noexcept { return has_close_; }
  std::uint16_t close_code() const noexcept { return has_close_ ? close_code_ : 0; }

  // The rule that refused a frame, or (lenient) the one broken last. Of a frame that breaks several,
  // the first in the order of FrameRule that refuses it, or is noted.
  FrameRule broken() const noexcept { return broken_; }
  // All rules that were broken, by rule_bit(), and how many frames broke one.
  std::uint16_t broken_rules() const noexcept { return broken_rules_; }
  std::uint32_t violations() const noexcept { return violations_; }

 private:
  // What follows the bytes that went on, behind the frame that passes.
  enum class State : std::uint8_t {
    outside,  // The first frame of a message, or a control frame.
    inside,   // A continuation, or a control frame.
    lost,
    refused,
  };

  struct Header;

  std::size_t pass_whole_messages(const std::uint8_t* bytes, std::size_t size,
                                  const FrameRules& rules) noexcept;
  Result take_frame(const std::uint8_t* bytes, std::size_t size, const FrameRules& rules,
                    const PingTag* tag) noexcept;
  std::uint16_t judge(const Header& header, const FrameRules& rules) const noexcept;
  Result refuse(std::uint16_t broken, std::uint16_t refusing) noexcept;
  void note(std::uint16_t broken) noexcept;
  void begin_frame(const Header& header) noexcept;
  std::size_t take_payload(std::size_t size) noexcept;
  void end_frame() noexcept;

  std::uint64_t frames_ = 0;
  std::uint64_t messages_ = 0;
  std::uint64_t control_bytes_ = 0;
  std::uint64_t payload_left_ = 0;   // Of the frame that passes.
  std::uint64_t message_bytes_ = 0;  // Of the message inside which it is, by the headers so far.
  std::uint32_t pings_ = 0;
  std::uint32_t violations_ = 0;
  std::uint16_t broken_rules_ = 0;
  std::uint16_t close_code_ = 0;  // Also of the close frame that passes.
  std::uint8_t first_byte_ = 0;   // Of the frame that passes.
  FrameRule broken_ = FrameRule::none;
  State state_ = State::outside;
  bool has_close_ = false;
};

// Every tunnel has two, also in the tens of thousands that are idle.
static_assert(sizeof(FrameScanner) <= 56);

}  // namespace wsbalance::protocol
