// health_checker.h - the thread of a child that checks members of balancers and decides who is out.
//
// Layer:    httpd.
// Owns:     its thread, and one more for each check that is under way.
// Threads:  start() and stop() from the child's main thread.
// Errors:   start() throws std::system_error.
//
// Each child has one if a balancer asks for it, and one child at a time does the work: it holds a
// lease in the shared rows, which another one takes when it lets go or is gone. A child of an old
// configuration leaves it to the new ones. What is known of a member, and when its next check is
// due, stands in its row; a check is claimed there, so that there is one of a member at a time
// whoever believes to have the lease.
//
// A check may have to wait, so it has a thread while it lasts. Its result is taken in by the one
// thread that decides.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "httpd/checked_members.h"
#include "httpd/health_check.h"
#include "httpd/httpd_api.h"
#include "httpd/module_state.h"
#include "httpd/process_id.h"
#include "relay/quiet_thread.h"
#include "relay/unique_fd.h"

namespace wsbalance::httpd {

class HealthChecker {
 public:
  // How many checks may be under way in a process; others are late then.
  static constexpr std::size_t kChecksMax = 64;

  HealthChecker(server_rec* main_server, const ModuleState& state);
  ~HealthChecker();
  HealthChecker(const HealthChecker&) = delete;
  HealthChecker& operator=(const HealthChecker&) = delete;

  // Does nothing where no balancer asks for it.
  void start();

  // Ends checks that are under way, and the threads; waits for that, `limit` at most. Safe in a
  // signal handler, where it may wait for all of it. False: a thread is still there.
  bool stop(std::chrono::milliseconds limit) noexcept;

 private:
  class RunningCheck;
  using Milliseconds = std::chrono::milliseconds;

  static void run(void* self) noexcept;
  void work_until_stop() noexcept;
  void turn(Milliseconds now);
  Milliseconds begin_checks(Milliseconds now);
  void begin_check(std::size_t member, Milliseconds now);
  RunningCheck* idle_check();
  void take_results(Milliseconds now);
  void take_result(RunningCheck& check, Milliseconds now);
  void tell_unable(const CheckedMember& member, const char* why);
  void end_checks() noexcept;

  server_rec* const server_;
  const ModuleState& state_;
  const ProcessId self_;
  relay::UniqueFd stop_fd_;
  relay::UniqueFd done_fd_;  // A check has a result.
  std::atomic<bool> must_stop_{false};
  CheckedMembers members_;
  std::vector<std::vector<SocketAddress>> addresses_;  // Of each member; empty: not known.
  std::array<std::unique_ptr<RunningCheck>, kChecksMax> checks_;
  bool is_holding_ = false;
  bool was_unable_ = false;
  Milliseconds wait_{0};  // Until there is something to do.
  relay::QuietThread thread_{run, this};
};

}  // namespace wsbalance::httpd
