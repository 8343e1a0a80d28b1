#include "httpd/detach.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace wsbalance::httpd {
namespace {

// The connection filters that a tunnel can leave behind (names as registered, in lower case):
// each only counts, watches or limits what passes, or is httpd's own socket.
constexpr std::array<std::string_view, 7> kPlainFilters = {
    "core_in",           // httpd: reads the socket; what it holds is taken over.
    "core",              // httpd: writes the socket; flushed with the 101.
    "reqtimeout",        // mod_reqtimeout: its limits are for the request's head and body.
    "log_input_output",  // mod_logio: counts for the access log, which is written at the handshake.
    "dumpio_in",         // mod_dumpio: writes to the error log.
    "dumpio_out",        // mod_dumpio.
    "remoteip_input",    // mod_remoteip: its PROXY header has been read before the request.
};

const char* find_unknown(const ap_filter_t* filter) {
  for (; filter != nullptr; filter = filter->next) {
    if (std::find(kPlainFilters.begin(), kPlainFilters.end(), filter->frec->name) ==
        kPlainFilters.end()) {
      return filter->frec->name;
    }
  }
  return nullptr;
}

int close_without_lingering(conn_rec* connection) {
  if (ap_get_module_config(connection->conn_config, &wsbalance_module) != nullptr) {
    connection->aborted = 1;  // Nothing to flush and nobody to wait for: the log is written.
  }
  return OK;
}

}  // namespace

const char* obstacle_to_detach(conn_rec* connection) {
  if (connection->master != nullptr) return "HTTP/2";
  if (const char* name = find_unknown(connection->input_filters)) return name;
  return find_unknown(connection->output_filters);
}

relay::UniqueFd take_descriptor(apr_socket_t* socket, relay::UniqueFd inert) {
  apr_os_sock_t real = -1;
  apr_os_sock_get(&real, socket);
  // With a socket that exists this only exchanges the number in its record, so that every bucket
  // and filter that holds the record holds the inert descriptor (APR, network_io/unix/sockets.c).
  apr_os_sock_t put = inert.release();
  apr_os_sock_put(&socket, &put, nullptr);
  return relay::UniqueFd(real);
}

void take_buffered_input(conn_rec* connection, std::vector<std::byte>& bytes) {
  ap_remove_input_filter_byhandle(connection->input_filters, "reqtimeout");
  apr_bucket_brigade* brigade = apr_brigade_create(connection->pool, connection->bucket_alloc);
  // Each turn takes a bucket that is there already, or meets the inert descriptor and stops.
  while (ap_get_brigade(connection->input_filters, brigade, AP_MODE_READBYTES, APR_NONBLOCK_READ,
                        HUGE_STRING_LEN) == APR_SUCCESS &&
         !APR_BRIGADE_EMPTY(brigade)) {
    for (apr_bucket* bucket = APR_BRIGADE_FIRST(brigade); bucket != APR_BRIGADE_SENTINEL(brigade);
         bucket = APR_BUCKET_NEXT(bucket)) {
      const char* data = nullptr;
      apr_size_t size = 0;
      if (apr_bucket_read(bucket, &data, &size, APR_NONBLOCK_READ) != APR_SUCCESS) continue;
      const auto* begin = reinterpret_cast<const std::byte*>(data);
      bytes.insert(bytes.end(), begin, begin + size);
    }
    apr_brigade_cleanup(brigade);
  }
  apr_brigade_destroy(brigade);
}

void mark_detached(conn_rec* connection) {
  ap_set_module_config(connection->conn_config, &wsbalance_module, connection);
}

void register_detach_hooks() {
  ap_hook_pre_close_connection(close_without_lingering, nullptr, nullptr, APR_HOOK_REALLY_LAST);
}

}  // namespace wsbalance::httpd
