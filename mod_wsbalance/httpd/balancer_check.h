// balancer_check.h - what people take balancers for, and what they write for it.
//
// Layer:    httpd.
// Threads:  the main thread, before any child is there.
#pragma once

#include "httpd/httpd_api.h"

namespace wsbalance::httpd {

// A route "ProxyPass /ws/ balancer://name" gets the slash that it lacks: mod_proxy puts what follows
// /ws/ directly behind the name, and no balancer has such a one. `pool` lives as long as the
// configuration.
void complete_balancer_routes(apr_pool_t* pool, const server_rec* main);

// A virtual host that inherits a balancer of the main server uses its lbmethod= too. mod_proxy gives
// it all else of the main server's, and byrequests (merge_balancers()); whether the virtual host has
// asked for that cannot be seen. To be called before mod_proxy_balancer's post_config, which reads
// the name.
void inherit_methods(apr_pool_t* temporary, const server_rec* main);

// Warns of balancers without mod_proxy_balancer, and of one whose first member alone is a hot standby:
// who writes that often means the preferred one.
void check_balancers(const server_rec* main);

}  // namespace wsbalance::httpd
