// startup_lines.h - what the error log says at each start and restart: versions and limits.
//
// Layer:    httpd.
// Threads:  the main thread of the parent, in post_config.
// Errors:   none: what does not go together is a warning, and the server starts.
#pragma once

#include "httpd/httpd_api.h"
#include "httpd/module_state.h"

namespace wsbalance::httpd {

// `pool` is for the time of the call.
void log_startup(apr_pool_t* pool, server_rec* server, const ModuleState& state);

}  // namespace wsbalance::httpd
