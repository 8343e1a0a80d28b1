#include "relay/socket_io.h"

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

}  // namespace

IoOutcome receive(int fd, std::span<std::byte> into, int flags) noexcept {
  assert(!into.empty());  // A read of nothing looks like an end of file.
  for (;;) {
    const ssize_t count = ::recv(fd, into.data(), into.size(), flags);
    if (count > 0) return {IoResult::ok, static_cast<std::size_t>(count)};
    if (count == 0) return {IoResult::end_of_file};
    if (errno != EINTR) return failed(errno);
  }
}

IoOutcome send(int fd, std::span<const std::byte> data) noexcept {
  assert(!data.empty());
  for (;;) {
    const ssize_t count = ::send(fd, data.data(), data.size(), MSG_NOSIGNAL);
    if (count >= 0) return {IoResult::ok, static_cast<std::size_t>(count)};
    if (errno != EINTR) return failed(errno);
  }
}

}  // namespace wsbalance::relay
