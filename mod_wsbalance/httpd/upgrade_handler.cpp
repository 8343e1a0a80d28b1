#include "httpd/upgrade_handler.h"

#include <chrono>
#include <string>
#include <utility>

#include "httpd/answer_headers.h"
#include "httpd/answer_reader.h"
#include "httpd/child.h"
#include "httpd/config.h"
#include "httpd/detach.h"
#include "httpd/guard.h"
#include "httpd/hand_over.h"
#include "httpd/handshake_slot.h"
#include "httpd/member_connection.h"
#include "httpd/members.h"
#include "httpd/plain_answer.h"
#include "httpd/pump.h"
#include "httpd/refusal.h"
#include "httpd/request_view.h"
#include "httpd/shortages.h"
#include "httpd/switching_response.h"
#include "httpd/tunnel_facts.h"
#include "httpd/tunnel_options.h"
#include "httpd/url_scheme.h"
#include "protocol/accept_key.h"
#include "protocol/upgrade_response.h"

namespace wsbalance::httpd {
namespace {

// A worker takes ProxyTimeout over as its own timeout (mod_proxy.h, PROXY_COPY_CONF_PARAMS), which
// is not what an administrator said of this member.
apr_interval_time_t handshake_timeout(const request_rec* r, const MemberRoute& route) {
  if (const auto& configured = dir_config(r).handshake_timeout) return *configured;
  const proxy_worker_shared& worker = *route.worker->s;
  const bool is_proxy_timeout = route.conf->timeout_set && route.conf->timeout == worker.timeout;
  return worker.timeout_set && !is_proxy_timeout ? worker.timeout : kHandshakeTimeoutDefault;
}

protocol::HeadLimits head_limits(const proxy_worker* worker) {
  protocol::HeadLimits limits;
  if (worker->s->response_field_size_set) limits.line_bytes_max = worker->s->response_field_size;
  return limits;
}

// The member broke a rule: nothing of what it sent reaches the client.
int refuse_bad_answer(request_rec* r, const MemberRoute& route, protocol::HandshakeError error) {
  const protocol::HandshakeRule& rule = protocol::rule_of(error);
  ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "%s: member %s sent no valid answer: %s (%s)",
                rule.log_id, route.worker->s->name_ex, rule.text, rule.reference);
  close_if_bytes_wait(r);
  return rule.status;
}

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

// The handshake did not become a tunnel, by the member's doing.
void note_failed(const ModuleState& state, const MemberRef& counted) {
  state.rows->member_row(counted.row).handshakes_failed.fetch_add(1, std::memory_order_relaxed);
}

// The member answered 101: checks it, answers the client, hands the tunnel over.
int switch_protocols(request_rec* r, ModuleState& state, MemberConnection& member,
                     const MemberRoute& route, const MemberRef& counted, const RequestView& request,
                     const protocol::ResponseHead& head, Claims& claims) {
  const protocol::Fields request_fields = request.head().fields;
  const std::string accept =
      protocol::accept_key(protocol::first_value(request_fields, "Sec-WebSocket-Key"));
  const auto error = protocol::check_switching_response(head.version_minor(), head.fields(),
                                                        {accept, request_fields});
  if (error != protocol::HandshakeError::none) {
    note_failed(state, counted);
    return refuse_bad_answer(r, route, error);
  }

  PumpedSides pumped{.client = claims.pump.is_held()};
  if (const char* obstacle = obstacle_to_detach(member.get()->connection)) {
    if (!claims.pump.is_held() && !acquire_pump_slot(r, state, obstacle, "member", claims.pump)) {
      return refuse_busy(r);
    }
    pumped = {.client = true, .member = true};
  }
  auto info = describe_tunnel(r, *state.child, member.get(), counted, head.fields(), pumped.client);
  const std::uint64_t id = info->id();
  PreparedTunnel prepared =
      prepare_tunnel(*state.child, tunnel_settings_for(dir_config(r), head.fields()),
                     std::move(info), std::move(claims.inert), pumped);
  if (!prepared) return refuse_without_descriptors(r, state.child->shortages());
  prepared.counted = counted;
  tell_tunnel_id(r, id);
  take_member_fields(r, head.fields());
  remove_hop_by_hop(r);  // Connection is set anew: it does not matter what else it says.
  if (!send_switching_response(r, accept)) return DONE;  // The client has gone.
  note_enough(r, state.child->shortages());
  hand_over(r, *state.child, member.get(), std::move(prepared));
  return OK;
}

int refuse_late(request_rec* r, const MemberRoute& route, apr_interval_time_t timeout) {
  ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                "WSB0222: member %s did not answer the handshake within %" APR_TIME_T_FMT
                " ms: 504 (WSBalanceHandshakeTimeout)",
                route.worker->s->name_ex, apr_time_as_msec(timeout));
  apr_table_setn(r->notes, "proxy_timedout", "1");  // failontimeout of the balancer looks for it.
  close_if_bytes_wait(r);
  return HTTP_GATEWAY_TIME_OUT;
}

// The client did not wait for the member: nobody reads an answer.
int give_up(request_rec* r, const MemberRoute& route) {
  ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                "WSB0225: the client went away while member %s had not answered the handshake",
                route.worker->s->name_ex);
  r->connection->aborted = 1;
  return refuse_gone(r);
}

// A valid upgrade on a route of ours: asks the member and does what it says.
int serve_upgrade(request_rec* r, ModuleState& state, const MemberRoute& route,
                  const MemberRef& counted, const RequestView& request) {
  Child& child = *state.child;
  tell_attempt(r, route.worker);
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

  const apr_interval_time_t timeout = handshake_timeout(r, route);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::microseconds(timeout);
  MemberConnection member(r, route);
  int status = member.open(timeout);
  if (member.lacks_descriptor()) return refuse_without_descriptors(r, child.shortages());
  if (status == OK) status = member.send_request(deadline);
  if (status != OK) {
    note_failed(state, counted);
    close_if_bytes_wait(r);
    return status;
  }

  protocol::ResponseHead head(head_limits(route.worker));
  const AnswerResult result = read_answer_head(r, member.get(), deadline, head);
  slot.release();
  const bool has_switched =
      result == AnswerResult::complete && head.status() == HTTP_SWITCHING_PROTOCOLS;
  if (!has_switched && result != AnswerResult::client_gone) note_failed(state, counted);
  switch (result) {
    case AnswerResult::timed_out:
      return refuse_late(r, route, timeout);
    case AnswerResult::client_gone:
      return give_up(r, route);
    case AnswerResult::failed:
      return refuse_bad_answer(r, route, head.error());
    case AnswerResult::complete:
      break;
  }
  if (has_switched) {
    return switch_protocols(r, state, member, route, counted, request, head, claims);
  }
  close_if_bytes_wait(r);
  return pass_plain_answer(r, route.conf, member, head);
}

int handle(request_rec* r, ModuleState& state, const MemberRoute& route) {
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
  return serve_upgrade(r, state, route, state.members->of(r, route.worker), request);
}

// Asked for every request that mod_proxy is about to send to a member.
int count_and_handle(request_rec* r, const MemberRoute& route) {
  ModuleState& state = *server_config(r->server).state;
  if (state.child != nullptr && route.worker->balancer != nullptr) {
    state.child->count_request(r, state.members->of(r, route.worker));
  }
  return handle(r, state, route);
}

int on_scheme_handler(request_rec* r, proxy_worker* worker, proxy_server_conf* conf, char* url,
                      const char* proxy_name, apr_port_t proxy_port) {
  return guarded(r, "scheme_handler", HTTP_INTERNAL_SERVER_ERROR, [&] {
    return count_and_handle(r, {worker, conf, url, proxy_name, proxy_port});
  });
}

// A refusal of our own says nothing about the member: mod_proxy_balancer's failonstatus must not
// see it. Only the first module that does not decline is asked.
int on_post_request(proxy_worker*, proxy_balancer*, request_rec* r, proxy_server_conf*) {
  return is_own_refusal(r) ? OK : DECLINED;
}

}  // namespace

void register_upgrade_hooks() {
  proxy_hook_scheme_handler(on_scheme_handler, nullptr, nullptr, APR_HOOK_REALLY_FIRST);
  proxy_hook_post_request(on_post_request, nullptr, nullptr, APR_HOOK_REALLY_FIRST);
}

}  // namespace wsbalance::httpd
