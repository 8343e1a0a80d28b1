// config_check.h - what `httpd -t` says about a configuration that cannot work.
//
// Layer:    httpd.
// Threads:  the main thread, before any child is there.
#pragma once

namespace wsbalance::httpd {

// check_config: warns of members with TLS for which no SSLProxyEngine is on, of directives for
// tunnels that exclude each other, and of what is odd about WSBalanceSticky and about balancers;
// completes routes to balancers.
void register_config_check_hooks();

}  // namespace wsbalance::httpd
