// hash_key.h - the key of a request for lbmethod=byhash (WSBalanceHashKey).
//
// Layer:    httpd.
// Threads:  the worker thread of the request.
// Errors:   may throw std::bad_alloc. An expression that fails is logged and gives no key.
#pragma once

#include "httpd/balancer_config.h"
#include "httpd/httpd_api.h"

namespace wsbalance::httpd {

// Works the expression out, for hash_key(): before the balancer is locked, as it may take its time.
void prepare_hash_key(request_rec* r, const BalancerConfig& config);

// What was prepared; the client's address where that is nothing. Lives as long as the request.
const char* hash_key(request_rec* r, const BalancerConfig& config);

}  // namespace wsbalance::httpd
