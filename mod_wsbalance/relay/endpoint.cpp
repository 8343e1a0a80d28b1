#include "relay/endpoint.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "relay/socket_io.h"

namespace wsbalance::relay {

void Endpoint::open(Connection connection) noexcept {
  fd_ = std::move(connection.fd);
  tls_ = std::move(connection.tls);
}

void Endpoint::close() noexcept {
  tls_.reset();
  fd_.reset();
}

bool Endpoint::prepare(const KeepAliveSettings& keep_alive_settings) noexcept {
  int on = 1;
  if (::ioctl(fd_.get(), FIONBIO, &on) != 0) return false;
  is_tcp_ = ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0;
  if (is_tcp_ && keep_alive_settings.idle_seconds > 0) keep_alive(keep_alive_settings);
  return true;
}

// An end that is gone is noticed after the same time with and without unsent data (tcp(7)): with
// TCP_USER_TIMEOUT, keep-alive gives up when that is over. A refusal leaves it as it was.
void Endpoint::keep_alive(const KeepAliveSettings& settings) noexcept {
  const auto set = [this](int level, int option, int value) {
    (void)::setsockopt(fd_.get(), level, option, &value, sizeof value);
  };
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, settings.idle_seconds);
  set(IPPROTO_TCP, TCP_KEEPINTVL, settings.interval_seconds);
  set(IPPROTO_TCP, TCP_KEEPCNT, settings.probes);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(settings.give_up_seconds() * 1000));
}

IoOutcome Endpoint::read(std::span<std::byte> into) noexcept {
  return tls_ ? tls_->read(fd(), into) : receive(fd(), into, 0);
}

IoOutcome Endpoint::peek(std::span<std::byte> into) noexcept {
  return tls_ ? tls_->peek(fd(), into) : receive(fd(), into, MSG_PEEK);
}

IoOutcome Endpoint::write(std::span<const std::byte> data) noexcept {
  return tls_ ? tls_->write(fd(), data) : send(fd(), data);
}

void Endpoint::shutdown_write() noexcept {
  has_ended_writing_ = true;
  if (tls_) return tls_->shutdown_write(fd());
  // A refusal means that the connection is gone, which the next read tells.
  (void)::shutdown(fd(), SHUT_WR);
}

bool Endpoint::is_broken() noexcept {
  if (tls_ && tls_->has_failed()) return true;
  int error = 0;
  socklen_t length = sizeof error;
  if (::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &length) != 0) return true;
  return error != 0;
}

std::uint32_t Endpoint::unsent_bytes() const noexcept {
  int in_kernel = 0;
  if (::ioctl(fd_.get(), SIOCOUTQ, &in_kernel) != 0 || in_kernel < 0) in_kernel = 0;
  std::size_t bytes = static_cast<std::size_t>(in_kernel) + (tls_ ? tls_->unsent_bytes() : 0);
  if (has_ended_writing_) {
    // TCP counts a FIN as a byte until the other side has acknowledged it.
    bytes -= std::min(bytes, 1 + (tls_ ? tls_->bytes_of_end() : 0));
  }
  return static_cast<std::uint32_t>(bytes);
}

}  // namespace wsbalance::relay
