// orphans.h - carriers whose end httpd's parent is told of, because it is process 1 of a container or
// a subreaper: it gets every process whose own parent has ended.
//
// Layer:    httpd.
// Owns:     nothing; what is registered goes with the pool.
// Threads:  the parent's only thread.
#pragma once

#include "httpd/httpd_api.h"

namespace wsbalance::httpd {

class SharedRows;

class Orphans {
 public:
  // Of one configuration.
  Orphans(apr_pool_t* pool, const SharedRows& rows);

  // Makes carriers known to httpd as children that are not its own, or their end would be a riddle
  // to it (AH00488). From post_config, and whenever a child has ended.
  void know_carriers();

 private:
  static void on_event(int reason, void* carrier, int status);

  apr_pool_t* const pool_;
  const SharedRows& rows_;
  const bool are_ours_;
  apr_hash_t* const known_;  // By pid.
};

}  // namespace wsbalance::httpd
