// row_keeper.h - the thread of a child that keeps the shared rows true: it clears rows of processes
// that are gone, frees rows of members that nobody names any more, and feeds mod_proxy's records.
//
// Layer:    httpd.
// Owns:     its thread.
// Threads:  start() and stop() from the child's main thread.
// Errors:   start() throws std::system_error.
//
// Each child has one, and one at a time has its turn, so that no end of a child stops the work (a
// singleton of mod_watchdog waits for ten seconds before it takes over). A child of an old
// configuration leaves it to the new ones, which alone can reach mod_proxy's records.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <vector>

#include "httpd/process_id.h"
#include "httpd/shared_rows.h"
#include "relay/quiet_thread.h"
#include "relay/unique_fd.h"

namespace wsbalance::httpd {

class RowKeeper {
 public:
  RowKeeper(const SharedRows& rows, std::uint32_t epoch);
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
  void keep() noexcept;

  const SharedRows rows_;
  const std::uint32_t epoch_;
  const ProcessId self_;
  relay::UniqueFd stop_fd_;
  std::atomic<bool> must_stop_{false};
  std::vector<MemberSum> sums_;
  relay::QuietThread thread_{run, this};
};

}  // namespace wsbalance::httpd
