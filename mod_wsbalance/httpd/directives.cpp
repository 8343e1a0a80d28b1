#include "httpd/directives.h"

#include <chrono>
#include <cstdint>

#include "httpd/balancer_directives.h"
#include "httpd/config.h"
#include "httpd/directive_values.h"
#include "httpd/health_directives.h"
#include "httpd/move_directives.h"
#include "httpd/sticky_directive.h"
#include "httpd/tunnel_directives.h"
#include "httpd/tunnel_log.h"

namespace wsbalance::httpd {
namespace {

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
  std::chrono::milliseconds value{};
  if (!parse_time(text, std::chrono::milliseconds(1), std::chrono::hours(1), value)) {
    return complain(cmd, "a time from 1ms to 1h (e.g. 10 for 10 seconds, 500ms, 1min)", text);
  }
  static_cast<DirConfig*>(config)->handshake_timeout = apr_time_from_msec(value.count());
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

const char* set_max_carriers(cmd_parms* cmd, void*, const char* text) {
  if (const char* error = ap_check_cmd_context(cmd, GLOBAL_ONLY)) return error;
  std::uint64_t value = 0;
  if (!parse_number(text, 0, kCarriersMax, value)) {
    return complain(cmd, "a number from 1 to 10000, or 0 for none", text);
  }
  mutable_server_config(cmd->server).carriers_max = static_cast<unsigned>(value);
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

const char* set_drain_timeout(cmd_parms* cmd, void*, const char* text) {
  if (const char* error = ap_check_cmd_context(cmd, GLOBAL_ONLY)) return error;
  std::chrono::milliseconds value{};
  if (!parse_time_or_off(text, std::chrono::milliseconds(100), std::chrono::hours(24 * 7), value)) {
    return complain(cmd, "off or a time from 100ms to 168h (e.g. 300, 10min)", text);
  }
  mutable_server_config(cmd->server).drain_timeout = value;
  return nullptr;
}

}  // namespace
}  // namespace wsbalance::httpd

namespace w = wsbalance::httpd;

extern "C" const command_rec wsbalance_commands[] = {
    AP_INIT_FLAG("WSBalance", w::set_enabled, nullptr, RSRC_CONF | ACCESS_CONF,
                 "Takes over valid WebSocket upgrades of proxied requests"),
    AP_INIT_TAKE1("WSBalanceThreads", w::set_threads, nullptr, RSRC_CONF,
                  "How many relay threads carry the tunnels of a child process"),
    AP_INIT_TAKE1("WSBalanceBuffer", w::set_buffer, nullptr, RSRC_CONF | ACCESS_CONF,
                  "How much is kept for a side of a tunnel that does not take it"),
    AP_INIT_TAKE1("WSBalanceBufferTotal", w::set_buffer_total, nullptr, RSRC_CONF,
                  "How much all tunnels of a process keep together"),
    AP_INIT_TAKE1("WSBalanceHandshakeTimeout", w::set_handshake_timeout, nullptr,
                  RSRC_CONF | ACCESS_CONF, "How long a member may take to answer a handshake"),
    AP_INIT_TAKE1("WSBalanceMaxHandshakes", w::set_max_handshakes, nullptr, RSRC_CONF,
                  "How many handshakes may wait for a member at the same time"),
    AP_INIT_TAKE1("WSBalanceMaxPumped", w::set_max_pumped, nullptr, RSRC_CONF,
                  "How many tunnels of a child process may hold a thread"),
    AP_INIT_TAKE1("WSBalanceDrainTimeout", w::set_drain_timeout, nullptr, RSRC_CONF,
                  "In which time the tunnels of a child that ended gracefully are closed"),
    AP_INIT_TAKE1("WSBalanceMaxCarriers", w::set_max_carriers, nullptr, RSRC_CONF,
                  "How many processes may carry on tunnels of children that have ended"),
    AP_INIT_TAKE1("WSBalanceIdleTimeout", w::set_idle_timeout, nullptr, RSRC_CONF | ACCESS_CONF,
                  "How long a tunnel may be silent"),
    AP_INIT_TAKE1("ProxyWebsocketIdleTimeout", w::set_idle_timeout, nullptr,
                  RSRC_CONF | ACCESS_CONF, "Another name of WSBalanceIdleTimeout"),
    AP_INIT_TAKE1("WSBalanceDataTimeout", w::set_data_timeout, nullptr, RSRC_CONF | ACCESS_CONF,
                  "How long a tunnel may be without data, whatever pings and pongs do"),
    AP_INIT_TAKE123("WSBalancePing", w::set_ping, nullptr, RSRC_CONF | ACCESS_CONF,
                    "Sends pings to silent sides, and ends tunnels that do not answer"),
    AP_INIT_TAKE12("WSBalanceLifetime", w::set_lifetime, nullptr, RSRC_CONF | ACCESS_CONF,
                   "How long a tunnel may live"),
    AP_INIT_TAKE1("WSBalanceCloseTimeout", w::set_close_timeout, nullptr, RSRC_CONF | ACCESS_CONF,
                  "How long the end of a tunnel may take"),
    AP_INIT_TAKE123("WSBalanceKeepAlive", w::set_keep_alive, nullptr, RSRC_CONF | ACCESS_CONF,
                    "TCP keep-alive of both connections of a tunnel"),
    AP_INIT_TAKE12("WSBalanceFrames", w::set_frames, nullptr, RSRC_CONF | ACCESS_CONF,
                   "What is done about frames that break a rule"),
    AP_INIT_TAKE1("WSBalanceMaxFrame", w::set_max_frame, nullptr, RSRC_CONF | ACCESS_CONF,
                  "How much payload a frame of the client may have"),
    AP_INIT_TAKE1("WSBalanceMaxMessage", w::set_max_message, nullptr, RSRC_CONF | ACCESS_CONF,
                  "How much payload a message of the client may have"),
    AP_INIT_TAKE123("WSBalanceMessageRate", w::set_message_rate, nullptr, RSRC_CONF | ACCESS_CONF,
                    "How many messages a client may send in a second"),
    AP_INIT_TAKE123("WSBalanceByteRate", w::set_byte_rate, nullptr, RSRC_CONF | ACCESS_CONF,
                    "How many bytes a client may send in a second"),
    AP_INIT_TAKE12("WSBalanceLog", w::set_tunnel_log, nullptr, RSRC_CONF,
                   "A file or a program that gets a line for each tunnel that has ended"),
    AP_INIT_TAKE1("WSBalanceSlowStart", w::set_slow_start, nullptr, RSRC_CONF | ACCESS_CONF,
                  "In which time a member that comes back gets its share again"),
    AP_INIT_RAW_ARGS("WSBalanceSticky", w::set_sticky, nullptr, RSRC_CONF | ACCESS_CONF,
                     "A cookie by which a client comes back to its member"),
    AP_INIT_TAKE1("WSBalanceHashKey", w::set_hash_key, nullptr, RSRC_CONF | ACCESS_CONF,
                  "Which requests get the same member with lbmethod=byhash"),
    AP_INIT_TAKE1("WSBalanceHashBound", w::set_hash_bound, nullptr, RSRC_CONF | ACCESS_CONF,
                  "How much more than its part a member may have with lbmethod=byhash"),
    AP_INIT_RAW_ARGS("WSBalanceRetryOn", w::set_retry_on, nullptr, RSRC_CONF | ACCESS_CONF,
                     "With which statuses of a member a handshake goes to the next one"),
    AP_INIT_TAKE12("WSBalanceTries", w::set_tries, nullptr, RSRC_CONF | ACCESS_CONF,
                   "At how many members a handshake is tried, and in which time"),
    AP_INIT_TAKE1("WSBalanceMaxPerMember", w::set_max_per_member, nullptr, RSRC_CONF | ACCESS_CONF,
                  "How many tunnels and handshakes a member may have at the same time"),
    AP_INIT_RAW_ARGS("WSBalanceHealthCheck", w::set_health_check, nullptr, RSRC_CONF | ACCESS_CONF,
                     "Checks members by handshakes of the server's own"),
    AP_INIT_RAW_ARGS("WSBalanceEject", w::set_eject, nullptr, RSRC_CONF | ACCESS_CONF,
                     "Takes out a member that fails its clients, for a while"),
    AP_INIT_TAKE1("WSBalanceEjectMax", w::set_eject_max, nullptr, RSRC_CONF | ACCESS_CONF,
                  "How much of a balancer WSBalanceEject may take out at once"),
    AP_INIT_TAKE1("WSBalanceOnMemberDown", w::set_on_member_down, nullptr, RSRC_CONF | ACCESS_CONF,
                  "What becomes of the tunnels of a member that goes down"),
    AP_INIT_TAKE12("WSBalanceOnDrain", w::set_on_drain, nullptr, RSRC_CONF | ACCESS_CONF,
                   "What becomes of the tunnels of a member that is taken out"),
    AP_INIT_TAKE12("WSBalanceRebalance", w::set_rebalance, nullptr, RSRC_CONF | ACCESS_CONF,
                   "Moves tunnels to a member that has come"),
    {}};
