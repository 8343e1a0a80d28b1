#include "httpd/member_connection.h"

#include <cerrno>
#include <memory>

#include "httpd/forwarded_fields.h"
#include "httpd/inert_descriptors.h"
#include "httpd/member_tls.h"
#include "httpd/tls_floor.h"
#include "httpd/tls_take_over.h"
#include "httpd/url_scheme.h"

namespace wsbalance::httpd {
namespace {

// Only a name for mod_proxy's log lines.
constexpr const char* kFunction = "WSBALANCE";

struct FreeSslReference {
  void operator()(SSL* ssl) const noexcept { SSL_free(ssl); }
};
using UniqueSslReference = std::unique_ptr<SSL, FreeSslReference>;

UniqueSslReference reference_to(SSL* ssl) {
  if (ssl != nullptr) SSL_up_ref(ssl);
  return UniqueSslReference(ssl);
}

// How long a read or write may take where it is not the head that is waited for, as in
// ap_proxy_connect_backend().
apr_interval_time_t body_timeout(const request_rec* r, const MemberRoute& route) {
  if (route.worker->s->timeout_set) return route.worker->s->timeout;
  return route.conf->timeout_set ? route.conf->timeout : r->server->timeout;
}

}  // namespace

int MemberConnection::open(apr_interval_time_t timeout) {
  int status = ap_proxy_acquire_connection(kFunction, &connection_, route_.worker, r_->server);
  if (status != OK) return status == DECLINED ? HTTP_SERVICE_UNAVAILABLE : status;

  // Told to close, ap_proxy_determine_connection() drops a kept-alive socket that came with the
  // record: a member may end it at any moment, and a handshake must not be sent twice.
  connection_->is_ssl = has_scheme(route_.url, "wss") || has_scheme(route_.url, "https") ? 1 : 0;
  connection_->close = 1;
  status = ap_proxy_determine_connection(r_->pool, r_, route_.conf, route_.worker, connection_,
                                         &uri_, &route_.url, route_.proxy_name, route_.proxy_port,
                                         server_port_, sizeof(server_port_));
  // A name that does not resolve is a member that cannot be reached; what mod_proxy says then (500)
  // would end its search for another one.
  if (status == HTTP_INTERNAL_SERVER_ERROR) return HTTP_SERVICE_UNAVAILABLE;
  if (status != OK) return status;

  if (!connect(timeout)) return HTTP_SERVICE_UNAVAILABLE;
  apr_socket_timeout_set(connection_->sock, timeout);
  status = ap_proxy_connection_create_ex(kFunction, connection_, r_);
  if (status != OK) return status;
  if (SSL* ssl = tls_of(connection_->connection)) read_over_tickets(ssl);
  return OK;
}

// mod_proxy takes the time for connecting from the worker's shared record, where ProxyTimeout or a
// long timeout= may stand. So it gets a copy with ours, and what it says of the member's state
// there is carried over.
bool MemberConnection::connect(apr_interval_time_t timeout) {
  proxy_worker_shared& shared = *route_.worker->s;
  const proxy_worker_shared before = shared;
  proxy_worker_shared shared_copy = before;
  proxy_worker worker_copy = *route_.worker;
  worker_copy.s = &shared_copy;
  if (!before.conn_timeout_set || before.conn_timeout > timeout) {
    shared_copy.conn_timeout = timeout;
    shared_copy.conn_timeout_set = 1;
  }
  errno = 0;
  const bool is_connected =
      ap_proxy_connect_backend(kFunction, connection_, &worker_copy, r_->server) == OK;
  if (!is_connected && (errno == EMFILE || errno == ENFILE || !is_descriptor_left())) {
    lacks_descriptor_ = true;
    return false;
  }
  if (shared_copy.status & PROXY_WORKER_IN_ERROR) shared.status |= PROXY_WORKER_IN_ERROR;
  // Only what changed here: other threads write the record too.
  if (shared_copy.error_time != before.error_time) shared.error_time = shared_copy.error_time;
  if (is_connected) shared.retries = 0;
  return is_connected;
}

int MemberConnection::send_request(TlsFloor::Clock::time_point deadline) {
  conn_rec* member = connection_->connection;
  apr_bucket_brigade* brigade = apr_brigade_create(r_->pool, member->bucket_alloc);
  int status = create_head(brigade);
  if (status == OK) {
    // mod_ssl lets go of its own when the handshake fails.
    const UniqueSslReference ssl = reference_to(tls_of(member));
    TlsFloor limited(member, deadline);
    status = ap_proxy_pass_brigade(member->bucket_alloc, r_, connection_, member, brigade, 1);
    if (status != OK && connection_->is_ssl)
      status = tls_failed(ssl.get(), limited.has_timed_out());
  }
  apr_brigade_destroy(brigade);
  apr_socket_timeout_set(connection_->sock, body_timeout(r_, route_));
  return status;
}

int MemberConnection::create_head(apr_bucket_brigade* brigade) {
  conn_rec* member = connection_->connection;
  char* old_content_length = nullptr;
  char* old_transfer_encoding = nullptr;
  const ForwardedFields forwarded(r_);
  const int status = ap_proxy_create_hdrbrgd(r_->pool, brigade, r_, connection_, route_.worker,
                                             route_.conf, &uri_, route_.url, server_port_,
                                             &old_content_length, &old_transfer_encoding);
  if (status != OK) return status;
  // Whatever else the client offered to upgrade to stays here (RFC 9110 7.8).
  static constexpr char kUpgrade[] = "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
  APR_BRIGADE_INSERT_TAIL(
      brigade, apr_bucket_immortal_create(kUpgrade, sizeof(kUpgrade) - 1, member->bucket_alloc));
  return OK;
}

// mod_proxy would say 500 to some of these.
int MemberConnection::tls_failed(SSL* ssl, bool has_timed_out) const {
  const std::string why = has_timed_out ? "it took longer than WSBalanceHandshakeTimeout allows"
                                        : why_tls_failed(ssl, connection_->connection);
  if (why.empty()) return HTTP_BAD_GATEWAY;  // TLS stood; mod_proxy has logged what broke.
  ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r_, "WSB0227: no TLS with member %s: %s",
                route_.worker->s->name_ex, why.c_str());
  return has_timed_out ? HTTP_GATEWAY_TIME_OUT : HTTP_BAD_GATEWAY;
}

void MemberConnection::release() {
  if (connection_ == nullptr) return;
  connection_->close = 1;
  ap_proxy_release_connection(kFunction, connection_, r_->server);
  connection_ = nullptr;
}

}  // namespace wsbalance::httpd
