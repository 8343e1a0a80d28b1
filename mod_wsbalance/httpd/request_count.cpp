#include "httpd/request_count.h"

#include "httpd/member_feed.h"
#include "httpd/pool.h"

namespace wsbalance::httpd {

RequestCount* RequestCount::begin(request_rec* r, const Child& child, const MemberRef& member,
                                  Busy busy) {
  if (child.cell(member.row) == nullptr || member.record == nullptr) return nullptr;
  const Counter requests = child.counter(&MemberCell::requests, member.row);
  requests.add_one();
  if (busy == Busy::counted_by_us) add_busy(member.record->busy, 1);
  auto* count =
      pool_new<RequestCount>(r->pool, requests, child.has_left_row(), *member.record, busy);
  // mod_proxy_balancer has registered its own before, which therefore comes after this one.
  apr_pool_cleanup_register(r->pool, count, on_request_gone, apr_pool_cleanup_null);
  return count;
}

void RequestCount::end() noexcept {
  if (is_over_) return;
  is_over_ = true;
  requests_.subtract_one();
  add_busy(record_.busy, -1);
}

apr_status_t RequestCount::on_request_gone(void* data) noexcept {
  auto& count = *static_cast<RequestCount*>(data);
  // At the end of a process pools go after us, and the row may be another's by then.
  if (count.has_left_row_) return APR_SUCCESS;
  if (count.busy_ == Busy::counted_by_us) {
    count.end();
  } else if (count.is_over_) {
    add_busy(count.record_.busy, 1);  // Which mod_proxy_balancer is about to take back.
  } else {
    count.requests_.subtract_one();
  }
  return APR_SUCCESS;
}

}  // namespace wsbalance::httpd
