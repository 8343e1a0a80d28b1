#include "httpd/member_connection.h"

#include <cerrno>
#include <memory>

#include "httpd/connect_watch.h"
#include "httpd/forwarded_fields.h"
#include "httpd/inert_descriptors.h"
#include "httpd/member_tls.h"
#include "httpd/older_httpd.h"
#include "httpd/tls_floor.h"
#include "httpd/tls_take_over.h"
#include "httpd/url_scheme.h"

namespace wsbalance::httpd {

using balance::Outcome;

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

bool MemberConnection::fail(Outcome outcome, int status) {
  failure_ = {.outcome = outcome, .status = status};
  return false;
}

// All local ports for the member's address are in use. The error can mean other things too: that a
// ProxySourceAddress is none of this machine, or that there is no IPv6.
bool MemberConnection::is_out_of_ports() const {
  const apr_sockaddr_t* const address = connection_->addr;
  return connect_error_ == EADDRNOTAVAIL && address != nullptr && address->family == APR_INET &&
         !route_.conf->source_address_set;
}

void MemberConnection::fail_to_connect(Outcome outcome) {
  if (is_out_of_ports()) {  // A limit, as others that a member has.
    fail(Outcome::full, HTTP_SERVICE_UNAVAILABLE);
    failure_.why =
        "all local ports for connections to it are in use (net.ipv4.ip_local_port_range)";
    return;
  }
  fail(outcome, HTTP_SERVICE_UNAVAILABLE);
  failure_.is_forbidden = is_forbidden(connect_error_);
  failure_.why = why_unreachable(connect_error_, connection_->uds_path != nullptr);
}

bool MemberConnection::open(apr_interval_time_t timeout) {
  if (ap_proxy_acquire_connection(kFunction, &connection_, route_.worker, r_->server) != OK) {
    return fail(Outcome::unusable, HTTP_SERVICE_UNAVAILABLE);
  }

  // Told to close, ap_proxy_determine_connection() drops a kept-alive socket that came with the
  // record: a member may end it at any moment, and a handshake must not be sent twice.
  connection_->is_ssl = has_scheme(route_.url, "wss") || has_scheme(route_.url, "https") ? 1 : 0;
  connection_->close = 1;
  int status = ap_proxy_determine_connection(r_->pool, r_, route_.conf, route_.worker, connection_,
                                             &uri_, &route_.url, route_.proxy_name,
                                             route_.proxy_port, server_port_, sizeof(server_port_));
  // What mod_proxy says where a name does not resolve (the second one before 2.4.59); it would end
  // its search for another member.
  if (status == HTTP_INTERNAL_SERVER_ERROR || status == HTTP_BAD_GATEWAY) {
    return fail(Outcome::unknown_name, HTTP_SERVICE_UNAVAILABLE);
  }
  if (status != OK) return fail(Outcome::own_fault, status);

  const bool was_usable = PROXY_WORKER_IS_USABLE(route_.worker);
  if (!connect(timeout)) {
    fail_to_connect(was_usable ? Outcome::unreachable : Outcome::unusable);
    return false;
  }
  apr_socket_timeout_set(connection_->sock, timeout);
  status = ap_proxy_connection_create_ex(kFunction, connection_, r_);
  if (status != OK) {
    return fail(connection_->is_ssl ? Outcome::no_tls : Outcome::own_fault, status);
  }
  if (SSL* ssl = tls_of(connection_->connection)) read_over_tickets(ssl);
  return true;
}

// mod_proxy takes the time for connecting from the worker's shared record, where ProxyTimeout or a
// long timeout= may stand. So it gets a copy with ours. Only that the member is back is carried over:
// what a failure says of it others decide.
bool MemberConnection::connect(apr_interval_time_t timeout) {
  proxy_worker_shared& shared = *route_.worker->s;
  const proxy_worker_shared before = shared;
  proxy_worker& worker_copy = *copy_of(r_->pool, *route_.worker);
  proxy_worker_shared& shared_copy = *copy_of(r_->pool, shared);
  worker_copy.s = &shared_copy;
  if (!before.conn_timeout_set || before.conn_timeout > timeout) {
    shared_copy.conn_timeout = timeout;
    shared_copy.conn_timeout_set = 1;
  }
  ConnectWatch watch(*r_->server);
  errno = 0;
  const bool is_connected =
      ap_proxy_connect_backend(kFunction, connection_, &worker_copy, watch.server()) == OK;
  if (!is_connected) connect_error_ = watch.status();
  if (!is_connected && (errno == EMFILE || errno == ENFILE || !is_descriptor_left())) {
    lacks_descriptor_ = true;
    return false;
  }
  if (is_connected && before.error_time != 0) shared.error_time = 0;
  if (is_connected && before.retries != 0) shared.retries = 0;
  return is_connected;
}

bool MemberConnection::send_request(TlsFloor::Clock::time_point deadline) {
  conn_rec* member = connection_->connection;
  apr_bucket_brigade* brigade = apr_brigade_create(r_->pool, member->bucket_alloc);
  int status = create_head(brigade);
  if (status != OK) {
    fail(Outcome::own_fault, status);
  } else {
    // mod_ssl lets go of its own when the handshake fails.
    const UniqueSslReference ssl = reference_to(tls_of(member));
    TlsFloor limited(member, deadline);
    status = ap_proxy_pass_brigade(member->bucket_alloc, r_, connection_, member, brigade, 1);
    if (status != OK) {
      fail(Outcome::ended, HTTP_BAD_GATEWAY);  // mod_proxy says 400 or 500 to some of these.
      if (connection_->is_ssl) judge_tls(ssl.get(), limited.has_timed_out());
    }
  }
  apr_brigade_destroy(brigade);
  apr_socket_timeout_set(connection_->sock, body_timeout(r_, route_));
  return status == OK;
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

// Where TLS stood, mod_proxy has logged what broke.
void MemberConnection::judge_tls(SSL* ssl, bool has_timed_out) {
  if (has_timed_out) {
    failure_ = {.outcome = Outcome::late,
                .status = HTTP_GATEWAY_TIME_OUT,
                .why = "it took longer than WSBalanceHandshakeTimeout allows"};
    return;
  }
  failure_.why = why_tls_failed(ssl, connection_->connection);
  if (!failure_.why.empty()) failure_.outcome = Outcome::no_tls;
}

void MemberConnection::release() {
  if (connection_ == nullptr) return;
  connection_->close = 1;
  ap_proxy_release_connection(kFunction, connection_, r_->server);
  connection_ = nullptr;
}

}  // namespace wsbalance::httpd
