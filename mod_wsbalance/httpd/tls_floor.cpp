#include "httpd/tls_floor.h"

#include <poll.h>

#include "httpd/queries.h"

namespace wsbalance::httpd {

ap_filter_t* find_tls_filter(ap_filter_t* chain) {
  while (chain != nullptr && std::string_view(chain->frec->name) != "ssl/tls filter") {
    chain = chain->next;
  }
  return chain;
}

TlsFloor::TlsFloor(conn_rec* connection, std::optional<Clock::time_point> deadline, int stop_fd)
    : above_(find_tls_filter(connection->input_filters)), deadline_(deadline), stop_fd_(stop_fd) {
  if (above_ == nullptr) return;
  record_.name = "wsbalance_floor";
  record_.filter_func.in_func = &TlsFloor::read;
  filter_.frec = &record_;
  filter_.ctx = this;
  filter_.c = connection;
  filter_.next = above_->next;
  above_->next = &filter_;
}

TlsFloor::~TlsFloor() {
  if (above_ != nullptr) above_->next = filter_.next;
}

apr_status_t TlsFloor::read(ap_filter_t* self, apr_bucket_brigade* brigade, ap_input_mode_t mode,
                            apr_read_type_e block, apr_off_t bytes) {
  auto& floor = *static_cast<TlsFloor*>(self->ctx);
  if (floor.stop_fd_ >= 0) return floor.read_or_stop(brigade, mode, block, bytes);
  if (floor.deadline_) return floor.read_in_time(brigade, mode, block, bytes);
  const apr_status_t rv = ap_get_brigade(self->next, brigade, mode, APR_NONBLOCK_READ, bytes);
  return rv == APR_SUCCESS && !APR_BRIGADE_EMPTY(brigade) ? APR_SUCCESS : APR_EAGAIN;
}

apr_status_t TlsFloor::read_in_time(apr_bucket_brigade* brigade, ap_input_mode_t mode,
                                    apr_read_type_e block, apr_off_t bytes) {
  const auto left =
      std::chrono::duration_cast<std::chrono::microseconds>(*deadline_ - Clock::now()).count();
  apr_status_t rv = APR_TIMEUP;
  if (left > 0) {
    apr_socket_timeout_set(ap_get_conn_socket(filter_.c), left);
    rv = ap_get_brigade(filter_.next, brigade, mode, block, bytes);
  }
  if (APR_STATUS_IS_TIMEUP(rv)) has_timed_out_ = true;
  return rv;
}

// Waits here, where it can be woken, and not in the read.
apr_status_t TlsFloor::read_or_stop(apr_bucket_brigade* brigade, ap_input_mode_t mode,
                                    apr_read_type_e block, apr_off_t bytes) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline_ - Clock::now());
    if (left.count() <= 0) {
      has_timed_out_ = true;
      return APR_TIMEUP;
    }
    const apr_status_t rv = ap_get_brigade(filter_.next, brigade, mode, APR_NONBLOCK_READ, bytes);
    const bool is_nothing_there =
        APR_STATUS_IS_EAGAIN(rv) || (rv == APR_SUCCESS && APR_BRIGADE_EMPTY(brigade));
    if (!is_nothing_there || block == APR_NONBLOCK_READ) return rv;
    pollfd entries[] = {{descriptor_of(ap_get_conn_socket(filter_.c)), POLLIN, 0},
                        {stop_fd_, POLLIN, 0}};
    ::poll(entries, 2, static_cast<int>(left.count()));
    if (entries[1].revents != 0) return APR_ECONNABORTED;
  }
}

}  // namespace wsbalance::httpd
