// descriptor_limit.h - raises the limit of open files, and says how many tunnels it allows.
//
// Layer:    httpd.
// Threads:  the main thread of the parent, in post_config: children inherit the limit.
// Errors:   a limit that cannot be raised is logged, and stays.
#pragma once

#include "httpd/descriptor_plan.h"
#include "httpd/httpd_api.h"

namespace wsbalance::httpd {

// What a child can have open, with `relay_threads` of ours. Logged when it is found first and when
// it has changed at a restart.
DescriptorPlan prepare_descriptors(server_rec* server, unsigned relay_threads);

// Of the event MPM: there is no query for it.
double async_request_worker_factor(apr_pool_t* pool);

}  // namespace wsbalance::httpd
