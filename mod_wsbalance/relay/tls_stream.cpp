#include "relay/tls_stream.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "relay/socket_io.h"

namespace wsbalance::relay {
namespace {

// Of records that the socket does not take. write() waits while there is one, so that more than one
// of data, and some of TLS's own, means a peer that asks (for KeyUpdates) and does not read.
constexpr std::size_t kUnsentBytesMax = 64 * 1024;

// A record holds no more (RFC 8446 5.1).
constexpr std::size_t kRecordPlaintextMax = 16 * 1024;

// How often one call may go to the socket for records that bring no data (KeyUpdate, tickets): a
// peer that sends nothing else must not hold up the loop.
constexpr int kReceivesPerCall = 4;

// A look costs far less than a clearing, which goes through all places of the queue.
void clear_errors() {
  if (ERR_peek_error() != 0) ERR_clear_error();
}

}  // namespace

// What OpenSSL reads from and writes to.
struct TlsBio {
  static TlsStream& stream_of(BIO* bio) { return *static_cast<TlsStream*>(BIO_get_data(bio)); }

  // Says "later" for every end and error of the socket: TlsStream knows better what they mean, and
  // OpenSSL would declare the whole connection dead.
  static int read(BIO* bio, char* into, std::size_t size, std::size_t* count) {
    TlsStream& stream = stream_of(bio);
    BIO_clear_retry_flags(bio);
    if (!stream.received_.empty()) {
      *count = std::min(size, stream.received_.size());
      std::memcpy(into, stream.received_.data(), *count);
      stream.received_ = stream.received_.subspan(*count);
      return 1;
    }
    BIO_set_retry_read(bio);
    if (stream.receives_left_ == 0) return 0;
    --stream.receives_left_;
    const auto [result, bytes] =
        receive(stream.fd_, std::as_writable_bytes(std::span(into, size)), 0);
    if (result == IoResult::end_of_file) stream.input_ = TlsStream::Input::truncated;
    if (result == IoResult::error) stream.input_ = TlsStream::Input::failed;
    if (result == IoResult::refused) stream.is_out_of_memory_ = true;
    if (result != IoResult::ok) {
      stream.receives_left_ = 0;
      return 0;
    }
    BIO_clear_retry_flags(bio);
    *count = bytes;
    return 1;
  }

  static int write(BIO* bio, const char* data, std::size_t size, std::size_t* count) {
    BIO_clear_retry_flags(bio);
    *count = size;
    return stream_of(bio).send_record(std::as_bytes(std::span(data, size))) ? 1 : 0;
  }

  static long control(BIO*, int command, long, void*) {
    return command == BIO_CTRL_FLUSH ? 1 : 0;  // Nothing is held back.
  }

  static const BIO_METHOD* method() {
    static const BIO_METHOD* const method = make_method();
    return method;
  }

 private:
  static const BIO_METHOD* make_method() {
    BIO_METHOD* method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wsbalance");
    if (method == nullptr) throw std::bad_alloc();
    BIO_meth_set_read_ex(method, read);
    BIO_meth_set_write_ex(method, write);
    BIO_meth_set_ctrl(method, control);
    return method;
  }
};

TlsStream::TlsStream(UniqueSsl ssl, std::span<const std::byte> unsent) : ssl_(std::move(ssl)) {
  if (!unsent_.append(unsent, unsent.size())) throw std::bad_alloc();
  BIO* bio = BIO_new(TlsBio::method());
  if (bio == nullptr) throw std::bad_alloc();
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
  SSL_set_read_ahead(ssl_.get(), 0);
  SSL_set_quiet_shutdown(ssl_.get(), 0);
  SSL_set_options(ssl_.get(), SSL_OP_NO_RENEGOTIATION);
  // Without AUTO_RETRY a read would end at each record that is no data, with data behind it.
  SSL_set_mode(ssl_.get(),
               SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_AUTO_RETRY);
  if (SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) input_ = Input::close_notify;
}

IoOutcome TlsStream::read(int fd, std::span<std::byte> into) noexcept {
  fd_ = fd;
  clear_errors();
  receives_left_ = kReceivesPerCall;
  // First what was decrypted, alone: so a caller that asks has_pending() again comes to an end.
  if (SSL_pending(ssl_.get()) > 0) return read_records(into);
  std::size_t total = 0;
  for (;;) {
    // A part of a record that OpenSSL holds already needs only the rest of it. Where it holds
    // nothing, all that is received becomes no more bytes than it was.
    const bool holds_part = SSL_has_pending(ssl_.get()) != 0;
    const auto rest = into.subspan(total);
    const auto [result, bytes] = holds_part ? read_records(rest) : receive_and_read(rest);
    total += bytes;
    const bool goes_on = result == IoResult::would_block || (result == IoResult::ok && holds_part);
    if (goes_on && receives_left_ > 0 && total < into.size()) continue;
    if (total > 0) return {IoResult::ok, total};  // What came after it is told the next time.
    has_told_input_ = result == IoResult::end_of_file || result == IoResult::error;
    return {result};
  }
}

// Receives into `into` and lets OpenSSL decrypt in place: a record's plaintext is shorter than the
// record, so what is written never reaches what is still to be read.
IoOutcome TlsStream::receive_and_read(std::span<std::byte> into) noexcept {
  if (input_ != Input::more) return no_more_input();
  const auto [result, bytes] = receive(fd_, into, 0);
  if (result == IoResult::end_of_file) input_ = Input::truncated;
  if (result == IoResult::error) input_ = Input::failed;
  if (input_ != Input::more) return no_more_input();
  if (result != IoResult::ok) {
    receives_left_ = 0;
    return {result};
  }

  const int receives_left = std::exchange(receives_left_, 0);
  received_ = into.first(bytes);
  std::size_t total = 0;
  while (!received_.empty() || SSL_pending(ssl_.get()) > 0) {
    const IoOutcome outcome = read_records(into.subspan(total));
    if (outcome.result != IoResult::ok) break;
    total += outcome.bytes;
  }
  received_ = {};  // Only after an end or an error is something left.
  receives_left_ = receives_left - 1;
  if (total > 0) return {IoResult::ok, total};
  if (is_out_of_memory_) return {IoResult::refused};
  return input_ == Input::more ? IoOutcome{IoResult::would_block} : no_more_input();
}

// One call of OpenSSL: data of one record at most.
IoOutcome TlsStream::read_records(std::span<std::byte> into, SslRead* ssl_read) noexcept {
  if (input_ == Input::close_notify || input_ == Input::failed) return no_more_input();
  std::size_t bytes = 0;
  const int result = ssl_read(ssl_.get(), into.data(), into.size(), &bytes);
  if (result == 1) return {IoResult::ok, bytes};
  if (note_failure(result) == SSL_ERROR_WANT_READ && input_ == Input::more) {
    return {is_out_of_memory_ ? IoResult::refused : IoResult::would_block};
  }
  return no_more_input();
}

IoOutcome TlsStream::peek(int fd, std::span<std::byte> into) noexcept {
  fd_ = fd;
  clear_errors();
  receives_left_ = kReceivesPerCall;
  return read_records(into, SSL_peek_ex);
}

IoOutcome TlsStream::no_more_input() const noexcept {
  return {input_ == Input::failed ? IoResult::error : IoResult::end_of_file};
}

// What OpenSSL refused; leaves its error queue empty.
int TlsStream::note_failure(int result) noexcept {
  const int error = SSL_get_error(ssl_.get(), result);
  if (error == SSL_ERROR_ZERO_RETURN) input_ = Input::close_notify;
  if (error == SSL_ERROR_SSL || error == SSL_ERROR_SYSCALL) input_ = Input::failed;
  clear_errors();
  return error;
}

IoOutcome TlsStream::write(int fd, std::span<const std::byte> data) noexcept {
  fd_ = fd;
  clear_errors();
  write_waits_for_input_ = false;
  if (!unsent_.is_empty()) {
    const IoOutcome flushed = flush(fd);
    if (flushed.result != IoResult::ok) return flushed;
    if (!unsent_.is_empty()) return {IoResult::would_block};
  }
  receives_left_ = kReceivesPerCall;
  std::size_t total = 0;
  while (total < data.size() && unsent_.is_empty()) {
    const auto part = data.subspan(total, std::min(data.size() - total, kRecordPlaintextMax));
    std::size_t bytes = 0;
    const int result = SSL_write_ex(ssl_.get(), part.data(), part.size(), &bytes);
    if (result != 1) {
      const int error = note_failure(result);
      // Only a message of TLS's own that came in part makes a write wait for input.
      write_waits_for_input_ = error == SSL_ERROR_WANT_READ && input_ == Input::more;
      if (!write_waits_for_input_) is_output_broken_ = true;
      break;
    }
    total += bytes;
  }
  if (is_out_of_memory_) return {IoResult::refused};
  if (is_output_broken_) return {IoResult::error};
  if (total > 0) return {IoResult::ok, total};
  return {IoResult::would_block};
}

void TlsStream::shutdown_write(int fd) noexcept {
  fd_ = fd;
  has_ended_writing_ = true;
  clear_errors();
  if (!is_output_broken_ && input_ != Input::failed) (void)SSL_shutdown(ssl_.get());
  clear_errors();
  if (unsent_.is_empty()) (void)::shutdown(fd, SHUT_WR);
}

IoOutcome TlsStream::flush(int fd) noexcept {
  if (is_output_broken_) return {IoResult::error};
  const auto [result, bytes] = send(fd, unsent_.bytes());
  if (result == IoResult::error) {
    is_output_broken_ = true;
    unsent_.release();  // Nobody gets it.
  }
  if (result != IoResult::ok) return {result};
  unsent_.consume(bytes);
  if (unsent_.is_empty() && has_ended_writing_) (void)::shutdown(fd, SHUT_WR);
  return {IoResult::ok, bytes};
}

bool TlsStream::has_pending() const noexcept {
  return SSL_pending(ssl_.get()) > 0 || (input_ != Input::more && !has_told_input_);
}

// OpenSSL may forget the record when this returns true.
bool TlsStream::send_record(std::span<const std::byte> record) noexcept {
  if (is_output_broken_) return true;  // Nobody gets it.
  if (has_ended_writing_) bytes_of_end_ += record.size();
  if (unsent_.is_empty()) {
    const auto [result, bytes] = send(fd_, record);
    if (result == IoResult::error) {
      is_output_broken_ = true;
      return true;
    }
    record = record.subspan(bytes);
  }
  if (unsent_.size() + record.size() > kUnsentBytesMax) {
    unsent_.release();
    is_output_broken_ = true;
    input_ = Input::failed;
    return true;
  }
  if (!record.empty() && !unsent_.append(record, record.size())) is_out_of_memory_ = true;
  return !is_out_of_memory_;
}

}  // namespace wsbalance::relay
