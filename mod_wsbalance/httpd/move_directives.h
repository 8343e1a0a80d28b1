// move_directives.h - the directives of a balancer's section that move tunnels on purpose.
//
// Layer:    httpd.
// Threads:  called while the configuration is read.
// Errors:   null, or the sentence that httpd prints with file and line.
#pragma once

#include "httpd/httpd_api.h"

namespace wsbalance::httpd {

// For the table of directives.cpp.
const char* set_on_member_down(cmd_parms* cmd, void* config, const char* text);
const char* set_on_drain(cmd_parms* cmd, void* config, const char* text, const char* time);
const char* set_rebalance(cmd_parms* cmd, void* config, const char* share, const char* interval);

}  // namespace wsbalance::httpd
