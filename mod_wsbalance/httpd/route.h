// route.h - which requests of a ws:// route are ours, before anyone serves them.
//
// Layer:    httpd.
// Threads:  the worker thread of the request.
#pragma once

namespace wsbalance::httpd {

// check_trans and canon_handler of mod_proxy, and the fixup that answers 426.
void register_route_hooks();

}  // namespace wsbalance::httpd
