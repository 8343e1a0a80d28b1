// connect_watch.h - why mod_proxy could not connect to a member.
//
// Layer:    httpd.
// Owns:     a copy of the server's record, for the length of one call.
// Threads:  values; the hook finds the watch by what it is given.
// Errors:   status() is APR_SUCCESS where nobody knows why, as with a LogLevel below error.
//
// mod_proxy says only that it failed. The reason is in the line that it logs, so that is where it
// is taken from (decision 17).
#pragma once

#include <string>

#include "httpd/httpd_api.h"

namespace wsbalance::httpd {

// Before a line that says that this machine forbids httpd to connect.
inline constexpr const char* kForbiddenLogId = "WSB0130";

// Keeps the error of what is logged for server(): the last one, but one that forbids to connect
// rather than any other.
class ConnectWatch {
 public:
  explicit ConnectWatch(const server_rec& server);
  ConnectWatch(const ConnectWatch&) = delete;
  ConnectWatch& operator=(const ConnectWatch&) = delete;

  // To be given to mod_proxy in the server's place.
  server_rec* server() { return &server_; }
  apr_status_t status() const { return status_; }

 private:
  friend void note_error(const ap_errorlog_info* info, const char* text) noexcept;

  server_rec server_;  // The first: the hook gets its address.
  apr_status_t status_ = APR_SUCCESS;
};

// Does this machine forbid its httpd to connect to the member?
bool is_forbidden(apr_status_t error);

// In words, for the log; empty for APR_SUCCESS.
std::string why_unreachable(apr_status_t error, bool is_unix_socket);

void register_connect_watch_hooks();

}  // namespace wsbalance::httpd
