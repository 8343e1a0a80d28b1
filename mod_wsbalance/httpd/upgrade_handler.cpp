#include "httpd/upgrade_handler.h"

#include <utility>

#include "httpd/answer_headers.h"
#include "httpd/attempt.h"
#include "httpd/child.h"
#include "httpd/config.h"
#include "httpd/detach.h"
#include "httpd/failover.h"
#include "httpd/guard.h"
#include "httpd/hand_over.h"
#include "httpd/handshake_slot.h"
#include "httpd/in_flight.h"
#include "httpd/member_connection.h"
#include "httpd/next_member.h"
#include "httpd/plain_answer.h"
#include "httpd/pump.h"
#include "httpd/refusal.h"
#include "httpd/request_count.h"
#include "httpd/request_view.h"
#include "httpd/shortages.h"
#include "httpd/sticky_route.h"
#include "httpd/switching_response.h"
#include "httpd/tunnel_facts.h"
#include "httpd/tunnel_options.h"
#include "httpd/url_scheme.h"

namespace wsbalance::httpd {

using balance::Outcome;

namespace {

// What a handshake holds of its child for the tunnel that it may become.
struct Claims {
  PumpSlot pump;
  InertPair inert;
};

// A connection has to stay with httpd, and so does a thread for it.
bool acquire_pump_slot(request_rec* r, ModuleState& state, const char* obstacle, const char* side,
                       PumpSlot& slot) {
  const bool is_http2 = r->connection->master != nullptr;
  const unsigned limit = is_http2 ? state.pumped_http2_max : state.pumped_max;
  if (!slot.acquire(*state.child, limit)) {
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                  "WSB0228: %u tunnels of this child hold a thread: 503 (WSBalanceMaxPumped)",
                  limit);
    return false;
  }
  ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                "WSB0224: the tunnel will hold a thread because of %s on the %s's connection",
                obstacle, side);
  return true;
}

// The member switches: answers the client, hands the tunnel over.
int switch_protocols(request_rec* r, ModuleState& state, Attempt& attempt, Claims& claims) {
  MemberConnection& member = attempt.member();
  const protocol::Fields fields = attempt.head().fields();
  PumpedSides pumped{.client = claims.pump.is_held()};
  if (const char* obstacle = obstacle_to_detach(member.get()->connection)) {
    if (!claims.pump.is_held() && !acquire_pump_slot(r, state, obstacle, "member", claims.pump)) {
      return refuse_busy(r);
    }
    pumped = {.client = true, .member = true};
  }
  const MemberRef& counted = attempt.candidate().counted;
  auto info = describe_tunnel(r, *state.child, member.get(), counted, fields, pumped.client);
  const std::uint64_t id = info->id();
  PreparedTunnel prepared = prepare_tunnel(*state.child, tunnel_settings_for(dir_config(r), fields),
                                           std::move(info), std::move(claims.inert), pumped);
  if (!prepared) return refuse_without_descriptors(r, state.child->shortages());
  prepared.counted = counted;
  prepared.seat = attempt.take_seat();
  tell_tunnel_id(r, id);
  take_member_fields(r, fields);
  remove_hop_by_hop(r);  // Connection is set anew: it does not matter what else it says.
  if (!send_switching_response(r, attempt.accept())) return DONE;  // The client has gone.
  note_enough(r, state.child->shortages());
  prepared.in_flight = take_in_flight(r);
  // A thread that carries bytes keeps the request until the tunnel ends, which is counted itself.
  if (pumped.client && attempt.candidate().count != nullptr) attempt.candidate().count->end();
  hand_over(r, *state.child, member.get(), std::move(prepared));
  return OK;
}

// A valid upgrade on a route of ours: asks members until one of them takes it or answers otherwise.
int serve_upgrade(request_rec* r, ModuleState& state, Failover& failover,
                  const RequestView& request) {
  Child& child = *state.child;
  Claims claims;
  if (const char* obstacle = obstacle_to_detach(r->connection)) {
    if (!acquire_pump_slot(r, state, obstacle, "client", claims.pump)) return refuse_busy(r);
  }
  HandshakeSlot slot(state, child.row());
  if (!slot) {
    ap_log_rerror(APLOG_MARK, child.should_warn_of_waiting() ? APLOG_WARNING : APLOG_INFO, 0, r,
                  "WSB0223: %u handshakes are waiting for members: 503 (WSBalanceMaxHandshakes)",
                  state.waiting_handshakes_max);
    return refuse_busy(r);
  }
  claims.inert = child.inert().make_pair();
  if (!claims.inert) return refuse_without_descriptors(r, child.shortages());

  for (;;) {
    Attempt attempt(r, state, failover.candidate());
    const Outcome outcome =
        attempt.run(request, failover.began_attempt(), failover.time_for(attempt));
    if (outcome == Outcome::switched) {
      slot.release();
      failover.succeed(attempt);
      return switch_protocols(r, state, attempt, claims);
    }
    if (failover.go_on(attempt)) continue;
    slot.release();
    if (outcome != Outcome::answered) return failover.refuse(attempt);
    close_if_bytes_wait(r);
    return pass_plain_answer(r, attempt.candidate().route.conf, attempt.member(), attempt.head());
  }
}

int handle(request_rec* r, ModuleState& state, const MemberRoute& route, RequestCount* count) {
  const bool is_websocket_route = has_scheme(route.url, "ws") || has_scheme(route.url, "wss");
  const bool is_http_route = has_scheme(route.url, "http") || has_scheme(route.url, "https");
  if (!(is_websocket_route || is_http_route) || r->proxyreq != PROXYREQ_REVERSE || !is_enabled(r) ||
      is_left_alone(r, route.worker)) {
    return DECLINED;
  }
  // Told to speak HTTP/1.0, mod_proxy would send a request that cannot be an upgrade.
  if (apr_table_get(r->subprocess_env, "force-proxy-request-1.0") != nullptr) return DECLINED;
  if (!wants_websocket(r)) return is_websocket_route ? refuse_plain_request(r) : DECLINED;
  if (state.child == nullptr) return refuse_busy(r);
  const RequestView request(r);
  const auto error = protocol::check_request(request.head());
  if (error != protocol::HandshakeError::none) return refuse_request(r, error);
  Failover failover(r, state, route, count);
  return serve_upgrade(r, state, failover, request);
}

// Asked for every request that mod_proxy is about to send to a member.
int count_and_handle(request_rec* r, const MemberRoute& route) {
  ModuleState& state = *server_config(r->server).state;
  RequestCount* count = nullptr;
  if (state.has_sticky_balancers) settle_route(r, balancer_of(r, route), *route.worker);
  if (state.child != nullptr && route.worker->balancer != nullptr) {
    const MemberRef member = state.members->of(r, route.worker);
    count = RequestCount::begin(r, *state.child, member, RequestCount::Busy::counted_by_proxy);
    count_in_flight(r, *state.child, member);
  }
  return handle(r, state, route, count);
}

int on_scheme_handler(request_rec* r, proxy_worker* worker, proxy_server_conf* conf, char* url,
                      const char* proxy_name, apr_port_t proxy_port) {
  return guarded(r, "scheme_handler", HTTP_INTERNAL_SERVER_ERROR, [&] {
    return count_and_handle(r, {worker, conf, url, proxy_name, proxy_port});
  });
}

}  // namespace

void register_upgrade_hooks() {
  proxy_hook_scheme_handler(on_scheme_handler, nullptr, nullptr, APR_HOOK_REALLY_FIRST);
}

}  // namespace wsbalance::httpd
