// upgrade_handler.h - a request that asks for a WebSocket: from mod_proxy's call to the hand-over.
//
// Layer:    httpd.
// Threads:  worker threads.
#pragma once

namespace wsbalance::httpd {

// scheme_handler of mod_proxy.
void register_upgrade_hooks();

}  // namespace wsbalance::httpd
