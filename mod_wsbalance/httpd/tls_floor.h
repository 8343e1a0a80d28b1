// tls_floor.h - stands below mod_ssl's input filter for a while, and decides what it may read.
//
// Layer:    httpd.
// Owns:     nothing; it must not outlive the filters of its connection.
// Threads:  the worker thread of the connection.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "httpd/httpd_api.h"

namespace wsbalance::httpd {

// mod_ssl's filter in a chain, or null.
ap_filter_t* find_tls_filter(ap_filter_t* chain);

class TlsFloor {
 public:
  using Clock = std::chrono::steady_clock;

  // Without a deadline: only what is there already is read, and whatever way the reading ends,
  // mod_ssl hears that nothing is there now, so that it neither logs nor gives up. With one: no
  // reading goes on beyond it, however slowly bytes drip; nor when `stop_fd` is readable, if there is
  // one. Does nothing on a connection without TLS.
  explicit TlsFloor(conn_rec* connection, std::optional<Clock::time_point> deadline = std::nullopt,
                    int stop_fd = -1);
  TlsFloor(const TlsFloor&) = delete;
  TlsFloor& operator=(const TlsFloor&) = delete;
  ~TlsFloor();

  bool has_timed_out() const { return has_timed_out_; }

 private:
  static apr_status_t read(ap_filter_t* self, apr_bucket_brigade* brigade, ap_input_mode_t mode,
                           apr_read_type_e block, apr_off_t bytes);
  apr_status_t read_in_time(apr_bucket_brigade* brigade, ap_input_mode_t mode,
                            apr_read_type_e block, apr_off_t bytes);
  apr_status_t read_or_stop(apr_bucket_brigade* brigade, ap_input_mode_t mode,
                            apr_read_type_e block, apr_off_t bytes);

  ap_filter_t* above_;
  std::optional<Clock::time_point> deadline_;
  const int stop_fd_;
  bool has_timed_out_ = false;
  ap_filter_rec_t record_{};
  ap_filter_t filter_{};
};

}  // namespace wsbalance::httpd
