#include "httpd/tunnel_facts.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>

#include "httpd/log_text.h"
#include "httpd/older_httpd.h"
#include "httpd/tunnel_log.h"

namespace wsbalance::httpd {
namespace {

std::string_view or_empty(const char* text) { return text != nullptr ? text : ""; }

// Session ids stand in parameters of paths as well (";jsessionid=", RFC 3986 3.3).
std::string without_parameters(std::string_view path) {
  std::string plain;
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/', 1), path.size());
    plain += path.substr(0, std::min(path.find(';'), end));
    path.remove_prefix(end);
  }
  return plain;
}

// As the client wrote it, before rewriting.
const char* requested_path(const request_rec* r) {
  while (r->prev != nullptr) r = r->prev;
  return r->uri;
}

Transport client_transport(conn_rec* client) {
  const bool has_tls = ap_ssl_conn_is_ssl(client) != 0;
  if (client->master != nullptr) return has_tls ? Transport::h2 : Transport::h2c;
  return has_tls ? Transport::tls : Transport::tcp;
}

Transport member_transport(const proxy_conn_rec* member) {
  if (ap_ssl_conn_is_ssl(member->connection)) return Transport::tls;
  return *member->worker->s->uds_path != '\0' ? Transport::unix_socket : Transport::tcp;
}

std::uint32_t milliseconds_since(apr_time_t time) {
  return static_cast<std::uint32_t>(
      std::clamp<apr_time_t>(apr_time_as_msec(apr_time_now() - time), 0, 0xffffffff));
}

}  // namespace

std::unique_ptr<TunnelInfo> describe_tunnel(request_rec* r, Child& child,
                                            const proxy_conn_rec* member, const MemberRef& counted,
                                            protocol::Fields answer, bool is_pumped) {
  const proxy_worker_shared& worker = *member->worker->s;
  TunnelFacts facts;
  facts.server = r->server;
  facts.id = child.next_tunnel_id();
  facts.server_port = r->connection->local_addr->port;
  facts.client_port = r->connection->client_addr->port;
  facts.member_row = counted.row;
  facts.client = or_empty(r->useragent_ip);
  facts.member = full_name(worker);
  if (tunnel_log_of(r->server) == nullptr) return TunnelInfo::make(facts);

  const std::string uri = without_parameters(or_empty(requested_path(r)));
  facts.user = or_empty(r->user);
  facts.uri = uri;
  facts.route = worker.route;
  // mod_proxy_balancer sets it for the member that it has chosen.
  facts.balancer = or_empty(apr_table_get(r->subprocess_env, "BALANCER_NAME"));
  facts.subprotocol = protocol::first_value(answer, "Sec-WebSocket-Protocol");
  facts.handshake_ms = milliseconds_since(r->request_time);
  facts.client_transport = client_transport(r->connection);
  facts.member_transport = member_transport(member);
  facts.is_pumped = is_pumped;
  return TunnelInfo::make(facts);
}

void tell_attempt(request_rec* r, const proxy_worker* worker, unsigned number) {
  apr_table_set(r->subprocess_env, "WSBALANCE_MEMBER", full_name(*worker->s));
  apr_table_setn(r->subprocess_env, "WSBALANCE_ATTEMPTS",
                 number == 1 ? "1" : apr_itoa(r->pool, static_cast<int>(number)));
}

void tell_tunnel_id(request_rec* r, std::uint64_t id) {
  std::string text;
  append_id(text, id);
  apr_table_set(r->subprocess_env, "WSBALANCE_TUNNEL", text.c_str());
}

}  // namespace wsbalance::httpd
