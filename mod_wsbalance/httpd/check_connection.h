// check_connection.h - a connection to a member for one check. It has nothing of mod_proxy's pools,
// which would count it and refuse it when the member is out.
//
// Layer:    httpd.
// Owns:     the socket; with TLS a pool and mod_ssl's connection in it.
// Threads:  the one of the check.
// Errors:   a CheckEnd and the reason in words; the first one stays.
//
// Every wait ends at the deadline, or at once when stop_fd is readable; but for the system's look-up
// of a name.
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "httpd/httpd_api.h"
#include "httpd/tls_floor.h"
#include "relay/unique_fd.h"

namespace wsbalance::httpd {

enum class CheckEnd : std::uint8_t {
  good,
  bad,
  stopped,  // stop_fd became readable.
  unable,   // Not the member's doing: no descriptor, no TLS switched on.
};

struct CheckResult {
  CheckEnd end = CheckEnd::good;
  std::string why;
};

struct SocketAddress {
  sockaddr_storage bytes{};
  socklen_t size = 0;
};

// Where a member is.
struct MemberPlace {
  std::string host;  // Name or address; for TLS the name in its certificate.
  std::uint16_t port = 0;
  std::string unix_path;  // Empty: it is reached by host and port.
};

// Empty and `why` says so: there is none.
std::vector<SocketAddress> addresses_of(const MemberPlace& place, std::string& why);

class CheckConnection {
 public:
  using Clock = std::chrono::steady_clock;

  CheckConnection(Clock::time_point deadline, int stop_fd)
      : deadline_(deadline), stop_fd_(stop_fd) {}
  CheckConnection(const CheckConnection&) = delete;
  CheckConnection& operator=(const CheckConnection&) = delete;
  ~CheckConnection();

  // These give false when the check is over; result() has why.
  bool open(const std::vector<SocketAddress>& addresses, const apr_sockaddr_t* source);
  bool use_tls(server_rec* server, ap_conf_vector_t* section, const std::string& host);
  bool send(std::string_view bytes);
  // At least a byte. An end of file ends the check as well. `what` is waited for: "answer".
  bool receive(std::string& bytes, const char* what);

  // The check is over for a reason that stands in what was received.
  bool fail(std::string why) { return end(CheckEnd::bad, std::move(why)); }
  // From now on waiting is for courtesy only, and shorter.
  void hurry(std::chrono::milliseconds at_most);

  const CheckResult& result() const { return result_; }

 private:
  struct DestroyPool {
    void operator()(apr_pool_t* pool) const noexcept { apr_pool_destroy(pool); }
  };

  bool end(CheckEnd end, std::string why);
  bool fail_by_error(const char* what, int error);
  bool fail_to_connect(int error, int family);
  bool wait(short events, Clock::time_point until);
  bool connect(const SocketAddress& address, const apr_sockaddr_t* source, Clock::time_point until);
  bool send_by_tls(std::string_view bytes);
  bool receive_by_tls(std::string& bytes, const char* what);
  bool fail_late(const char* what) { return fail(std::string("no ") + what + " in time"); }
  bool fail_closed(const char* what) {
    return fail(std::string("it closed the connection: no ") + what);
  }
  int descriptor() const;

  Clock::time_point deadline_;
  const int stop_fd_;
  CheckResult result_;
  relay::UniqueFd fd_;  // Until mod_ssl has it.
  std::unique_ptr<apr_pool_t, DestroyPool> pool_;
  conn_rec* tls_ = nullptr;
  apr_socket_t* tls_socket_ = nullptr;
  std::unique_ptr<TlsFloor> floor_;
  bool has_tls_stood_ = false;
};

}  // namespace wsbalance::httpd
