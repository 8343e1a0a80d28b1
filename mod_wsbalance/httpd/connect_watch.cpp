#include "httpd/connect_watch.h"

#include <cerrno>
#include <type_traits>

namespace wsbalance::httpd {

namespace {

static_assert(std::is_standard_layout_v<ConnectWatch>, "a pointer to server_ is one to the whole");

// By its address, in a field that only httpd's reading of its configuration uses.
constexpr const char kWatched[] = "a copy for mod_wsbalance";

std::string text_of(apr_status_t error) {
  char text[128];
  return apr_strerror(error, text, sizeof(text));
}

}  // namespace

// Runs for every line that any module logs. What mod_proxy tells with debug (addresses of which it
// has another one) is left out, so that the answer does not depend on LogLevel.
void note_error(const ap_errorlog_info* info, const char*) noexcept {
  if (info->status == APR_SUCCESS || info->s == nullptr || info->s->defn_name != kWatched) return;
  if ((info->level & APLOG_LEVELMASK) > APLOG_ERR) return;
  auto* watch = reinterpret_cast<ConnectWatch*>(const_cast<server_rec*>(info->s));
  if (!is_forbidden(watch->status_)) watch->status_ = info->status;
}

ConnectWatch::ConnectWatch(const server_rec& server) : server_(server) {
  server_.defn_name = kWatched;
}

bool is_forbidden(apr_status_t error) { return APR_STATUS_IS_EACCES(error) || error == EPERM; }

std::string why_unreachable(apr_status_t error, bool is_unix_socket) {
  if (error == APR_SUCCESS) return "";
  if (is_forbidden(error) && is_unix_socket) {
    return "no permission to connect (" + text_of(error) +
           "): httpd's user needs write permission for the socket, and to search its directories";
  }
  if (is_forbidden(error)) {
    return "no permission to connect (" + text_of(error) +
           "): with SELinux `setsebool -P httpd_can_network_connect on`; without it look at this "
           "machine's firewall, and at what its service manager or container forbids httpd";
  }
  if (APR_STATUS_IS_ECONNREFUSED(error)) return "connection refused";
  if (APR_STATUS_IS_TIMEUP(error) || APR_STATUS_IS_ETIMEDOUT(error)) return "no connection in time";
  return text_of(error);
}

void register_connect_watch_hooks() {
  ap_hook_error_log(note_error, nullptr, nullptr, APR_HOOK_MIDDLE);
}

}  // namespace wsbalance::httpd
