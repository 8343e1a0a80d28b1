#include "httpd/server_stop.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "httpd/child_end.h"
#include "httpd/guard.h"
#include "httpd/lineage.h"
#include "httpd/log_output.h"
#include "httpd/module_state.h"
#include "httpd/pool.h"
#include "httpd/shared_rows.h"

namespace wsbalance::httpd {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

// For a carrier to see the order, write its last lines and end, beside the closing handshakes.
constexpr milliseconds kGrace{700};

constexpr milliseconds kLookEvery{20};
constexpr milliseconds kLookForDeadEvery{500};

struct StopWatch {
  pid_t parent;
  server_rec* server;
  ModuleState* state;
  const ap_unixd_mpm_retained_data* mpm;
  apr_pool_t* log_pool;
};

// SIGTERM, which is blocked, comes within this time. (At this point of its end httpd has no use for
// it any more: sig_term() in unixd.c.)
bool is_signalled_within(milliseconds time, const sigset_t& wanted) {
  const timespec limit{time.count() / 1000, (time.count() % 1000) * 1'000'000};
  return ::sigtimedwait(&wanted, nullptr, &limit) > 0;
}

sigset_t block_termination() {
  sigset_t blocked;
  ::sigemptyset(&blocked);
  ::sigaddset(&blocked, SIGTERM);
  ::sigaddset(&blocked, SIGINT);
  ::sigprocmask(SIG_BLOCK, &blocked, nullptr);
  return blocked;
}

// There is no child any more that would write carriers' lines.
void write_lines_of_carriers(LogOutput& output) {
  pollfd lines{output.forwarded_fd(), POLLIN, 0};
  while (::poll(&lines, 1, 0) > 0) (void)output.write_forwarded(milliseconds(0));
}

void wait_for_carriers(const StopWatch& watch, milliseconds over, LogOutput& output) {
  const SharedRows& rows = *watch.state->rows;
  auto until = Clock::now() + over + kCloseLimitAtStop + kGrace;
  auto look_for_dead_at = Clock::now() + kLookForDeadEvery;
  const sigset_t termination = block_termination();
  while (rows.totals().carriers > 0 && Clock::now() < until) {
    write_lines_of_carriers(output);
    // There is no child any more that would do it.
    if (Clock::now() >= look_for_dead_at) {
      rows.clear_dead(process_id_of(watch.parent));
      look_for_dead_at = Clock::now() + kLookForDeadEvery;
    }
    if (!is_signalled_within(kLookEvery, termination)) continue;
    watch.state->lineage->give_stop_order(milliseconds(0));
    until = std::min(until, Clock::now() + kCloseLimitAtStop + kGrace);
  }
}

void end_carriers(const StopWatch& watch, milliseconds over) {
  LogOutput output(watch.server, *watch.state);
  if (const std::uint32_t carriers = watch.state->rows->totals().carriers; carriers > 0) {
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, watch.server,
                 "WSB0404: waiting for %u carrier(s) to close their tunnels", carriers);
    wait_for_carriers(watch, over, output);
  }
  write_lines_of_carriers(output);
}

apr_status_t on_end_of_logs(void* data) {
  const auto& watch = *static_cast<const StopWatch*>(data);
  if (getpid() != watch.parent || watch.mpm->restart_pending) return APR_SUCCESS;
  const bool is_graceful = !watch.mpm->is_ungraceful;
  const milliseconds over = is_graceful
                                ? std::chrono::seconds(std::max(0, ap_graceful_shutdown_timeout))
                                : milliseconds(0);
  watch.state->lineage->give_stop_order(over);
  watch.state->rows->clear_dead(process_id_of(watch.parent));
  guarded(watch.server, "end of the server", OK, [&] {
    end_carriers(watch, over);
    return OK;
  });
  return APR_SUCCESS;
}

// At a restart, where the logs end when the code of this module may have gone.
apr_status_t on_end_of_configuration(void* data) {
  const auto& watch = *static_cast<const StopWatch*>(data);
  apr_pool_cleanup_kill(watch.log_pool, data, on_end_of_logs);
  return APR_SUCCESS;
}

}  // namespace

void wait_for_carriers_at_stop(apr_pool_t* pool, apr_pool_t* log_pool, server_rec* server,
                               ModuleState& state) {
  auto* watch = pool_new<StopWatch>(
      pool, StopWatch{getpid(), server, &state, ap_unixd_mpm_get_retained_data(), log_pool});
  // Before cleanups: one of httpd's forgets what signals have come (unset_signals() in unixd.c), and
  // at a stop the logs' pool is the first that ends.
  apr_pool_pre_cleanup_register(log_pool, watch, on_end_of_logs);
  apr_pool_pre_cleanup_register(pool, watch, on_end_of_configuration);
}

}  // namespace wsbalance::httpd
