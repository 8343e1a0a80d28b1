#include "httpd/check_connection.h"

#include <netdb.h>
#include <poll.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "httpd/connect_watch.h"
#include "httpd/member_tls.h"
#include "httpd/queries.h"
#include "httpd/tls_take_over.h"

namespace wsbalance::httpd {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kReadSize = 4096;

std::string text_of(int error) { return std::generic_category().message(error); }

// Of descriptors, memory, or local ports.
bool is_want_of_our_own(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM ||
         error == EADDRNOTAVAIL;
}

struct FreeAddresses {
  void operator()(addrinfo* list) const noexcept { ::freeaddrinfo(list); }
};

struct FreeSsl {
  void operator()(SSL* ssl) const noexcept { SSL_free(ssl); }
};

std::vector<SocketAddress> unix_address(const std::string& path, std::string& why) {
  sockaddr_un address{};
  if (path.size() >= sizeof(address.sun_path)) {
    why = "the path of its socket is too long";
    return {};
  }
  address.sun_family = AF_UNIX;
  std::copy(path.begin(), path.end(), address.sun_path);
  SocketAddress made;
  std::memcpy(&made.bytes, &address, sizeof(address));
  made.size = sizeof(address);
  return {made};
}

}  // namespace

std::vector<SocketAddress> addresses_of(const MemberPlace& place, std::string& why) {
  if (!place.unix_path.empty()) return unix_address(place.unix_path, why);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | AI_ADDRCONFIG;
  addrinfo* list = nullptr;
  const std::string port = std::to_string(place.port);
  int error = ::getaddrinfo(place.host.c_str(), port.c_str(), &hints, &list);
  if (error == EAI_NONAME || error == EAI_ADDRFAMILY) {
    // As APR does it: of a machine that has only a loopback address, too.
    hints.ai_flags = AI_NUMERICSERV;
    error = ::getaddrinfo(place.host.c_str(), port.c_str(), &hints, &list);
  }
  if (error != 0) {
    why = std::string("its name is not found: ") + ::gai_strerror(error);
    return {};
  }
  const std::unique_ptr<addrinfo, FreeAddresses> owner(list);
  std::vector<SocketAddress> found;
  for (const addrinfo* at = list; at != nullptr; at = at->ai_next) {
    SocketAddress& address = found.emplace_back();
    std::memcpy(&address.bytes, at->ai_addr, at->ai_addrlen);
    address.size = at->ai_addrlen;
  }
  return found;
}

CheckConnection::~CheckConnection() {
  floor_.reset();
  if (tls_ == nullptr) return;
  // As mod_proxy does: the end of TLS is said without waiting for anybody.
  apr_socket_timeout_set(tls_socket_, 0);
  ap_shutdown_conn(tls_, 1);
}

bool CheckConnection::end(CheckEnd end, std::string why) {
  if (result_.end == CheckEnd::good) result_ = {end, std::move(why)};
  return false;
}

bool CheckConnection::fail_by_error(const char* what, int error) {
  return end(is_want_of_our_own(error) ? CheckEnd::unable : CheckEnd::bad, what + text_of(error));
}

bool CheckConnection::fail_to_connect(int error, int family) {
  if (!is_forbidden(error)) return fail_by_error("no connection: ", error);
  return end(CheckEnd::bad, why_unreachable(error, family == AF_UNIX));
}

void CheckConnection::hurry(milliseconds at_most) {
  deadline_ = std::min(deadline_, Clock::now() + at_most);
  if (floor_ == nullptr) return;
  floor_.reset();
  floor_ = std::make_unique<TlsFloor>(tls_, deadline_, stop_fd_);
}

int CheckConnection::descriptor() const {
  return tls_ != nullptr ? descriptor_of(tls_socket_) : fd_.get();
}

// False: stopped, or too late; the latter is for the caller to say.
bool CheckConnection::wait(short events, Clock::time_point until) {
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(until - Clock::now());
    if (left.count() <= 0) return false;
    pollfd entries[] = {{descriptor(), events, 0}, {stop_fd_, POLLIN, 0}};
    if (::poll(entries, 2, static_cast<int>(left.count())) <= 0) continue;
    return entries[1].revents == 0 || end(CheckEnd::stopped, "");
  }
}

bool CheckConnection::open(const std::vector<SocketAddress>& addresses,
                           const apr_sockaddr_t* source) {
  auto left = static_cast<int>(addresses.size());
  for (const SocketAddress& address : addresses) {
    result_ = {};
    // So that one that does not answer leaves time for the others.
    const auto now = Clock::now();
    if (connect(address, source, now + (deadline_ - now) / left--)) return true;
    if (result_.end != CheckEnd::bad) return false;
  }
  return false;
}

bool CheckConnection::connect(const SocketAddress& address, const apr_sockaddr_t* source,
                              Clock::time_point until) {
  const int family = address.bytes.ss_family;
  fd_.reset(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd_) return fail_by_error("no socket: ", errno);
  if (source != nullptr && source->family == family) {
    // Where it cannot be bound mod_proxy goes on as well.
    (void)::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&source->sa), source->salen);
  }
  if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address.bytes), address.size) == 0) {
    return true;
  }
  if (errno != EINPROGRESS) return fail_to_connect(errno, family);
  if (!wait(POLLOUT, until)) return fail_late("connection");
  int error = 0;
  socklen_t size = sizeof(error);
  ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  return error == 0 || fail_to_connect(error, family);
}

// As mod_proxy makes the connection to a member (proxy_connection_create()).
bool CheckConnection::use_tls(server_rec* server, ap_conf_vector_t* section,
                              const std::string& host) {
  sockaddr_storage remote{};
  socklen_t size = sizeof(remote);
  if (::getpeername(fd_.get(), reinterpret_cast<sockaddr*>(&remote), &size) != 0) {
    return fail_by_error("no connection: ", errno);
  }
  apr_pool_t* pool = nullptr;
  // Of its own: no other thread's pool may be used, and one that is left behind at the end of the
  // process must not be cleaned up under the eyes of this thread.
  if (apr_pool_create_unmanaged_ex(&pool, nullptr, nullptr) != APR_SUCCESS) {
    return end(CheckEnd::unable, "no memory");
  }
  pool_.reset(pool);
  int fd = fd_.release();
  apr_os_sock_info_t info{.os_sock = &fd,
                          .local = nullptr,
                          .remote = reinterpret_cast<sockaddr*>(&remote),
                          .family = remote.ss_family,
                          .type = SOCK_STREAM,
                          .protocol = 0};
  if (apr_os_sock_make(&tls_socket_, &info, pool) != APR_SUCCESS) {
    fd_.reset(fd);
    return end(CheckEnd::unable, "no memory");
  }
  apr_socket_timeout_set(
      tls_socket_,
      std::max<apr_interval_time_t>(
          1,
          std::chrono::duration_cast<std::chrono::microseconds>(deadline_ - Clock::now()).count()));
  conn_rec* const connection = ap_run_create_connection(pool, server, tls_socket_, 0, nullptr,
                                                        apr_bucket_alloc_create(pool));
  if (connection == nullptr) return fail("the connection was reset");
  if (!ap_proxy_ssl_engine(connection, section, 1)) {
    return end(CheckEnd::unable,
               "nothing switches TLS on for it: put \"SSLProxyEngine on\" beside "
               "the balancer");
  }
  apr_table_set(connection->notes, "proxy-request-hostname", host.c_str());
  const int status = ap_run_pre_connection(connection, tls_socket_);
  if (status != OK && status != DONE) return end(CheckEnd::unable, "no TLS");
  tls_ = connection;
  floor_ = std::make_unique<TlsFloor>(tls_, deadline_, stop_fd_);
  if (SSL* const ssl = tls_of(tls_)) read_over_tickets(ssl);
  return true;
}

bool CheckConnection::send(std::string_view bytes) {
  if (tls_ != nullptr) return send_by_tls(bytes);
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno != EAGAIN && errno != EINTR) {
      return fail_by_error("it does not take the request: ", errno);
    } else if (!wait(POLLOUT, deadline_)) {
      return fail("it does not take the request in time");
    }
  }
  return true;
}

// The first one does the handshake of TLS.
bool CheckConnection::send_by_tls(std::string_view bytes) {
  SSL* const own = tls_of(tls_);
  if (own != nullptr) SSL_up_ref(own);  // mod_ssl lets go of its own when the handshake fails.
  const std::unique_ptr<SSL, FreeSsl> ssl(own);
  apr_bucket_brigade* const brigade = apr_brigade_create(pool_.get(), tls_->bucket_alloc);
  apr_brigade_write(brigade, nullptr, nullptr, bytes.data(), bytes.size());
  APR_BRIGADE_INSERT_TAIL(brigade, apr_bucket_flush_create(tls_->bucket_alloc));
  const apr_status_t rv = ap_pass_brigade(tls_->output_filters, brigade);
  apr_brigade_destroy(brigade);
  if (rv == APR_SUCCESS && !tls_->aborted) return has_tls_stood_ = true;
  pollfd stop{stop_fd_, POLLIN, 0};
  if (::poll(&stop, 1, 0) > 0) return end(CheckEnd::stopped, "");
  if (floor_->has_timed_out()) return fail_late("TLS");
  if (has_tls_stood_) return fail("the connection was reset");
  const std::string why = why_tls_failed(ssl.get(), tls_);
  return fail("no TLS: " + (why.empty() ? "the connection was closed" : why));
}

bool CheckConnection::receive(std::string& bytes, const char* what) {
  // However much there is.
  if (Clock::now() >= deadline_) return fail_late(what);
  if (tls_ != nullptr) return receive_by_tls(bytes, what);
  bytes.resize(kReadSize);
  for (;;) {
    const ssize_t size = ::recv(fd_.get(), bytes.data(), bytes.size(), 0);
    bytes.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    if (size > 0) return true;
    if (size == 0) return fail_closed(what);
    if (errno != EAGAIN && errno != EINTR) return fail_by_error("the connection broke: ", errno);
    if (!wait(POLLIN, deadline_)) return fail_late(what);
    bytes.resize(kReadSize);
  }
}

bool CheckConnection::receive_by_tls(std::string& bytes, const char* what) {
  bytes.clear();
  apr_bucket_brigade* const brigade = apr_brigade_create(pool_.get(), tls_->bucket_alloc);
  const apr_status_t rv =
      ap_get_brigade(tls_->input_filters, brigade, AP_MODE_READBYTES, APR_BLOCK_READ, kReadSize);
  char* data = nullptr;
  apr_size_t size = 0;
  if (rv == APR_SUCCESS &&
      apr_brigade_pflatten(brigade, &data, &size, pool_.get()) == APR_SUCCESS) {
    bytes.assign(data, size);
  }
  apr_brigade_destroy(brigade);
  if (!bytes.empty()) return true;
  pollfd stop{stop_fd_, POLLIN, 0};
  if (::poll(&stop, 1, 0) > 0) return end(CheckEnd::stopped, "");
  if (floor_->has_timed_out()) return fail_late(what);
  return fail_closed(what);
}

}  // namespace wsbalance::httpd
