#include "httpd/tls_floor.h"

namespace wsbalance::httpd {

ap_filter_t* find_tls_filter(ap_filter_t* chain) {
  while (chain != nullptr && std::string_view(chain->frec->name) != "ssl/tls filter") {
    chain = chain->next;
  }
  return chain;
}

TlsFloor::TlsFloor(conn_rec* connection, std::optional<Clock::time_point> deadline)
    : above_(find_tls_filter(connection->input_filters)), deadline_(deadline) {
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

}  // namespace wsbalance::httpd
