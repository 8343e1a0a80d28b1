// endpoint.h - one end of a tunnel: a connected socket, and all that is ever done to it.
//
// Layer:    relay.
// Owns:     the descriptor.
// Threads:  one at a time.
// Errors:   values; a socket that broke stays readable for what came before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "relay/unique_fd.h"

namespace wsbalance::relay {

enum class IoResult : std::uint8_t {
  ok,  // At least one byte.
  would_block,
  end_of_file,  // Reads only.
  error,        // The connection is broken.
  refused,      // The system has no memory for it.
};

struct IoOutcome {
  IoResult result = IoResult::ok;
  std::size_t bytes = 0;  // 0 unless ok.
};

class Endpoint {
 public:
  void open(UniqueFd fd) noexcept { fd_ = std::move(fd); }
  void close() noexcept { fd_.reset(); }  // System calls only.
  int fd() const noexcept { return fd_.get(); }

  // Non-blocking, and small messages leave at once. False if it cannot be made so.
  [[nodiscard]] bool prepare() noexcept;

  // One system call each. The spans are not empty.
  IoOutcome read(std::span<std::byte> into) noexcept;
  IoOutcome peek(std::span<std::byte> into) noexcept;  // Leaves the bytes to be read again.
  IoOutcome write(std::span<const std::byte> data) noexcept;

  // The other side reads an end of file after what was written.
  void shutdown_write() noexcept;

  // Is the connection broken? Reading on yields what came before, then an end or an error.
  bool is_broken() noexcept;

  // What was written but has not reached the other side (TCP) or has not been read by it (AF_UNIX,
  // there in what the kernel charges for its buffers, each of up to 36 KB, until they are read to
  // their end). An end that was written does not count. 0 if the system does not say.
  std::uint32_t unsent_bytes() const noexcept;

 private:
  UniqueFd fd_;
  bool has_ended_writing_ = false;
};

}  // namespace wsbalance::relay
