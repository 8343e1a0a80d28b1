#include "httpd/hand_over.h"

#include <string>
#include <utility>

#include "httpd/config.h"
#include "httpd/connection_state.h"
#include "httpd/detach.h"
#include "httpd/guard.h"
#include "httpd/pool.h"

namespace wsbalance::httpd {

// A tunnel that waits for the client's connection to be closed by httpd.
struct DepartingTunnel {
  Child& child;
  PreparedTunnel prepared;
  relay::UniqueFd client_fd;
  relay::Connection member;
};

namespace {

void log_lost(server_rec* server, const char* side) {
  ap_log_error(APLOG_MARK, APLOG_ERR, 0, server,
               "WSB0226: mod_ssl did not hand over the TLS of the %s's connection: closed", side);
}

// The last that httpd does with a connection, on every way out of every MPM: its log is written.
int depart(conn_rec* connection) {
  ConnectionState* state = find_connection_state(connection);
  if (state == nullptr || state->departing == nullptr) return OK;
  DepartingTunnel& departing = *std::exchange(state->departing, nullptr);
  PreparedTunnel& prepared = departing.prepared;
  relay::Connection client =
      take_connection(connection, std::move(departing.client_fd), prepared.from_client);
  connection->aborted = 1;  // Nothing to flush and nobody to wait for.
  if (!client.fd) {
    log_lost(connection->base_server, "client");
    return OK;
  }
  prepared.tunnel->adopt(std::move(client), std::move(departing.member), prepared.from_client,
                         prepared.from_member);
  departing.child.relay().submit(std::move(prepared.tunnel));
  return OK;
}

int on_pre_close(conn_rec* connection) {
  return guarded(connection->base_server, "pre_close_connection", OK,
                 [&] { return depart(connection); });
}

}  // namespace

PreparedTunnel prepare_tunnel(request_rec* r, const Child& child, const proxy_worker* worker) {
  auto info = std::make_unique<TunnelInfo>();
  info->server = r->server;
  info->client =
      std::string(r->useragent_ip) + ':' + std::to_string(r->connection->client_addr->port);
  info->member = worker->s->name_ex;

  relay::TunnelSettings settings;
  settings.buffer_bytes_max = dir_config(r).buffer_bytes_max.value_or(kBufferDefault);
  PreparedTunnel prepared{child.make_inert(),
                          child.make_inert(),
                          std::make_unique<relay::Tunnel>(settings, std::move(info)),
                          {},
                          {}};
  // httpd reads into buckets of this size and asks for more only when one is used up.
  prepared.from_client.reserve(AP_IOBUFSIZE);
  prepared.from_member.reserve(AP_IOBUFSIZE);
  return prepared;
}

void bypass_request_filters(request_rec* r) {
  r->input_filters = r->proto_input_filters = r->connection->input_filters;
  r->output_filters = r->proto_output_filters = r->connection->output_filters;
  r->connection->keepalive = AP_CONN_CLOSE;
}

void hand_over(request_rec* r, Child& child, proxy_conn_rec* member, PreparedTunnel prepared) {
  conn_rec* client = r->connection;
  auto* departing = pool_new<DepartingTunnel>(client->pool, child, std::move(prepared),
                                              relay::UniqueFd(), relay::Connection());
  departing->client_fd =
      take_descriptor(ap_get_conn_socket(client), std::move(departing->prepared.client_inert));
  bypass_request_filters(r);
  relay::UniqueFd member_fd =
      take_descriptor(member->sock, std::move(departing->prepared.member_inert));
  departing->member =
      take_connection(member->connection, std::move(member_fd), departing->prepared.from_member);
  if (!departing->member.fd) return log_lost(r->server, "member");
  connection_state(client).departing = departing;
}

void register_hand_over_hooks() {
  ap_hook_pre_close_connection(on_pre_close, nullptr, nullptr, APR_HOOK_REALLY_LAST);
}

}  // namespace wsbalance::httpd
