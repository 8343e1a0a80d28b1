// sticky_directive.h - WSBalanceSticky (sticky_config.h).
//
// Layer:    httpd.
// Threads:  called while the configuration is read, and at the check of it.
// Errors:   null, or the sentence that httpd prints with file and line.
#pragma once

#include "httpd/httpd_api.h"

namespace wsbalance::httpd {

// For the table of directives.cpp.
const char* set_sticky(cmd_parms* cmd, void* config, const char* arguments);

// Logs a warning for what cannot work, or not as somebody may think. `main`: the first of the list
// of servers, all merged.
void check_sticky_directives(const server_rec* main);

}  // namespace wsbalance::httpd
