// lb_methods.h - lbmethod=bytunnels, byp2c and byhash: which member of a balancer gets a request.
//
// Layer:    httpd.
// Owns:     nothing.
// Threads:  any worker thread, with the lock of the balancer's process held.
// Errors:   no member, where mod_proxy has none; logged where it is for want of memory.
//
// mod_proxy says who may be chosen (lbset, standby, spare, drain, retry); the choice is balance/'s.
// Nothing is kept for a balancer but in the records of its members: a copy of it, with some of them
// left out, serves as well.
#pragma once

#include "httpd/httpd_api.h"

namespace wsbalance::httpd {

// The providers, and a hook that works out keys before anybody holds a lock. `pool`: of hooks.
void register_lb_methods(apr_pool_t* pool);

}  // namespace wsbalance::httpd
