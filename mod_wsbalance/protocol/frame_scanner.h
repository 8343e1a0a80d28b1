// frame_scanner.h - follows frames in a stream of bytes that passes by (RFC 6455 5.2).
//
// Layer:    protocol (pure).
// Threads:  one at a time.
// Errors:   none: it refuses nothing. Where a length cannot be one (RFC 6455 5.2: the most
//           significant bit of a 64-bit length is 0) it gives up following and says so.
//
// It copies nothing, keeps a few bytes of state between pieces of any size, jumps over payloads,
// and reads of them only the status code of a close frame. One for each direction of a tunnel.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace wsbalance::protocol {

class FrameScanner {
 public:
  // Follows the next bytes of the stream. How they are cut into pieces changes nothing.
  void scan(std::span<const std::byte> bytes);

  // True between two frames, where a frame of our own could be put in. Never after is_lost().
  bool at_boundary() const { return state_ == State::header && header_size_ == 0; }

  // True once the boundaries are unknown; counters stand still from then on.
  bool is_lost() const { return state_ == State::lost; }

  // Whole frames that have passed, control frames too.
  std::uint64_t frames() const { return frames_; }

  // Whole messages: data frames with FIN that have passed (opcodes 0, 1, 2: RFC 6455 5.4, 5.6).
  std::uint64_t messages() const { return messages_; }

  // Has a close frame passed whole? Its status code as it was sent, valid or not; 1005 for a close
  // frame without one (RFC 6455 7.1.5), 0 while none has passed. The first close frame counts.
  bool has_close() const { return has_close_; }
  std::uint16_t close_code() const { return close_code_; }

 private:
  enum class State : std::uint8_t { header, payload, lost };

  std::size_t pass_whole_frames(const std::uint8_t* bytes, std::size_t size);
  std::size_t take_header(const std::uint8_t* bytes, std::size_t size);
  std::size_t take_payload(const std::uint8_t* bytes, std::size_t size);
  void read_status(const std::uint8_t* payload, std::size_t size);
  void end_frame();

  // What the header of the frame that passes says. Valid in State::payload.
  std::uint8_t opcode() const { return header_[0] & 0x0f; }
  bool is_masked() const { return (header_[1] & 0x80) != 0; }

  std::uint64_t frames_ = 0;
  std::uint64_t messages_ = 0;
  std::uint64_t payload_left_ = 0;         // Of the frame that passes.
  std::array<std::uint8_t, 14> header_{};  // Of the frame that passes, as far as it has come:
  std::uint8_t header_size_ = 0;           // so many bytes of it. 14 is the largest header.
  State state_ = State::header;
  std::uint16_t status_ = 0;  // Of the close frame that passes, as far as it has come.
  std::uint16_t close_code_ = 0;
  std::uint8_t status_size_ = 0;  // Bytes in status_: 0 to 2.
  bool has_close_ = false;
};

// Every tunnel has two, also in the tens of thousands that are idle.
static_assert(sizeof(FrameScanner) <= 48);

}  // namespace wsbalance::protocol
