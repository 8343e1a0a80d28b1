// request_count.h - a request that counts as busy at a member of a balancer: in mod_proxy's record,
// and in our cell, from which drift in that is known (member_feed.h).
//
// Layer:    httpd.
// Owns:     nothing; it lives in the request's pool and counts out with it at the latest.
// Threads:  the worker thread of the request.
#pragma once

#include <atomic>

#include "httpd/child.h"
#include "httpd/httpd_api.h"
#include "httpd/members.h"

namespace wsbalance::httpd {

class RequestCount {
 public:
  enum class Busy { counted_by_proxy, counted_by_us };

  // Counts in. mod_proxy_balancer counts `busy` for the member that it has chosen itself, until the
  // request's pool is gone. Null where nothing is counted: a member of no balancer.
  static RequestCount* begin(request_rec* r, const Child& child, const MemberRef& member,
                             Busy busy);

  // The member has no more to do with the request, though that goes on.
  void end() noexcept;

  RequestCount(const Counter& requests, const std::atomic<bool>& has_left_row,
               proxy_worker_shared& record, Busy busy)
      : requests_(requests), has_left_row_(has_left_row), record_(record), busy_(busy) {}

 private:
  static apr_status_t on_request_gone(void* data) noexcept;

  const Counter requests_;
  const std::atomic<bool>& has_left_row_;
  proxy_worker_shared& record_;
  const Busy busy_;
  bool is_over_ = false;
};

}  // namespace wsbalance::httpd
