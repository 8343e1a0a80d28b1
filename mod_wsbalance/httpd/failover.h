// failover.h - a handshake on its way over the members of a balancer, until one of them takes it.
//
// Layer:    httpd.
// Owns:     what is known of the attempts that failed.
// Threads:  the worker thread of the request.
//
// Every attempt that fails passes go_on(): there it is counted, told to mod_proxy_balancer and to the
// log, once, whatever comes after it. A member of no balancer has one attempt, and what is thought
// of it is mod_proxy's business.
#pragma once

#include <string>
#include <vector>

#include "balance/tries.h"
#include "httpd/attempt.h"
#include "httpd/httpd_api.h"
#include "httpd/module_state.h"
#include "httpd/next_member.h"

namespace wsbalance::httpd {

struct BalancerConfig;

class Failover {
 public:
  using Clock = Attempt::Clock;

  // `count`: the request as mod_proxy_balancer has counted it; null for a member of no balancer.
  Failover(request_rec* r, ModuleState& state, const MemberRoute& route, RequestCount* count);

  // The member to ask now.
  const Candidate& candidate() const { return candidate_; }

  // When the attempt begins and how long it may take.
  Clock::time_point began_attempt() const { return began_attempt_; }
  std::chrono::milliseconds time_for(const Attempt& attempt) const;

  // It switched.
  void succeed(const Attempt& attempt);

  // It did not. True: candidate() is another member now.
  [[nodiscard]] bool go_on(const Attempt& attempt);

  // It was the last one, and nothing of what the member sent goes to the client. Returns what the
  // scheme handler has to return.
  int refuse(const Attempt& attempt);

 private:
  struct Tried {
    const char* member;
    Failure failure;
    std::chrono::milliseconds took;
  };

  void note(const Attempt& attempt);
  void punish(const Attempt& attempt);
  bool choose_next();
  balance::TryLimits limits() const;
  std::string tell_tried() const;
  void log_end(const Attempt& attempt, bool has_failed) const;
  void log_alone(const Attempt& attempt) const;

  request_rec* const r_;
  ModuleState& state_;
  proxy_balancer* const balancer_;
  const BalancerConfig& config_;
  const MemberRoute first_;
  NextMember next_;
  Candidate candidate_;
  const Clock::time_point began_;
  Clock::time_point began_attempt_;
  unsigned tries_ = 1;  // With the one under way.
  bool is_nobody_left_ = false;
  std::vector<Tried> tried_;
};

// post_request of mod_proxy.
void register_failover_hooks();

}  // namespace wsbalance::httpd
