// row_keeper.h - the thread of a child that keeps the shared rows true: it clears rows of processes
// that are gone, frees rows of members that nobody names any more, feeds mod_proxy's records and
// watches the members. Beside that it does what members' orders ask of this process.
//
// Layer:    httpd.
// Owns:     its thread.
// Threads:  start() and stop() from the child's main thread.
// Errors:   start() throws std::system_error.
//
// Each child has one, and one at a time has its turn, so that no end of a child stops the work (a
// singleton of mod_watchdog waits for ten seconds before it takes over). A child of an old
// configuration leaves it to the new ones, which alone can reach mod_proxy's records; the orders for
// its own tunnels it follows as ever.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <vector>

#include "httpd/httpd_api.h"
#include "httpd/member_watch.h"
#include "httpd/order_follower.h"
#include "httpd/process_id.h"
#include "httpd/shared_rows.h"
#include "relay/quiet_thread.h"
#include "relay/unique_fd.h"

namespace wsbalance::httpd {

class RowKeeper {
 public:
  // `orders`: of this process; must outlive the thread. `server`: for lines in the error log.
  RowKeeper(const SharedRows& rows, std::uint32_t epoch, const server_rec* server,
            OrderFollower& orders);
  ~RowKeeper();
  RowKeeper(const RowKeeper&) = delete;
  RowKeeper& operator=(const RowKeeper&) = delete;

  void start();

  // The thread ends; waits for that, `limit` at most. Safe in a signal handler that interrupted
  // any code of this process: the thread allocates nothing. False: it still runs.
  bool stop(std::chrono::milliseconds limit) noexcept;

 private:
  static constexpr int kTurnMs = 500;

  static void run(void* self) noexcept;
  void keep_until_stop() noexcept;
  void keep(std::int64_t now_ms) noexcept;

  const SharedRows rows_;
  const std::uint32_t epoch_;
  const ProcessId self_;
  relay::UniqueFd stop_fd_;
  std::atomic<bool> must_stop_{false};
  std::vector<MemberSum> totals_;
  std::vector<MemberSum> sums_;
  MemberWatch watch_;
  OrderFollower& orders_;
  relay::QuietThread thread_{run, this};
};

}  // namespace wsbalance::httpd
