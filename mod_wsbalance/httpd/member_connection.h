// member_connection.h - a fresh connection to a member, from mod_proxy's pools and back to them.
//
// Layer:    httpd.
// Owns:     one proxy_conn_rec; it is closed and released at the end on every way out, so
//           nothing of a handshake is ever used again for a request.
// Threads:  the worker thread of the request.
// Errors:   false, and failure() says what went wrong.
#pragma once

#include <chrono>
#include <string>

#include "balance/tries.h"
#include "httpd/httpd_api.h"
#include "protocol/handshake_error.h"

namespace wsbalance::httpd {

// What mod_proxy gave to the scheme handler.
struct MemberRoute {
  proxy_worker* worker = nullptr;
  proxy_server_conf* conf = nullptr;
  char* url = nullptr;
  const char* proxy_name = nullptr;  // ProxyRemote, or null.
  apr_port_t proxy_port = 0;
};

// What became of an attempt that did not become a tunnel.
struct Failure {
  balance::Outcome outcome = balance::Outcome::own_fault;
  int status = HTTP_BAD_GATEWAY;  // For the client, as mod_proxy's scheme handlers have it.
  protocol::HandshakeError rule = protocol::HandshakeError::none;  // That the member broke.
  std::string why{};          // For the log: of TLS, and of a member that is unreachable.
  bool is_forbidden = false;  // This machine does not let httpd connect to it.
};

class MemberConnection {
 public:
  MemberConnection(request_rec* r, const MemberRoute& route) : r_(r), route_(route) {}
  MemberConnection(const MemberConnection&) = delete;
  MemberConnection& operator=(const MemberConnection&) = delete;
  ~MemberConnection() { release(); }

  // Connects, in at most `timeout` for each address of the member. Where it fails mod_proxy has
  // logged why.
  [[nodiscard]] bool open(apr_interval_time_t timeout);

  // Sends the request head with the upgrade, after the handshake of TLS if the member has that,
  // which has to be over by `deadline`.
  [[nodiscard]] bool send_request(std::chrono::steady_clock::time_point deadline);

  const Failure& failure() const { return failure_; }

  // open() failed because no descriptor was left, which is not the member's fault.
  bool lacks_descriptor() const { return lacks_descriptor_; }

  proxy_conn_rec* get() const { return connection_; }
  const char* server_port_text() const { return server_port_; }

  // Gives it back early. Buckets made with its allocator must be gone.
  void release();

 private:
  bool connect(apr_interval_time_t timeout);
  int create_head(apr_bucket_brigade* brigade);
  bool fail(balance::Outcome outcome, int status);
  bool is_out_of_ports() const;
  void fail_to_connect(balance::Outcome outcome);
  void judge_tls(SSL* ssl, bool has_timed_out);

  request_rec* r_;
  MemberRoute route_;
  proxy_conn_rec* connection_ = nullptr;
  apr_uri_t uri_{};
  Failure failure_;
  apr_status_t connect_error_ = APR_SUCCESS;
  bool lacks_descriptor_ = false;
  char server_port_[32] = "";
};

}  // namespace wsbalance::httpd
