// in_flight.h - requests on their way to a member: from the choice until they are answered, or are
// tunnels.
//
// Layer:    httpd.
// Owns:     what it has counted.
// Threads:  the worker thread of the request, then of its connection; counts are any thread's.
// Errors:   count_in_flight() may throw std::bad_alloc.
//
// Who chooses a member has to count them: in a burst of handshakes none is a tunnel yet.
#pragma once

#include <atomic>
#include <optional>

#include "httpd/httpd_api.h"
#include "httpd/members.h"
#include "httpd/process_row.h"

namespace wsbalance::httpd {

class Child;

class InFlight {
 public:
  InFlight() = default;
  InFlight(const Counter& counter, const std::atomic<bool>& has_left_row) noexcept
      : counter_(counter), has_left_row_(&has_left_row) {
    counter_->add_one();
  }
  InFlight(InFlight&& other) noexcept
      : counter_(other.counter_), has_left_row_(other.has_left_row_) {
    other.counter_.reset();
  }
  InFlight& operator=(InFlight&& other) noexcept {
    end();
    if (other.counter_) counter_.emplace(*other.counter_);
    has_left_row_ = other.has_left_row_;
    other.counter_.reset();
    return *this;
  }
  ~InFlight() { end(); }

  void end() noexcept {
    // At the end of a process pools go after its row.
    if (counter_ && !*has_left_row_) counter_->subtract_one();
    counter_.reset();
  }

 private:
  std::optional<Counter> counter_;
  const std::atomic<bool>* has_left_row_ = nullptr;
};

// The request is on its way to that member now, and no longer to another one. Until its pool is gone
// or the count is taken.
void count_in_flight(request_rec* r, Child& child, const MemberRef& member);

// It is on its way to nobody.
void end_in_flight(request_rec* r);

// The request's count, for the tunnel that it becomes.
InFlight take_in_flight(request_rec* r);

}  // namespace wsbalance::httpd
