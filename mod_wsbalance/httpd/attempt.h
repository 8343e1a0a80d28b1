// attempt.h - one attempt at one member: its seat there, the connection, the request and the head of
// its answer.
//
// Layer:    httpd.
// Owns:     the member's connection and the seat, until its end or until they become a tunnel's.
// Threads:  the worker thread of the request.
// Errors:   outcome(); nothing is logged here but what mod_proxy says itself.
#pragma once

#include <chrono>
#include <string>

#include "balance/tries.h"
#include "httpd/httpd_api.h"
#include "httpd/member_connection.h"
#include "httpd/members.h"
#include "httpd/module_state.h"
#include "httpd/request_count.h"
#include "httpd/request_view.h"
#include "httpd/seat.h"
#include "protocol/response_head.h"

namespace wsbalance::httpd {

// A member that was chosen.
struct Candidate {
  MemberRoute route{};
  MemberRef counted{};            // As which member.
  RequestCount* count = nullptr;  // The request that it serves; null where nothing is counted.
  SeatLimits limits{};
};

class Attempt {
 public:
  using Clock = std::chrono::steady_clock;

  Attempt(request_rec* r, ModuleState& state, const Candidate& candidate);
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;

  // How long the member may take: WSBalanceHandshakeTimeout, else its timeout=, else the default.
  std::chrono::milliseconds time_of_member() const { return time_of_member_; }

  // Asks the member; `time` may be less than its own. `began`: now.
  balance::Outcome run(const RequestView& request, Clock::time_point began,
                       std::chrono::milliseconds time);

  balance::Outcome outcome() const { return failure_.outcome; }
  // Where that is not `switched`: the status for the client (of an answer: the member's).
  const Failure& failure() const { return failure_; }
  bool lacks_descriptor() const { return member_.lacks_descriptor(); }
  std::chrono::milliseconds time() const { return time_; }
  const Candidate& candidate() const { return candidate_; }

  // Of an answer, and of a 101 that is valid, with the Sec-WebSocket-Accept that it has.
  MemberConnection& member() { return member_; }
  const protocol::ResponseHead& head() const { return head_; }
  const std::string& accept() const { return accept_; }
  // For the tunnel.
  Seat take_seat() { return std::move(seat_); }

 private:
  balance::Outcome fail(balance::Outcome outcome, int status);
  balance::Outcome fail(protocol::HandshakeError error);
  balance::Outcome fail_to_reach(Clock::time_point deadline);
  balance::Outcome judge_answer(const RequestView& request);

  request_rec* const r_;
  ModuleState& state_;
  const Candidate& candidate_;
  const std::chrono::milliseconds time_of_member_;
  std::chrono::milliseconds time_{};
  Seat seat_;
  MemberConnection member_;
  protocol::ResponseHead head_;
  std::string accept_;
  Failure failure_;
};

}  // namespace wsbalance::httpd
