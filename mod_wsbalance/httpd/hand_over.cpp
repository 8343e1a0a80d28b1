#include "httpd/hand_over.h"

#include <sys/socket.h>

#include <new>
#include <utility>

#include "httpd/connection_state.h"
#include "httpd/detach.h"
#include "httpd/guard.h"
#include "httpd/pool.h"
#include "httpd/queries.h"

namespace wsbalance::httpd {

// A tunnel that waits for the client's connection to be closed by httpd.
struct DepartingTunnel {
  Child& child;
  PreparedTunnel prepared;
  relay::UniqueFd client_fd;
  relay::Connection member;
};

namespace {

// At an ungraceful end of the child its MPM closes the sockets of its workers (event.c and worker.c,
// close_worker_sockets()): then nobody is to blame.
void log_lost(server_rec* server, const char* side) {
  if (ask_mpm(AP_MPMQ_MPM_STATE) == AP_MPMQ_STOPPING) return;
  ap_log_error(APLOG_MARK, APLOG_ERR, 0, server,
               "WSB0226: mod_ssl did not hand over the TLS of the %s's connection: closed", side);
}

void submit(Child& child, PreparedTunnel& prepared, relay::Connection client,
            relay::Connection member) {
  prepared.tunnel->adopt(std::move(client), std::move(member), prepared.client.read_already,
                         prepared.member.read_already);
  prepared.tunnel->set_group(prepared.counted.row);
  child.count_opened(prepared.counted);
  prepared.seat.keep();
  prepared.in_flight.end();
  child.relay().submit(std::move(prepared.tunnel));
}

// There is no memory, and the client has its 101.
void end_for_want_of_memory(Child& child, PreparedTunnel& prepared) {
  if (prepared.tunnel == nullptr) return;  // The relay has it, and sees that the side is closed.
  relay::TunnelSummary summary;
  summary.reason = relay::EndReason::resources;
  child.count_opened(prepared.counted);
  prepared.seat.keep();
  child.tunnel_ended(summary, prepared.tunnel->take_context());
}

// The last that httpd does with a connection, on every way out of every MPM: its log is written.
int depart(conn_rec* connection) {
  ConnectionState* state = find_connection_state(connection);
  if (state == nullptr || state->departing == nullptr) return OK;
  DepartingTunnel& departing = *std::exchange(state->departing, nullptr);
  PreparedTunnel& prepared = departing.prepared;
  relay::Connection client;
  try {
    client =
        take_connection(connection, std::move(departing.client_fd), prepared.client.read_already);
  } catch (const std::bad_alloc&) {
    connection->aborted = 1;
    end_for_want_of_memory(departing.child, prepared);
    return OK;
  }
  connection->aborted = 1;  // Nothing to flush and nobody to wait for.
  if (!client.fd) {
    log_lost(connection->base_server, "client");
    return OK;
  }
  submit(departing.child, prepared, std::move(client), std::move(departing.member));
  return OK;
}

int on_pre_close(conn_rec* connection) {
  return guarded(connection->base_server, "pre_close_connection", OK,
                 [&] { return depart(connection); });
}

PreparedSide prepare_side(relay::UniqueFd inert, bool is_pumped) {
  PreparedSide side;
  if (!is_pumped) {
    side.inert = std::move(inert);
    // httpd reads into buckets of this size and asks for more only when one is used up.
    side.read_already.reserve(AP_IOBUFSIZE);
    return side;
  }
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0) {
    side.relay_end.reset(ends[0]);
    side.pump_end.reset(ends[1]);
  }
  return side;
}

// What httpd still does with the request must not pass the request's filters: they would write an
// answer of their own (as ap_proxy_tunnel_create() does it).
void bypass_request_filters(request_rec* r) {
  r->input_filters = r->proto_input_filters = r->connection->input_filters;
  r->output_filters = r->proto_output_filters = r->connection->output_filters;
  r->connection->keepalive = AP_CONN_CLOSE;
}

relay::Connection take_member(const Child& child, proxy_conn_rec* member, PreparedSide& side) {
  if (side.is_pumped()) return {std::move(side.relay_end), nullptr};
  relay::UniqueFd fd = child.inert().take(member->sock, std::move(side.inert));
  return take_connection(member->connection, std::move(fd), side.read_already);
}

void pump(request_rec* r, Child& child, proxy_conn_rec* member, PreparedTunnel& prepared,
          relay::Connection member_connection) {
  std::vector<PumpedSide> sides;
  sides.push_back({r->connection, std::move(prepared.client.pump_end)});
  if (prepared.member.is_pumped()) {
    sides.push_back({member->connection, std::move(prepared.member.pump_end)});
  }
  prepared.tunnel->bind();
  submit(child, prepared, {std::move(prepared.client.relay_end), nullptr},
         std::move(member_connection));
  run_pump(child, std::move(sides));
}

void take_both(request_rec* r, Child& child, proxy_conn_rec* member, PreparedTunnel& prepared) {
  conn_rec* client = r->connection;
  relay::UniqueFd client_fd;
  if (!prepared.client.is_pumped()) {
    client_fd = child.inert().take(ap_get_conn_socket(client), std::move(prepared.client.inert));
  }
  relay::Connection member_connection = take_member(child, member, prepared.member);
  if (!member_connection.fd) return log_lost(r->server, "member");
  if (prepared.client.is_pumped()) {
    return pump(r, child, member, prepared, std::move(member_connection));
  }
  connection_state(client).departing = pool_new<DepartingTunnel>(
      client->pool, DepartingTunnel{child, std::move(prepared), std::move(client_fd),
                                    std::move(member_connection)});
}

}  // namespace

PreparedTunnel prepare_tunnel(Child& child, const relay::TunnelSettings& settings,
                              std::unique_ptr<TunnelInfo> info, InertPair inert,
                              PumpedSides pumped) {
  return {prepare_side(std::move(inert.client), pumped.client),
          prepare_side(std::move(inert.member), pumped.member),
          std::make_unique<relay::Tunnel>(child.settings().share(settings), std::move(info))};
}

void hand_over(request_rec* r, Child& child, proxy_conn_rec* member, PreparedTunnel prepared) {
  bypass_request_filters(r);
  try {
    take_both(r, child, member, prepared);
  } catch (const std::bad_alloc&) {
    r->connection->aborted = 1;
    end_for_want_of_memory(child, prepared);
  }
}

void register_hand_over_hooks() {
  ap_hook_pre_close_connection(on_pre_close, nullptr, nullptr, APR_HOOK_REALLY_LAST);
}

}  // namespace wsbalance::httpd
