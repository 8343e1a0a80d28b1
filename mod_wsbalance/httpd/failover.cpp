#include "httpd/failover.h"

#include "httpd/answer_reader.h"
#include "httpd/balancer_config.h"
#include "httpd/child.h"
#include "httpd/connect_watch.h"
#include "httpd/ejection.h"
#include "httpd/explicit_parameters.h"
#include "httpd/guard.h"
#include "httpd/in_flight.h"
#include "httpd/older_httpd.h"
#include "httpd/refusal.h"
#include "httpd/shared_rows.h"
#include "httpd/shortages.h"
#include "httpd/sticky_route.h"
#include "httpd/tunnel_facts.h"

namespace wsbalance::httpd {

using balance::Outcome;
using std::chrono::milliseconds;

namespace {

// Members have been told of (mod_proxy's post_request) one by one.
constexpr const char* kTold = "wsbalance-attempts-told";

milliseconds since(Failover::Clock::time_point time) {
  return std::chrono::duration_cast<milliseconds>(Failover::Clock::now() - time);
}

// The one place through which each attempt passes that failed by the member's doing. Whatever it
// answers, it is there: that is nothing to eject it for.
void note_failed(const ModuleState& state, const request_rec* r, const MemberRef& counted,
                 Outcome outcome) {
  state.rows->member_row(counted.row).handshakes_failed.fetch_add(1, std::memory_order_relaxed);
  if (outcome == Outcome::answered) return;
  note_member_failure(*state.rows, counted.row, r->useragent_ip);
}

// No more handshakes for its retry=.
void put_in_error(proxy_worker_shared& member) {
  if (member.status & PROXY_WORKER_IGNORE_ERRORS) return;
  member.error_time = apr_time_now();
  member.status |= PROXY_WORKER_IN_ERROR;
}

const char* text_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::switched:
      return "switched";
    case Outcome::answered:
      return "answered";
    case Outcome::unreachable:
      return "unreachable";
    case Outcome::unknown_name:
      return "name not found";
    case Outcome::no_tls:
      return "no TLS";
    case Outcome::late:
      return "no answer in time";
    case Outcome::ended:
      return "closed the connection";
    case Outcome::broke_rules:
      return "no valid answer";
    case Outcome::full:
      return "full";
    case Outcome::unusable:
      return "out of service";
    case Outcome::client_gone:
      return "the client went away";
    case Outcome::own_fault:
      return "not asked";
  }
  return "";
}

}  // namespace

Failover::Failover(request_rec* r, ModuleState& state, const MemberRoute& route,
                   RequestCount* count)
    : r_(r),
      state_(state),
      balancer_(balancer_of(r, route)),
      config_(balancer_config(r->server, balancer_)),
      first_(route),
      next_(r, balancer_),
      candidate_{route, state.members->of(r, route.worker), count,
                 seat_limits(state, r->server, route.worker, balancer_)},
      began_(Clock::now()),
      began_attempt_(began_) {
  tell_attempt(r, route.worker, tries_);
}

// Without WSBalanceTries: maxattempts= and one more, where somebody has set that.
balance::TryLimits Failover::limits() const {
  if (config_.tries) return *config_.tries;
  balance::TryLimits limits;
  if (state_.parameters->has_attempts_max(balancer_)) {
    limits.tries = balance::tries_for_attempts(balancer_->s->max_attempts);
  }
  return limits;
}

milliseconds Failover::time_for(const Attempt& attempt) const {
  const milliseconds each = attempt.time_of_member();
  if (balancer_ == nullptr) return each;
  const auto elapsed = std::chrono::duration_cast<milliseconds>(began_attempt_ - began_);
  return balance::time_for_try(limits(), tries_ - 1, elapsed, each).value_or(milliseconds(1));
}

void Failover::note(const Attempt& attempt) {
  tried_.push_back(
      {full_name(*attempt.candidate().route.worker->s), attempt.failure(), since(began_attempt_)});
}

// mod_proxy_balancer's post_request looks at the status of an answer (failonstatus) and for a note
// (failontimeout); when proxy_handler() calls it in the end, it must not do so again.
void Failover::punish(const Attempt& attempt) {
  const Outcome outcome = attempt.outcome();
  proxy_worker* const worker = attempt.candidate().route.worker;
  if (balancer_ == nullptr) return;  // Such a member is never in error.
  if (balance::puts_in_error(outcome)) put_in_error(*worker->s);
  apr_table_unset(r_->notes, kTold);
  const int status = r_->status;
  if (outcome == Outcome::answered) {
    r_->status = attempt.failure().status;
    ap_proxy_post_request(worker, balancer_, r_, first_.conf);
  } else if (outcome == Outcome::late) {
    apr_table_setn(r_->notes, "proxy_timedout", "1");
    ap_proxy_post_request(worker, balancer_, r_, first_.conf);
    apr_table_unset(r_->notes, "proxy_timedout");
  }
  r_->status = status;
  apr_table_setn(r_->notes, kTold, "1");
}

void Failover::succeed(const Attempt& attempt) {
  if (tried_.empty()) return;
  note(attempt);
  log_end(attempt, false);
}

bool Failover::go_on(const Attempt& attempt) {
  const Outcome outcome = attempt.outcome();
  note(attempt);
  if (balance::is_failure(outcome)) note_failed(state_, r_, attempt.candidate().counted, outcome);
  punish(attempt);
  const bool has_failed = balance::is_to_retry(outcome, attempt.failure().status, config_.retry_on);
  // That there is no other attempt is then nobody's fault.
  const bool is_given_up = has_failed && balancer_ != nullptr && is_gone(r_->connection);
  if (has_failed && balancer_ != nullptr && !is_given_up) {
    next_.leave_out(attempt.candidate().route.worker);
    if (choose_next()) return true;
  }
  log_end(attempt, has_failed && !is_given_up);
  return false;
}

bool Failover::choose_next() {
  const bool was_asked = balance::is_try(tried_.back().failure.outcome);
  const unsigned tries_made = was_asked ? tries_ : tries_ - 1;
  const auto now = Clock::now();
  const auto elapsed = std::chrono::duration_cast<milliseconds>(now - began_);
  if (!balance::time_for_try(limits(), tries_made, elapsed, milliseconds::max())) return false;
  proxy_worker* const worker = next_.choose();
  is_nobody_left_ = worker == nullptr && !next_.is_bound();
  if (worker == nullptr) return false;
  const auto route = next_.route_to(worker, first_);
  if (!route) return false;

  if (candidate_.count != nullptr) candidate_.count->end();
  const MemberRef counted = state_.members->of(r_, worker);
  candidate_ = {*route, counted,
                RequestCount::begin(r_, *state_.child, counted, RequestCount::Busy::counted_by_us),
                seat_limits(state_, r_->server, worker, balancer_)};
  began_attempt_ = now;
  tries_ = tries_made + 1;
  count_in_flight(r_, *state_.child, counted);
  set_route_cookie(r_, *balancer_, *worker);
  tell_attempt(r_, worker, tries_);
  return true;
}

int Failover::refuse(const Attempt& attempt) {
  const Failure& failure = attempt.failure();
  if (attempt.lacks_descriptor()) return refuse_without_descriptors(r_, state_.child->shortages());
  if (failure.outcome == Outcome::client_gone) return refuse_gone(r_);
  if (balancer_ != nullptr) {
    return refuse_after_tries(r_, is_nobody_left_ ? HTTP_SERVICE_UNAVAILABLE : failure.status);
  }
  if (failure.outcome == Outcome::full) return refuse_busy(r_);
  close_if_bytes_wait(r_);
  return failure.status;
}

// "ws://a:80 answered 503 (2 ms); ws://b:80 unreachable (0 ms)"
std::string Failover::tell_tried() const {
  std::string text;
  for (const Tried& tried : tried_) {
    if (!text.empty()) text += "; ";
    text += std::string(tried.member) + " " + text_of(tried.failure.outcome);
    if (tried.failure.outcome == Outcome::answered) {
      text += " " + std::to_string(tried.failure.status);
    }
    if (tried.failure.rule != protocol::HandshakeError::none) {
      const protocol::HandshakeRule& rule = protocol::rule_of(tried.failure.rule);
      text += std::string(": ") + rule.log_id + ": " + rule.text + " (" + rule.reference + ")";
    }
    if (tried.failure.is_forbidden) text += std::string(": ") + kForbiddenLogId;
    if (!tried.failure.why.empty()) {
      text += ": " + tried.failure.why;
    } else if (tried.failure.outcome == Outcome::full) {
      text += ": max= or WSBalanceMaxPerMember";
    }
    text += " (" + std::to_string(tried.took.count()) + " ms)";
  }
  return text;
}

// One line for all attempts. None for a single one that the member answered: the access log has it.
void Failover::log_end(const Attempt& attempt, bool has_failed) const {
  const Outcome outcome = attempt.outcome();
  if (tried_.size() == 1) {
    if (outcome == Outcome::answered || outcome == Outcome::own_fault) return;
    if (balancer_ == nullptr || outcome == Outcome::client_gone) return log_alone(attempt);
  }
  const bool is_full =
      has_failed && std::all_of(tried_.begin(), tried_.end(), [](const Tried& tried) {
        return tried.failure.outcome == Outcome::full;
      });
  if (is_full) {
    ap_log_rerror(APLOG_MARK, state_.child->should_warn_of_waiting() ? APLOG_WARNING : APLOG_INFO,
                  0, r_, "WSB0523: no room for a handshake: %s: 503", tell_tried().c_str());
  } else if (has_failed) {
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r_, "WSB0522: handshake failed: %s%s",
                  tell_tried().c_str(), is_nobody_left_ ? "; no other member is left" : "");
  } else if (APLOG_R_IS_LEVEL(r_, APLOG_INFO)) {
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r_, "WSB0521: handshake: %s", tell_tried().c_str());
  }
}

// A member of no balancer, or a client that did not wait for the first one.
void Failover::log_alone(const Attempt& attempt) const {
  const char* const member = full_name(*attempt.candidate().route.worker->s);
  const Failure& failure = attempt.failure();
  const protocol::HandshakeRule& rule = protocol::rule_of(failure.rule);
  switch (failure.outcome) {
    case Outcome::unreachable:
      if (!failure.is_forbidden) break;  // mod_proxy has logged why.
      ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r_, "%s: member %s unreachable: %s", kForbiddenLogId,
                    member, failure.why.c_str());
      break;
    case Outcome::no_tls:
    case Outcome::late:
      if (!failure.why.empty()) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r_, "WSB0227: no TLS with member %s: %s", member,
                      failure.why.c_str());
      } else if (failure.outcome == Outcome::late) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r_,
                      "WSB0222: member %s did not answer the handshake within %" APR_INT64_T_FMT
                      " ms: 504 (WSBalanceHandshakeTimeout)",
                      member, apr_int64_t{attempt.time().count()});
      }
      break;
    case Outcome::ended:
    case Outcome::broke_rules:
      if (failure.rule == protocol::HandshakeError::none)
        break;  // mod_proxy has logged what broke.
      ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r_, "%s: member %s sent no valid answer: %s (%s)",
                    rule.log_id, member, rule.text, rule.reference);
      break;
    case Outcome::client_gone:
      ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r_,
                    "WSB0225: the client went away while member %s had not answered the handshake",
                    member);
      break;
    case Outcome::full:
      ap_log_rerror(APLOG_MARK, state_.child->should_warn_of_waiting() ? APLOG_WARNING : APLOG_INFO,
                    0, r_, "WSB0524: member %s is full: %s: 503", member,
                    failure.why.empty() ? "max=" : failure.why.c_str());
      break;
    default:
      break;
  }
}

namespace {

// A refusal of our own says nothing about the member, and what members of a balancer did has been
// told: mod_proxy_balancer must not look at this status. Only the first module that does not decline
// is asked.
int on_post_request(proxy_worker*, proxy_balancer*, request_rec* r, proxy_server_conf*) {
  return is_own_refusal(r) || apr_table_get(r->notes, kTold) != nullptr ? OK : DECLINED;
}

}  // namespace

void register_failover_hooks() {
  proxy_hook_post_request(on_post_request, nullptr, nullptr, APR_HOOK_REALLY_FIRST);
}

}  // namespace wsbalance::httpd
