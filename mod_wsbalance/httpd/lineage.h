// lineage.h - what all processes of a server share from its start to its end, over restarts: how it
// is stopped, and the way of a carrier's lines to the logs.
//
// Layer:    httpd.
// Owns:     nothing: it is the process', until that ends. No code of this module belongs to it,
//           because the parent unloads that at each restart.
// Threads:  any thread of any process.
// Errors:   find_or_make() returns nullptr.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "httpd/httpd_api.h"

namespace wsbalance::httpd {

// How the server is stopped; in shared memory, written by the parent. Carriers of older versions of
// this module read it too: it never changes, but at its end.
struct StopOrder {
  std::atomic<std::uint32_t> is_given{0};
  std::atomic<std::uint32_t> over_ms{0};  // Tunnels are closed one by one in this time.
};
static_assert(std::atomic<std::uint32_t>::is_always_lock_free, "shared by processes");

class Lineage {
 public:
  // The parent's, made at the first start; errno tells why there is none.
  static Lineage* find_or_make() noexcept;

  // By the parent, and again if less time is left: carriers close their tunnels and end.
  void give_stop_order(std::chrono::milliseconds over) noexcept;

  const StopOrder& stop_order() const noexcept { return *stop_order_; }
  // Readable from the first order on.
  int stop_fd() const noexcept { return stop_fd_; }

  int log_in() const noexcept { return log_in_; }    // Where carriers write their lines.
  int log_out() const noexcept { return log_out_; }  // Where children read them.

 private:
  StopOrder* stop_order_;
  int stop_fd_;
  int log_in_;
  int log_out_;
};

}  // namespace wsbalance::httpd
