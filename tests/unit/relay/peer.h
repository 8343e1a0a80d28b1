// peer.h - the far ends of a tunnel's sockets, as tests play them, and bytes to send.
#pragma once

#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "relay/unique_fd.h"

namespace wsbalance::relay {

struct SocketPair {
  UniqueFd near;  // For the tunnel.
  UniqueFd far;   // For the test; non-blocking.
};

inline void set_send_buffer(int fd, int bytes) {
  ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

inline SocketPair make_unix_pair() {
  std::array<int, 2> fds{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()) != 0) {
    throw std::runtime_error("socketpair");
  }
  // Usual, but a machine may have another default: tests know what fits.
  for (const int fd : fds) set_send_buffer(fd, 106'496);
  ::fcntl(fds[1], F_SETFL, O_NONBLOCK);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

// Sizes of the kernel's buffers for what the tunnel sends; 0 leaves them to the kernel, which gives
// a sender over loopback more than 2 MB. Large ones it cuts to net.core.wmem_max.
struct TcpBuffers {
  int near_sends = 0;
  int far_receives = 0;
};

inline SocketPair make_tcp_pair(TcpBuffers buffers = {}) {
  const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const name = reinterpret_cast<sockaddr*>(&address);
  socklen_t length = sizeof address;
  SocketPair pair{UniqueFd(), UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))};
  const auto set = [](const UniqueFd& fd, int option, int bytes) {
    if (bytes > 0) ::setsockopt(fd.get(), SOL_SOCKET, option, &bytes, sizeof bytes);
  };
  set(listener, SO_SNDBUF, buffers.near_sends);  // The accepted socket inherits it.
  set(pair.far, SO_RCVBUF, buffers.far_receives);
  if (::bind(listener.get(), name, length) != 0 || ::listen(listener.get(), 1) != 0 ||
      ::getsockname(listener.get(), name, &length) != 0 ||
      ::connect(pair.far.get(), name, length) != 0) {
    throw std::runtime_error("loopback");
  }
  pair.near.reset(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  const int on = 1;
  ::setsockopt(pair.far.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::fcntl(pair.far.get(), F_SETFL, O_NONBLOCK);
  return pair;
}

inline std::size_t unread_bytes(int fd) {
  int bytes = 0;
  ::ioctl(fd, FIONREAD, &bytes);
  return static_cast<std::size_t>(bytes);
}

// What was sent over TCP and is not known to have arrived.
inline std::size_t unacknowledged_bytes(int fd) {
  int bytes = 0;
  ::ioctl(fd, SIOCOUTQ, &bytes);
  return static_cast<std::size_t>(bytes);
}

// What was sent over TCP and is neither known to have arrived nor held back for want of room there.
inline std::size_t bytes_under_way(int fd) {
  int held_back = 0;
  ::ioctl(fd, SIOCOUTQNSD, &held_back);
  return unacknowledged_bytes(fd) - static_cast<std::size_t>(held_back);
}

// By an end of file, which may stand behind bytes, or a reset.
inline bool has_far_end_ended(int fd) {
  pollfd end{.fd = fd, .events = POLLRDHUP, .revents = 0};
  return ::poll(&end, 1, 0) > 0;
}

// For what happens elsewhere: in another thread, or in the kernel, whose loopback may take a while on
// a busy machine.
template <typename Reached>
bool wait_until(Reached&& reached) {
  for (int i = 0; i < 20'000; ++i) {
    if (reached()) return true;
    ::poll(nullptr, 0, 1);
  }
  return false;
}

// Until there is something to read, or an end.
inline bool wait_readable(int fd) {
  pollfd readable{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&readable, 1, 20'000) > 0;
}

class Peer {
 public:
  Peer() = default;
  explicit Peer(UniqueFd fd) : fd_(std::move(fd)) {}

  int fd() const { return fd_.get(); }

  // Returns how many bytes the kernel took.
  std::size_t send(std::string_view data) {
    std::size_t sent = 0;
    while (sent < data.size()) {
      const ssize_t count = ::send(fd_.get(), data.data() + sent, data.size() - sent, MSG_NOSIGNAL);
      if (count <= 0) break;
      sent += static_cast<std::size_t>(count);
    }
    return sent;
  }

  // Reads what is there, at most `limit`, to the end of received().
  std::size_t take(std::size_t limit = SIZE_MAX) {
    std::array<char, 65536> buffer;
    std::size_t taken = 0;
    while (taken < limit && !saw_end_ && !saw_error_) {
      const std::size_t wanted = limit - taken < buffer.size() ? limit - taken : buffer.size();
      const ssize_t count = ::recv(fd_.get(), buffer.data(), wanted, 0);
      if (count > 0) {
        received_.append(buffer.data(), static_cast<std::size_t>(count));
        taken += static_cast<std::size_t>(count);
      } else if (count == 0) {
        saw_end_ = true;
      } else {
        if (errno == EAGAIN) break;
        saw_error_ = true;
      }
    }
    return taken;
  }

  const std::string& received() const { return received_; }
  bool saw_end() const { return saw_end_; }      // An orderly end of file.
  bool saw_error() const { return saw_error_; }  // A reset.

  void end_writing() { ::shutdown(fd_.get(), SHUT_WR); }
  void close() { fd_.reset(); }
  // TCP: RST instead of FIN. What was sent before and has arrived stays readable.
  void reset() {
    const linger now{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    fd_.reset();
  }

 private:
  UniqueFd fd_;
  std::string received_;
  bool saw_end_ = false;
  bool saw_error_ = false;
};

inline bool has_ended(const Peer& peer) { return peer.saw_end() || peer.saw_error(); }

// Bytes that look different at each place. To a frame scanner they begin a frame that is longer
// than any of them.
inline std::string pattern(std::size_t size, std::uint32_t seed = 1) {
  std::string bytes(size, '\0');
  std::uint32_t state = seed * 2654435761u + 1;
  for (char& byte : bytes) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<char>(state >> 24);
  }
  const std::string_view header("\x82\x7f\0\0\0\x01\0\0\0\0", 10);
  bytes.replace(0, std::min(size, header.size()), header.substr(0, std::min(size, header.size())));
  return bytes;
}

// So that a failure does not print megabytes.
inline bool is_same(std::string_view a, std::string_view b) { return a == b; }

// An unmasked frame (RFC 6455 5.2); `first` is FIN and opcode.
inline std::string make_frame(std::uint8_t first, std::string_view payload) {
  std::string frame(1, static_cast<char>(first));
  const std::uint64_t size = payload.size();
  int length_bytes = 0;
  if (size < 126) {
    frame += static_cast<char>(size);
  } else {
    length_bytes = size < 65536 ? 2 : 8;
    frame += static_cast<char>(length_bytes == 2 ? 126 : 127);
  }
  for (int byte = length_bytes - 1; byte >= 0; --byte) {
    frame += static_cast<char>(size >> (8 * byte));
  }
  return frame.append(payload);
}

inline std::string text_frame(std::string_view payload) { return make_frame(0x81, payload); }
inline std::string close_frame(std::uint16_t code) {
  const std::array<char, 2> status{static_cast<char>(code >> 8), static_cast<char>(code)};
  return make_frame(0x88, {status.data(), status.size()});
}

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

}  // namespace wsbalance::relay
