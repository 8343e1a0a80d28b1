#include "httpd/detach.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "httpd/buffered_input.h"
#include "httpd/tls_take_over.h"

namespace wsbalance::httpd {
namespace {

// The connection filters that a tunnel can leave behind (names as registered, in lower case), beside
// those of TLS: each only counts, watches or limits what passes, or is httpd's own socket.
constexpr std::array<std::string_view, 7> kPlainFilters = {
    "core_in",           // httpd: reads the socket; what it holds is taken over.
    "core",              // httpd: writes the socket; flushed with the 101.
    "reqtimeout",        // mod_reqtimeout: its limits are for the request's head and body.
    "log_input_output",  // mod_logio: counts for the access log, which is written at the handshake.
    "dumpio_in",         // mod_dumpio: writes to the error log.
    "dumpio_out",        // mod_dumpio.
    "remoteip_input",    // mod_remoteip: its PROXY header has been read before the request.
};

bool is_known(std::string_view name, bool has_tls) {
  if (is_tls_filter(name)) return has_tls;  // Without an SSL that we know of, it is a riddle.
  return std::find(kPlainFilters.begin(), kPlainFilters.end(), name) != kPlainFilters.end();
}

const char* find_unknown(const ap_filter_t* filter, bool has_tls) {
  for (; filter != nullptr; filter = filter->next) {
    if (!is_known(filter->frec->name, has_tls)) return filter->frec->name;
  }
  return nullptr;
}

}  // namespace

const char* obstacle_to_detach(conn_rec* connection) {
  if (connection->master != nullptr) return "HTTP/2";
  const bool has_tls = tls_of(connection) != nullptr;
  if (const char* name = find_unknown(connection->input_filters, has_tls)) return name;
  return find_unknown(connection->output_filters, has_tls);
}

relay::Connection take_connection(conn_rec* connection, relay::UniqueFd fd,
                                  std::vector<std::byte>& bytes) {
  if (tls_of(connection) == nullptr) {
    take_buffered_input(connection, bytes);
    return {std::move(fd), nullptr};
  }
  std::unique_ptr<relay::TlsStream> tls = take_tls(connection, bytes);
  if (tls == nullptr) return {};
  return {std::move(fd), std::move(tls)};
}

}  // namespace wsbalance::httpd
