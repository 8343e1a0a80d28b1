// explicit_parameters.h - what stands in the configuration of members and balancers, as long as that
// can be told from what mod_proxy puts there itself.
//
// Layer:    httpd.
// Owns:     nothing; it lives in httpd's configuration pool.
// Threads:  made by the parent's main thread, read by any thread of its children.
//
// Each child gives members without max= one by its number of threads, and balancers without
// maxattempts= one by their number of members; with BalancerPersist both come back after a restart.
#pragma once

#include "httpd/httpd_api.h"

namespace wsbalance::httpd {

class ExplicitParameters {
 public:
  // Before mod_proxy_balancer's post_config.
  static const ExplicitParameters* read(apr_pool_t* pool, const server_rec* main_server);

  // max= of a member; 0: it has none.
  unsigned connections_max(const proxy_worker* worker) const;

  // Has somebody set maxattempts= of a balancer of the configuration: there, or in balancer-manager?
  bool has_attempts_max(const proxy_balancer* balancer) const;

 private:
  explicit ExplicitParameters(apr_pool_t* pool)
      : connections_max_(apr_hash_make(pool)), attempts_implied_(apr_hash_make(pool)) {}
  void add(apr_pool_t* pool, const proxy_worker* worker);
  void add(apr_pool_t* pool, const proxy_balancer* balancer);

  apr_hash_t* connections_max_;   // By the address of the member; only those that have it.
  apr_hash_t* attempts_implied_;  // By that of the balancer; only those that do not have it.
};

// post_config, before mod_proxy_balancer's.
void register_explicit_parameters_hooks();

}  // namespace wsbalance::httpd
