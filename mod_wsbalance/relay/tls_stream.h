// tls_stream.h - TLS between an endpoint and its socket, for an SSL whose handshake is over.
//
// Layer:    relay.
// Owns:     the SSL, and the part of one record that the socket did not take.
// Threads:  one at a time.
// Errors:   values. What a peer sends can only end its own stream; OpenSSL's error queue, which
//           all streams of a thread share, is empty before and after every call.
//
// OpenSSL reads and writes through a BIO of ours and never meets the socket: what read() has
// received stands in front of it, and a record that the socket does not take is kept here. So no
// call blocks or has to be repeated with the same arguments, a message costs one recv and one send
// as without TLS, and an idle stream holds no buffer.
#pragma once

#include <openssl/ssl.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "relay/byte_queue.h"
#include "relay/io_outcome.h"

namespace wsbalance::relay {

// Frees an SSL without a word to the peer. Both flags, or OpenSSL takes the session for a bad one
// and calls the removal callback of its context (ssl_clear_bad_session()).
struct QuietSslFree {
  void operator()(SSL* ssl) const noexcept {
    SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(ssl);
  }
};
using UniqueSsl = std::unique_ptr<SSL, QuietSslFree>;

class TlsStream {
 public:
  // Replaces the BIOs, modes and options of `ssl` that bear on reading and writing. `unsent`:
  // records that it has made and nobody has sent; copied. May throw std::bad_alloc.
  TlsStream(UniqueSsl ssl, std::span<const std::byte> unsent);
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  // As Endpoint's; `fd` is the socket below. The spans are not empty.
  IoOutcome read(int fd, std::span<std::byte> into) noexcept;
  IoOutcome peek(int fd, std::span<std::byte> into) noexcept;
  IoOutcome write(int fd, std::span<const std::byte> data) noexcept;

  // A close_notify, then the end of the TCP stream, as soon as the socket takes them.
  void shutdown_write(int fd) noexcept;

  // Sends what is kept. ok: something went out.
  IoOutcome flush(int fd) noexcept;

  // Does read() have something to say although the socket is silent?
  bool has_pending() const noexcept;
  std::size_t unsent_bytes() const noexcept { return unsent_.size(); }
  std::size_t bytes_of_end() const noexcept { return bytes_of_end_; }  // Of the close_notify.
  // write() came to nothing because the peer has to complete a message of TLS's own first.
  bool write_waits_for_input() const noexcept {
    return write_waits_for_input_ && SSL_in_init(ssl_.get()) != 0;
  }
  // The peer's end of file was not announced by a close_notify (RFC 8446 6.1).
  bool was_truncated() const noexcept { return input_ == Input::truncated; }
  bool has_failed() const noexcept { return input_ == Input::failed; }

 private:
  friend struct TlsBio;

  // What comes after all that was read so far.
  enum class Input : std::uint8_t { more, close_notify, truncated, failed };

  using SslRead = int(SSL*, void*, std::size_t, std::size_t*);
  IoOutcome read_records(std::span<std::byte> into, SslRead* ssl_read = SSL_read_ex) noexcept;
  IoOutcome receive_and_read(std::span<std::byte> into) noexcept;
  IoOutcome no_more_input() const noexcept;
  int note_failure(int result) noexcept;
  bool send_record(std::span<const std::byte> record) noexcept;

  UniqueSsl ssl_;
  ByteQueue unsent_;
  std::span<const std::byte> received_{};  // Not seen by OpenSSL yet. Empty between calls.
  std::size_t bytes_of_end_ = 0;
  int fd_ = -1;            // During a call.
  int receives_left_ = 0;  // That OpenSSL may cause in this call.
  Input input_ = Input::more;
  bool has_told_input_ = false;  // The end or failure was returned by read().
  bool has_ended_writing_ = false;
  bool is_output_broken_ = false;
  bool is_out_of_memory_ = false;
  bool write_waits_for_input_ = false;
};

}  // namespace wsbalance::relay
