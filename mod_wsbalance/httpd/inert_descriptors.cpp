#include "httpd/inert_descriptors.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <system_error>
#include <utility>

#include "httpd/queries.h"

namespace wsbalance::httpd {

InertDescriptors::InertDescriptors(std::uint64_t line)
    : master_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)),
      line_(static_cast<int>(std::min<std::uint64_t>(line, INT_MAX))) {
  if (!master_) throw std::system_error(errno, std::generic_category(), "socket");
}

relay::UniqueFd InertDescriptors::make() const {
  relay::UniqueFd fd(::fcntl(master_.get(), F_DUPFD_CLOEXEC, 3));
  if (fd.get() >= line_) fd.reset();
  return fd;
}

InertPair InertDescriptors::make_pair() const {
  InertPair pair;
  pair.client = make();
  if (pair.client) pair.member = make();
  return pair;
}

relay::UniqueFd InertDescriptors::take(apr_socket_t* socket, relay::UniqueFd inert) const {
  const int real = descriptor_of(socket);
  if (real < line_ || ::dup3(real, inert.get(), O_CLOEXEC) < 0) {
    // With a socket that exists this only exchanges the number in its record, so that every bucket
    // and filter that holds the record holds the inert descriptor (APR, network_io/unix/sockets.c).
    apr_os_sock_t number = inert.release();
    apr_os_sock_put(&socket, &number, nullptr);
    return relay::UniqueFd(real);
  }
  // Both numbers are open, so that no limit can refuse it: the connection is copied to the low one,
  // and the inert socket to what httpd keeps.
  (void)::dup3(master_.get(), real, O_CLOEXEC);
  return inert;
}

bool is_descriptor_left() { return static_cast<bool>(relay::UniqueFd(::eventfd(0, EFD_CLOEXEC))); }

}  // namespace wsbalance::httpd
