// health_directives.h - the directives for the health of a balancer's members.
//
// Layer:    httpd.
// Threads:  called while the configuration is read.
// Errors:   null, or the sentence that httpd prints with file and line.
#pragma once

#include "httpd/httpd_api.h"

namespace wsbalance::httpd {

// For the table of directives.cpp.
const char* set_health_check(cmd_parms* cmd, void* config, const char* args);
const char* set_eject(cmd_parms* cmd, void* config, const char* args);
const char* set_eject_max(cmd_parms* cmd, void* config, const char* text);

}  // namespace wsbalance::httpd
