#include "relay/endpoint.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <cassert>
#include <cerrno>

namespace wsbalance::relay {
namespace {

IoOutcome failed(int error) {
  switch (error) {
    case EAGAIN:
      return {IoResult::would_block};
    case ENOMEM:
    case ENOBUFS:
      return {IoResult::refused};
    default:
      return {IoResult::error};
  }
}

IoOutcome receive(int fd, std::span<std::byte> into, int flags) {
  assert(!into.empty());  // A read of nothing looks like an end of file.
  for (;;) {
    const ssize_t count = ::recv(fd, into.data(), into.size(), flags);
    if (count > 0) return {IoResult::ok, static_cast<std::size_t>(count)};
    if (count == 0) return {IoResult::end_of_file};
    if (errno != EINTR) return failed(errno);
  }
}

}  // namespace

bool Endpoint::prepare() noexcept {
  int on = 1;
  if (::ioctl(fd_.get(), FIONBIO, &on) != 0) return false;
  // Not every socket is TCP, and a tunnel works without it.
  (void)::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return true;
}

IoOutcome Endpoint::read(std::span<std::byte> into) noexcept { return receive(fd_.get(), into, 0); }

IoOutcome Endpoint::peek(std::span<std::byte> into) noexcept {
  return receive(fd_.get(), into, MSG_PEEK);
}

IoOutcome Endpoint::write(std::span<const std::byte> data) noexcept {
  assert(!data.empty());
  for (;;) {
    const ssize_t count = ::send(fd_.get(), data.data(), data.size(), MSG_NOSIGNAL);
    if (count >= 0) return {IoResult::ok, static_cast<std::size_t>(count)};
    if (errno != EINTR) return failed(errno);
  }
}

void Endpoint::shutdown_write() noexcept {
  has_ended_writing_ = true;
  // A refusal means that the connection is gone, which the next read tells.
  (void)::shutdown(fd_.get(), SHUT_WR);
}

bool Endpoint::is_broken() noexcept {
  int error = 0;
  socklen_t length = sizeof error;
  if (::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &length) != 0) return true;
  return error != 0;
}

std::uint32_t Endpoint::unsent_bytes() const noexcept {
  int bytes = 0;
  if (::ioctl(fd_.get(), SIOCOUTQ, &bytes) != 0 || bytes <= 0) return 0;
  // TCP counts a FIN as a byte until the other side has acknowledged it.
  if (has_ended_writing_) --bytes;
  return static_cast<std::uint32_t>(bytes);
}

}  // namespace wsbalance::relay
