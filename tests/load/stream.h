// stream.h - bytes over a socket of 127.0.0.1, plain or TLS, for either end of a connection.
//
// Owns:     a Stream its descriptor and its TLS state, which keeps the Tls it was made with alive.
// Threads:  one.
// Errors:   what the machine refuses ends the program; what the other side does is a result.
#pragma once

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

namespace load {

[[noreturn]] inline void fail(const std::string& what) {
  std::fprintf(stderr, "wsload: %s\n", what.c_str());
  std::exit(2);
}

// ---- sockets

inline sockaddr_in address_of(unsigned long port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

inline int new_socket(int flags, int receive_buffer) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
  if (fd < 0) fail(std::string("socket: ") + std::strerror(errno));
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (receive_buffer > 0) {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  }
  return fd;
}

inline bool connect_to(int fd, unsigned long port) {
  const sockaddr_in address = address_of(port);
  return connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

// ---- TLS

struct TlsFree {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};
using Tls = std::unique_ptr<SSL_CTX, TlsFree>;  // Of all streams of one side; empty if plain.

inline Tls new_tls(const SSL_METHOD* method) {
  Tls tls(SSL_CTX_new(method));
  if (!tls || SSL_CTX_set_min_proto_version(tls.get(), TLS1_3_VERSION) != 1) fail("no TLS 1.3");
  // What is queued to be written moves in memory while it waits.
  SSL_CTX_set_mode(tls.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
  return tls;
}

// Any certificate of the other side will do.
inline Tls tls_client() { return new_tls(TLS_client_method()); }

inline Tls tls_server(const std::string& certificate, const std::string& key) {
  Tls tls = new_tls(TLS_server_method());
  if (SSL_CTX_use_certificate_chain_file(tls.get(), certificate.c_str()) != 1 ||
      SSL_CTX_use_PrivateKey_file(tls.get(), key.c_str(), SSL_FILETYPE_PEM) != 1) {
    fail("cannot use certificate " + certificate + " with key " + key);
  }
  return tls;
}

// ---- either

class Stream {
 public:
  Stream(int fd, const Tls& tls) : fd_(fd) {
    if (!tls) return;
    ssl_.reset(SSL_new(tls.get()));
    if (!ssl_ || SSL_set_fd(ssl_.get(), fd) != 1) fail("no memory for TLS");
    SSL_is_server(ssl_.get()) == 1 ? SSL_set_accept_state(ssl_.get())
                                   : SSL_set_connect_state(ssl_.get());
  }
  ~Stream() { shut(); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  int fd() const { return fd_; }
  // What epoll has to report before reading or writing can go on: TLS may need the other way.
  std::uint32_t read_event() const { return read_event_; }
  std::uint32_t write_event() const { return write_event_; }
  // There are bytes to read of which epoll knows nothing.
  bool holds_bytes() const { return ssl_ && SSL_pending(ssl_.get()) > 0; }

  void shut() {
    if (fd_ < 0) return;
    // Says that nothing is missing (close_notify); OpenSSL forbids it after an error.
    if (ssl_ && !broken_ && SSL_is_init_finished(ssl_.get()) == 1) SSL_shutdown(ssl_.get());
    ssl_.reset();
    close(fd_);
    fd_ = -1;
  }

  // Writes what can be written and takes it out of `bytes`; false if the connection is broken.
  bool write(std::string& bytes) {
    write_event_ = EPOLLOUT;
    while (!bytes.empty()) {
      std::size_t count = 0;
      if (ssl_) {
        ERR_clear_error();
        const int result = SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &count);
        if (result != 1) return goes_on(result, write_event_);
      } else {
        const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent < 0) return errno == EAGAIN;
        count = static_cast<std::size_t>(sent);
      }
      bytes.erase(0, count);
    }
    return true;
  }

  // Appends what is there to `bytes`, at most `most`; false at the end of the connection.
  bool read(std::string& bytes, std::size_t most) {
    static std::array<char, 65536> buffer;
    most = std::min(most, buffer.size());
    if (ssl_) {
      read_event_ = EPOLLIN;
      write_event_ = EPOLLOUT;  // This may read what the handshake of a write waits for.
      std::size_t count = 0;
      ERR_clear_error();
      const int result = SSL_read_ex(ssl_.get(), buffer.data(), most, &count);
      if (result != 1) return goes_on(result, read_event_);
      bytes.append(buffer.data(), count);
      return true;
    }
    const ssize_t count = recv(fd_, buffer.data(), most, 0);
    if (count > 0) bytes.append(buffer.data(), static_cast<std::size_t>(count));
    return count > 0 || (count < 0 && errno == EAGAIN);
  }

 private:
  // After a call that did nothing: true if it only has to wait, for `event`.
  bool goes_on(int result, std::uint32_t& event) {
    const int error = SSL_get_error(ssl_.get(), result);
    if (error == SSL_ERROR_WANT_READ) event = EPOLLIN;
    if (error == SSL_ERROR_WANT_WRITE) event = EPOLLOUT;
    if (error == SSL_ERROR_SSL || error == SSL_ERROR_SYSCALL) broken_ = true;
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
  }

  int fd_;
  std::unique_ptr<SSL, TlsFree> ssl_;
  std::uint32_t read_event_ = EPOLLIN, write_event_ = EPOLLOUT;
  bool broken_ = false;
};

}  // namespace load
