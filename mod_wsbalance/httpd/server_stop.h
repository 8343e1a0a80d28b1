// server_stop.h - the end of the whole server, in the parent: carriers are told, and waited for.
//
// Layer:    httpd.
// Threads:  the parent's only thread.
// Errors:   none; what does not end in time is left to itself (it sees that the parent has gone).
#pragma once

#include "httpd/httpd_api.h"

namespace wsbalance::httpd {

struct ModuleState;  // httpd/module_state.h

// From post_config: has the order given when `log_pool`, which logs are open in, ends because the
// server does. systemd kills what is left of a service when its main process is gone, so the parent
// waits until carriers have sent their close frames, and writes their lines: after a graceful stop
// GracefulShutdownTimeout long, unless it is signalled again, and not much more than the time for the
// closing handshakes. `pool`: the configuration's.
void wait_for_carriers_at_stop(apr_pool_t* pool, apr_pool_t* log_pool, server_rec* server,
                               ModuleState& state);

}  // namespace wsbalance::httpd
