#include "httpd/log_channel.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace wsbalance::httpd {
namespace {

// In front of each message. Processes of two versions may share a channel: what changes here gets
// a new number.
struct Header {
  std::uint32_t form = 0x57534201;
  LogMessage::Kind kind{};
  std::uint8_t level = 0;
  std::uint16_t name_bytes = 0;
};
static_assert(sizeof(Header) == 8);

// Some thousand lines: after a reload nobody takes them for a second or two. More than others may
// have, so only for root, which the parent is.
constexpr int kWaitingBytes = 8 * 1024 * 1024;

}  // namespace

LogChannel::Ends LogChannel::open() noexcept {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) return {};
  (void)::setsockopt(ends[1], SOL_SOCKET, SO_SNDBUFFORCE, &kWaitingBytes, sizeof(kWaitingBytes));
  return {relay::UniqueFd(ends[0]), relay::UniqueFd(ends[1])};
}

bool LogChannel::send(const LogMessage& message, std::chrono::milliseconds patience) noexcept {
  if (sizeof(Header) + message.name.size() + message.line.size() > kMessageBytesMax) return false;
  Header header;
  header.kind = message.kind;
  header.level = message.level;
  header.name_bytes = static_cast<std::uint16_t>(message.name.size());
  std::array<iovec, 3> parts = {iovec{&header, sizeof(header)},
                                iovec{const_cast<char*>(message.name.data()), message.name.size()},
                                iovec{const_cast<char*>(message.line.data()), message.line.size()}};
  msghdr whole{};
  whole.msg_iov = parts.data();
  whole.msg_iovlen = parts.size();
  for (bool may_wait = true;;) {
    if (::sendmsg(in_, &whole, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return true;
    if (errno == EINTR) continue;
    if (errno != EAGAIN || !may_wait) return false;
    pollfd writable{in_, POLLOUT, 0};
    may_wait = false;
    if (::poll(&writable, 1, static_cast<int>(patience.count())) <= 0) return false;
  }
}

std::optional<LogMessage> LogChannel::receive(std::span<char> buffer) noexcept {
  for (;;) {
    const ssize_t count = ::recv(out_, buffer.data(), buffer.size(), MSG_DONTWAIT | MSG_TRUNC);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return std::nullopt;
    const auto size = static_cast<std::size_t>(count);
    Header header;
    if (size < sizeof(header) || size > buffer.size()) continue;
    std::memcpy(&header, buffer.data(), sizeof(header));
    if (header.form != Header{}.form || sizeof(header) + header.name_bytes > size) continue;
    const std::string_view text(buffer.data() + sizeof(header), size - sizeof(header));
    return LogMessage{.kind = header.kind,
                      .level = header.level,
                      .name = text.substr(0, header.name_bytes),
                      .line = text.substr(header.name_bytes)};
  }
}

}  // namespace wsbalance::httpd
