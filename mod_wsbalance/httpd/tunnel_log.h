// tunnel_log.h - the directive WSBalanceLog, and the files and programs that it names.
//
// Layer:    httpd.
// Owns:     nothing: settings are in the configuration's pool, what is open in that of the logs.
// Threads:  written while httpd starts; LogFile by each child's log writer.
// Errors:   a log that cannot be opened stops the start with a line that says why.
#pragma once

#include "httpd/httpd_api.h"
#include "httpd/log_file.h"
#include "httpd/tunnel_line.h"

namespace wsbalance::httpd {

// One WSBalanceLog. Virtual hosts without one share that of the main server.
struct TunnelLog {
  const char* target = nullptr;  // An absolute path, or "|program"; null: off.
  const char* format = nullptr;  // As it was written; null: JSON.
  TunnelLine line;
  LogFile* file = nullptr;  // Of all with this target. Null until it is open.
};

// The log of this virtual host; null: none.
TunnelLog* tunnel_log_of(const server_rec* server);

// The directive.
const char* set_tunnel_log(cmd_parms* cmd, void*, const char* target, const char* format);

// open_logs.
void register_tunnel_log_hooks();

}  // namespace wsbalance::httpd
