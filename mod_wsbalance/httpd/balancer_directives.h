// balancer_directives.h - the directives of a balancer's section (balancer_config.h).
//
// Layer:    httpd.
// Threads:  called while the configuration is read.
// Errors:   null, or the sentence that httpd prints with file and line.
#pragma once

#include "httpd/httpd_api.h"

namespace wsbalance::httpd {

// For the table of directives.cpp.
const char* set_slow_start(cmd_parms* cmd, void* config, const char* text);
const char* set_hash_key(cmd_parms* cmd, void* config, const char* text);
const char* set_hash_bound(cmd_parms* cmd, void* config, const char* text);
const char* set_retry_on(cmd_parms* cmd, void* config, const char* args);
const char* set_tries(cmd_parms* cmd, void* config, const char* number, const char* time);
const char* set_max_per_member(cmd_parms* cmd, void* config, const char* text);

}  // namespace wsbalance::httpd
