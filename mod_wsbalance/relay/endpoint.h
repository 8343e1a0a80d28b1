// endpoint.h - one end of a tunnel: a connected socket, and all that is ever done to it.
//
// Layer:    relay.
// Owns:     the descriptor, and the TLS on it.
// Threads:  one at a time.
// Errors:   values; a socket that broke stays readable for what came before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "relay/io_outcome.h"
#include "relay/tls_stream.h"
#include "relay/tunnel_settings.h"
#include "relay/unique_fd.h"

namespace wsbalance::relay {

// What a tunnel is given for one of its ends.
struct Connection {
  UniqueFd fd;
  std::unique_ptr<TlsStream> tls;  // Null: no TLS.
};

class Endpoint {
 public:
  void open(Connection connection) noexcept;
  void close() noexcept;
  void close_descriptor() noexcept { fd_.reset(); }  // By system calls only.
  int fd() const noexcept { return fd_.get(); }

  // Non-blocking; with TCP, small messages leave at once, and the system looks whether the other
  // side is still there. False if it cannot be made so.
  [[nodiscard]] bool prepare(const KeepAliveSettings& keep_alive) noexcept;

  // One system call each without TLS, a few with it. The spans are not empty.
  IoOutcome read(std::span<std::byte> into) noexcept;
  IoOutcome peek(std::span<std::byte> into) noexcept;  // Leaves the bytes to be read again.
  IoOutcome write(std::span<const std::byte> data) noexcept;

  // With TLS more can be there to read although the socket is silent.
  bool has_pending() const noexcept { return tls_ && tls_->has_pending(); }

  // What write() took but the socket did not, a part of one TLS record, goes out with flush() when
  // the socket is writable. Until then write() would block.
  bool wants_flush() const noexcept { return tls_ && tls_->unsent_bytes() > 0; }
  IoOutcome flush() noexcept { return tls_->flush(fd()); }

  // write() would block until the socket is readable, not writable.
  bool write_waits_for_input() const noexcept { return tls_ && tls_->write_waits_for_input(); }

  // Its end of file may have been made by anybody on the way (RFC 8446 6.1).
  bool was_truncated() const noexcept { return tls_ && tls_->was_truncated(); }

  // The other side reads an end of file after what was written.
  void shutdown_write() noexcept;

  // Is the connection broken? Reading on yields what came before, then an end or an error.
  bool is_broken() noexcept;

  // A hang-up says that the other side has closed its socket, and takes no more. On TCP it says
  // only that both sides have ended; and so it does here once this side has.
  bool is_gone_at_hang_up() const noexcept { return !is_tcp_ && !has_ended_writing_; }

  // What was written, in bytes of the socket, but has not reached the other side (TCP) or has not
  // been read by it (AF_UNIX, there in what the kernel charges for its buffers, each of up to 36 KB,
  // until they are read to their end). An end that was written does not count. 0 if the system does
  // not say.
  std::uint32_t unsent_bytes() const noexcept;

 private:
  void keep_alive(const KeepAliveSettings& settings) noexcept;

  UniqueFd fd_;
  std::unique_ptr<TlsStream> tls_;
  bool has_ended_writing_ = false;
  bool is_tcp_ = true;
};

}  // namespace wsbalance::relay
