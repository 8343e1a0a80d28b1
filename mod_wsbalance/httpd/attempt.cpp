#include "httpd/attempt.h"

#include <utility>

#include "httpd/answer_reader.h"
#include "httpd/config.h"
#include "protocol/accept_key.h"
#include "protocol/upgrade_response.h"

namespace wsbalance::httpd {

using balance::Outcome;
using std::chrono::milliseconds;

namespace {

// A worker takes ProxyTimeout over as its own timeout (mod_proxy.h, PROXY_COPY_CONF_PARAMS), which
// is not what an administrator said of this member.
milliseconds handshake_timeout(const request_rec* r, const MemberRoute& route) {
  apr_interval_time_t timeout = kHandshakeTimeoutDefault;
  const proxy_worker_shared& worker = *route.worker->s;
  if (const auto& configured = dir_config(r).handshake_timeout) {
    timeout = *configured;
  } else if (worker.timeout_set &&
             !(route.conf->timeout_set && route.conf->timeout == worker.timeout)) {
    timeout = worker.timeout;
  }
  return milliseconds(apr_time_as_msec(timeout));
}

protocol::HeadLimits head_limits(const proxy_worker* worker) {
  protocol::HeadLimits limits;
  if (worker->s->response_field_size_set) limits.line_bytes_max = worker->s->response_field_size;
  return limits;
}

}  // namespace

Attempt::Attempt(request_rec* r, ModuleState& state, const Candidate& candidate)
    : r_(r),
      state_(state),
      candidate_(candidate),
      time_of_member_(handshake_timeout(r, candidate.route)),
      member_(r, candidate.route),
      head_(head_limits(candidate.route.worker)) {}

Outcome Attempt::fail(Outcome outcome, int status) {
  failure_ = {.outcome = outcome, .status = status};
  return outcome;
}

// The member broke a rule: nothing of what it sent reaches the client.
Outcome Attempt::fail(protocol::HandshakeError error) {
  const bool is_cut = error == protocol::HandshakeError::head_truncated;
  fail(is_cut ? Outcome::ended : Outcome::broke_rules, protocol::rule_of(error).status);
  failure_.rule = error;
  return failure_.outcome;
}

// A connection that was given up early, because the handshake as a whole has no more time, says
// nothing about the member.
Outcome Attempt::fail_to_reach(Clock::time_point deadline) {
  failure_ = member_.failure();
  if (member_.lacks_descriptor()) return fail(Outcome::own_fault, HTTP_SERVICE_UNAVAILABLE);
  if (failure_.outcome == Outcome::unreachable && time_ < time_of_member_ &&
      Clock::now() >= deadline) {
    return fail(Outcome::late, HTTP_GATEWAY_TIME_OUT);
  }
  return failure_.outcome;
}

Outcome Attempt::run(const RequestView& request, Clock::time_point began, milliseconds time) {
  time_ = time;
  const bool has_counted_request = candidate_.count != nullptr;
  if (!seat_.take(state_, candidate_.limits, candidate_.counted.row, has_counted_request)) {
    return fail(Outcome::full, HTTP_SERVICE_UNAVAILABLE);
  }
  const auto deadline = began + time;
  if (!member_.open(apr_time_from_msec(time.count())) || !member_.send_request(deadline)) {
    return fail_to_reach(deadline);
  }
  switch (read_answer_head(r_, member_.get(), deadline, head_)) {
    case AnswerResult::timed_out:
      return fail(Outcome::late, HTTP_GATEWAY_TIME_OUT);
    case AnswerResult::client_gone:
      return fail(Outcome::client_gone, HTTP_REQUEST_TIME_OUT);
    case AnswerResult::failed:
      return fail(head_.error());
    case AnswerResult::complete:
      break;
  }
  return judge_answer(request);
}

Outcome Attempt::judge_answer(const RequestView& request) {
  if (head_.status() != HTTP_SWITCHING_PROTOCOLS) return fail(Outcome::answered, head_.status());
  const protocol::Fields request_fields = request.head().fields;
  accept_ = protocol::accept_key(protocol::first_value(request_fields, "Sec-WebSocket-Key"));
  const auto error = protocol::check_switching_response(head_.version_minor(), head_.fields(),
                                                        {accept_, request_fields});
  if (error != protocol::HandshakeError::none) return fail(error);
  failure_.outcome = Outcome::switched;
  return Outcome::switched;
}

}  // namespace wsbalance::httpd
