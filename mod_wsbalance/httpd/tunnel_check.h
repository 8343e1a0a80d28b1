// tunnel_check.h - directives for tunnels that stand together and cannot work together.
//
// Layer:    httpd.
// Threads:  the main thread, before any child is there.
#pragma once

#include "httpd/httpd_api.h"

namespace wsbalance::httpd {

// Logs a warning for each pair, with the server and the section that it holds for. `main`: the
// first of the list of servers, all merged.
void check_tunnel_directives(const server_rec* main);

}  // namespace wsbalance::httpd
