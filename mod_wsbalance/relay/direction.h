// direction.h - what flows from one end of a tunnel to the other, and what waits in between.
//
// Layer:    relay.
// Owns:     the bytes that were read and not yet written.
// Threads:  the tunnel's.
// Errors:   values.
//
// What is read is written at once. Only what the destination does not take is kept, and the source
// is read again when half of what may be kept is free. buffer_budget.h says how the memory of all
// tunnels bears on that.
//
// Of what is read, the frame scanner says how much may go on. A few bytes of a header that is not
// there yet are held back: so what went on ends at a frame's boundary or inside a payload, and a
// control frame of ours can be put in at each boundary.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "protocol/control_frame.h"
#include "protocol/frame_scanner.h"
#include "relay/buffer_budget.h"
#include "relay/byte_queue.h"
#include "relay/endpoint.h"
#include "relay/tunnel_settings.h"

namespace wsbalance::relay {

class Direction {
 public:
  enum class Step : std::uint8_t {
    idle,     // The source had nothing.
    blocked,  // The destination took nothing.
    moved,    // Bytes moved, or the source ended.
    source_broke,
    destination_broke,
    refused,  // No memory. Bytes are lost, so the tunnel has to end.
  };

  // `rules`: of what the source sends; it must live as long as this.
  Direction(std::size_t buffer_bytes_max, const protocol::FrameRules& rules) noexcept;

  // Before the tunnel belongs to a loop. False: no memory.
  [[nodiscard]] bool put_first(std::span<const std::byte> data) noexcept;
  void count_memory(BufferBudget& budget) noexcept { budget.change(0, queue_.capacity()); }

  // Is there a use for readable bytes, for a writable destination?
  bool wants_source(const BufferBudget& budget) const noexcept;
  bool wants_destination() const noexcept { return !queue_.is_empty() || waits_for_destination_; }

  // One read, into `read_buffer`, and one write. Only if wants_source(). The buffer is longer than
  // FrameScanner::kHeldMax.
  Step carry(Endpoint& source, Endpoint& destination, BufferBudget& budget,
             std::span<std::byte> read_buffer) noexcept;

  // The destination may take more now: one write.
  Step flush(Endpoint& destination, BufferBudget& budget) noexcept;

  // Nothing more comes from the source. When all is delivered the destination is told.
  Step end_source(Endpoint& destination, BufferBudget& budget) noexcept;

  // The destination is gone: drops what is kept; the source is read only to drop that too.
  void abandon(BufferBudget& budget) noexcept;

  // The tunnel ends: drops what is kept.
  void release(BufferBudget& budget) noexcept;

  // Frames of our own

  // Can one ever be put in, can one now? A source that ended inside a frame leaves no boundary.
  bool is_followed() const noexcept {
    return rules_.strictness != protocol::Strictness::off && !scanner_.is_lost();
  }
  bool at_boundary() const noexcept {
    return is_followed() && scanner_.at_boundary() && held_sent_ == 0;
  }

  // Sends a ping, if at_boundary() and nothing waits. From then on the pong to it is taken out of
  // the opposite direction by expect_pong(). idle: the destination does not take it now.
  Step ping(const protocol::ControlFrame& frame, Endpoint& destination,
            BufferBudget& budget) noexcept;

  // The source has been pinged with `tag`, which must live as long as this.
  void expect_pong(const protocol::PingTag& tag) noexcept { pong_tag_ = &tag; }

  // Nothing that has not begun goes on any more: the frame that passes is the last one, after it the
  // source is read only to see its close frame and its end.
  void close() noexcept { is_closing_ = true; }

  // The boundary behind close() is here. Nothing more is read before our close frame is put: what
  // is dropped moves the scanner on, and the place would be lost.
  bool waits_for_close() const noexcept;

  // Our close frame, once, if waits_for_close().
  Step put_close(const protocol::ControlFrame& frame, Endpoint& destination,
                 BufferBudget& budget) noexcept;

  // No close frame can go out, or none is waited for: ends the destination's stream behind what is
  // kept, although the source has not ended.
  void end_output(Endpoint& destination) noexcept;

  bool has_put_close() const noexcept { return is_close_put_; }

  // The destination was told of the end of its stream.
  bool has_ended_output() const noexcept { return half_closed_; }

  // A close frame is among what went on, the source's or ours.
  bool has_close_gone() const noexcept {
    return is_close_put_ || (scanner_.has_close() && !has_dropped_close_);
  }

  // What went on

  bool has_source_ended() const noexcept { return source_ended_; }
  // All that came was delivered, and nothing more comes.
  bool is_done() const noexcept { return source_ended_ && queue_.is_empty(); }
  bool is_empty() const noexcept { return queue_.is_empty(); }

  // A frame broke a rule or a limit and did not go on: FrameScanner::broken() says which.
  bool is_refused() const noexcept { return is_refused_; }

  const protocol::FrameScanner& frames() const noexcept { return scanner_; }
  std::uint64_t bytes() const noexcept { return bytes_; }  // That came from the source.
  // Of the bytes that came, so many belonged to data frames, as far as anybody knows.
  std::uint64_t data_bytes() const noexcept {
    return bytes_ - held_size_ - own_pong_bytes_ - scanner_.control_bytes();
  }

 private:
  std::size_t room_to_read(const BufferBudget& budget) const noexcept;
  bool drops() const noexcept;
  std::span<std::byte> behind_held(std::span<std::byte> read_buffer) const noexcept;
  std::span<std::byte> limited(std::span<std::byte> into, std::size_t bytes_max) const noexcept;
  std::size_t judge(std::span<std::byte> data) noexcept;
  Step source_stopped(IoResult result, Endpoint& destination, BufferBudget& budget) noexcept;
  Step drop(Endpoint& source, Endpoint& destination, BufferBudget& budget,
            std::span<std::byte> read_buffer) noexcept;
  Step pass(std::span<std::byte> data, Endpoint& destination, BufferBudget& budget) noexcept;
  Step deliver(std::span<const std::byte> data, Endpoint& destination,
               BufferBudget& budget) noexcept;
  Step pass_through(Endpoint& source, Endpoint& destination, BufferBudget& budget,
                    std::span<std::byte> read_buffer) noexcept;
  void half_close_when_drained(Endpoint& destination) noexcept;

  const protocol::FrameRules& rules_;
  const protocol::PingTag* pong_tag_ = nullptr;
  protocol::FrameScanner scanner_;
  ByteQueue queue_;
  std::uint64_t bytes_ = 0;
  std::uint32_t buffer_bytes_max_;
  std::uint32_t own_pong_bytes_ = 0;  // Wraps around after years of pings.
  std::array<std::byte, protocol::FrameScanner::kHeldMax> held_;
  std::uint8_t held_size_ = 0;
  std::uint8_t held_sent_ = 0;  // So many of them went on all the same: see pass_through().
  bool source_ended_ = false;
  bool ends_output_ = false;
  bool half_closed_ = false;            // The destination was told of the end.
  bool discards_ = false;               // See abandon().
  bool waits_for_destination_ = false;  // pass_through() has bytes that it did not take.
  bool is_closing_ = false;
  bool has_dropped_close_ = false;  // The source's close frame is one of those that went nowhere.
  bool is_close_put_ = false;
  bool is_refused_ = false;
};

}  // namespace wsbalance::relay
