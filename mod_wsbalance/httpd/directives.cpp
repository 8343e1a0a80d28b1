#include "httpd/directives.h"

#include <cstdlib>
#include <limits>

#include "httpd/config.h"

namespace wsbalance::httpd {
namespace {

constexpr apr_interval_time_t kHandshakeTimeoutMax = apr_time_from_sec(3600);

// Reads a whole number within bounds.
bool parse_number(const char* text, std::uint64_t low, std::uint64_t high, std::uint64_t& value) {
  if (!apr_isdigit(*text)) return false;
  char* end = nullptr;
  errno = 0;
  value = std::strtoull(text, &end, 10);
  return errno == 0 && *end == '\0' && value >= low && value <= high;
}

// Reads a size in bytes, with k, m or g behind it for powers of 1024.
bool parse_size(const char* text, std::uint64_t low, std::uint64_t high, std::uint64_t& value) {
  if (!apr_isdigit(*text)) return false;
  char* end = nullptr;
  errno = 0;
  value = std::strtoull(text, &end, 10);
  if (errno != 0) return false;
  int shift = 0;
  if (*end != '\0') {
    const int unit = apr_tolower(*end++);
    shift = unit == 'k' ? 10 : unit == 'm' ? 20 : unit == 'g' ? 30 : -1;
    if (shift < 0 || *end != '\0') return false;
  }
  if (value > (std::numeric_limits<std::uint64_t>::max() >> shift)) return false;
  value <<= shift;
  return value >= low && value <= high;
}

const char* complain(cmd_parms* cmd, const char* wants, const char* got) {
  return apr_psprintf(cmd->pool, "%s must be %s, not '%s'", cmd->cmd->name, wants, got);
}

const char* set_enabled(cmd_parms*, void* config, int on) {
  static_cast<DirConfig*>(config)->enabled = on != 0;
  return nullptr;
}

const char* set_threads(cmd_parms* cmd, void*, const char* text) {
  if (const char* error = ap_check_cmd_context(cmd, GLOBAL_ONLY)) return error;
  std::uint64_t value = 0;
  if (!parse_number(text, 1, 64, value)) return complain(cmd, "a number from 1 to 64", text);
  mutable_server_config(cmd->server).threads = static_cast<unsigned>(value);
  return nullptr;
}

const char* set_buffer(cmd_parms* cmd, void* config, const char* text) {
  std::uint64_t value = 0;
  if (!parse_size(text, 4096, 16u << 20, value)) {
    return complain(cmd, "a size from 4k to 16m (e.g. 128k)", text);
  }
  static_cast<DirConfig*>(config)->buffer_bytes_max = value;
  return nullptr;
}

const char* set_buffer_total(cmd_parms* cmd, void*, const char* text) {
  if (const char* error = ap_check_cmd_context(cmd, GLOBAL_ONLY)) return error;
  std::uint64_t value = 0;
  if (!parse_size(text, 1u << 20, std::uint64_t{1} << 40, value)) {
    return complain(cmd, "a size from 1m to 1024g (e.g. 256m)", text);
  }
  mutable_server_config(cmd->server).buffer_total_bytes_max = value;
  return nullptr;
}

const char* set_handshake_timeout(cmd_parms* cmd, void* config, const char* text) {
  apr_interval_time_t value = 0;
  if (ap_timeout_parameter_parse(text, &value, "s") != APR_SUCCESS || value <= 0 ||
      value > kHandshakeTimeoutMax) {
    return complain(cmd, "a time from 1ms to 1h (e.g. 10 for 10 seconds, 500ms, 1min)", text);
  }
  static_cast<DirConfig*>(config)->handshake_timeout = value;
  return nullptr;
}

const char* set_max_handshakes(cmd_parms* cmd, void*, const char* text) {
  if (const char* error = ap_check_cmd_context(cmd, GLOBAL_ONLY)) return error;
  std::uint64_t value = 0;
  if (!parse_number(text, 0, 1'000'000, value)) {
    return complain(cmd, "a number from 1 to 1000000, or 0 for no limit", text);
  }
  mutable_server_config(cmd->server).waiting_handshakes_max = static_cast<std::uint32_t>(value);
  return nullptr;
}

const char* set_max_pumped(cmd_parms* cmd, void*, const char* text) {
  if (const char* error = ap_check_cmd_context(cmd, GLOBAL_ONLY)) return error;
  std::uint64_t value = 0;
  if (!parse_number(text, 0, 100'000, value))
    return complain(cmd, "a number from 0 to 100000", text);
  mutable_server_config(cmd->server).pumped_max = static_cast<unsigned>(value);
  return nullptr;
}

}  // namespace
}  // namespace wsbalance::httpd

namespace w = wsbalance::httpd;

extern "C" const command_rec wsbalance_commands[] = {
    AP_INIT_FLAG("WSBalance", w::set_enabled, nullptr, RSRC_CONF | ACCESS_CONF,
                 "On (default) or Off: take over valid WebSocket upgrades of proxied requests"),
    AP_INIT_TAKE1("WSBalanceThreads", w::set_threads, nullptr, RSRC_CONF,
                  "The number of relay threads in each child process, 1 to 64 (default 1)"),
    AP_INIT_TAKE1("WSBalanceBuffer", w::set_buffer, nullptr, RSRC_CONF | ACCESS_CONF,
                  "The most bytes kept for a side of a tunnel that does not take them, 4k to 16m "
                  "(default 128k)"),
    AP_INIT_TAKE1("WSBalanceBufferTotal", w::set_buffer_total, nullptr, RSRC_CONF,
                  "The most bytes that all tunnels of a process keep together (default 256m)"),
    AP_INIT_TAKE1("WSBalanceHandshakeTimeout", w::set_handshake_timeout, nullptr,
                  RSRC_CONF | ACCESS_CONF,
                  "How long a member may take to answer a handshake (default: the member's "
                  "timeout=, else 10 seconds)"),
    AP_INIT_TAKE1("WSBalanceMaxHandshakes", w::set_max_handshakes, nullptr, RSRC_CONF,
                  "How many handshakes may wait for a member at the same time, in all children "
                  "together; 0 is no limit (default: half of MaxRequestWorkers)"),
    AP_INIT_TAKE1("WSBalanceMaxPumped", w::set_max_pumped, nullptr, RSRC_CONF,
                  "How many tunnels of a child may hold a thread, because they come over HTTP/2 or "
                  "through a filter that cannot be left behind (default: H2MaxWorkers less 2, "
                  "without HTTP/2 half of ThreadsPerChild)"),
    {}};
