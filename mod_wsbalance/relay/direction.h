// direction.h - one way of a tunnel: from a source to a destination, in order, nothing lost.
//
// Layer:    relay.
// Owns:     what its destination has not taken yet.
// Threads:  one at a time.
// Errors:   values; it does not end the tunnel itself.
//
// What is read is written at once. Only what the destination does not take is kept, and the source
// is read again when half of what may be kept is free. buffer_budget.h says how the memory of all
// tunnels bears on that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

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

  explicit Direction(std::size_t buffer_bytes_max) noexcept;

  // Before the tunnel belongs to a loop. False: no memory.
  [[nodiscard]] bool put_first(std::span<const std::byte> data) noexcept;
  void count_memory(BufferBudget& budget) noexcept { budget.change(0, queue_.capacity()); }

  // Is there a use for readable bytes, for a writable destination?
  bool wants_source(const BufferBudget& budget) const noexcept;
  bool wants_destination() const noexcept { return !queue_.is_empty() || waits_for_destination_; }

  // One read, into `read_buffer`, and one write. Only if wants_source().
  Step carry(Endpoint& source, Endpoint& destination, BufferBudget& budget,
             std::span<std::byte> read_buffer) noexcept;

  // The destination may take more now: one write.
  Step flush(Endpoint& destination, BufferBudget& budget) noexcept;

  // Nothing more comes from the source. When all is delivered the destination is told.
  void end_source(Endpoint& destination) noexcept;

  // The destination is gone: drops what is kept; the source is read only to drop that too.
  void abandon(BufferBudget& budget) noexcept;

  // The tunnel ends: drops what is kept.
  void release(BufferBudget& budget) noexcept;

  bool has_source_ended() const noexcept { return source_ended_; }
  // All that came was delivered, and nothing more comes.
  bool is_done() const noexcept { return source_ended_ && queue_.is_empty(); }

  const protocol::FrameScanner& frames() const noexcept { return scanner_; }
  DirectionCounts counts() const noexcept;

 private:
  std::size_t room_to_read(const BufferBudget& budget) const noexcept;
  Step source_stopped(IoResult result, Endpoint& destination) noexcept;
  Step discard(Endpoint& source, Endpoint& destination, std::span<std::byte> read_buffer) noexcept;
  Step deliver(std::span<const std::byte> data, Endpoint& destination,
               BufferBudget& budget) noexcept;
  Step pass_through(Endpoint& source, Endpoint& destination,
                    std::span<std::byte> read_buffer) noexcept;
  void follow(std::span<const std::byte> data) noexcept;
  void half_close_when_drained(Endpoint& destination) noexcept;

  protocol::FrameScanner scanner_;
  ByteQueue queue_;
  std::uint64_t bytes_ = 0;  // That came from the source.
  std::uint32_t buffer_bytes_max_;
  bool source_ended_ = false;
  bool half_closed_ = false;            // The destination was told of the end.
  bool discards_ = false;               // See abandon().
  bool waits_for_destination_ = false;  // pass_through() has bytes that it did not take.
};

}  // namespace wsbalance::relay
