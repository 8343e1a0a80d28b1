// What happens to a child's tunnels at its end: another process goes on with them, or they are closed.
// The parts of Child that begin_stop() and end() need; child_end.h has the table of ends.
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>

#include "httpd/carrier.h"
#include "httpd/child.h"
#include "httpd/guard.h"

namespace wsbalance::httpd {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

// Closing descriptors takes no longer; the parent gives a child 3 seconds before it signals again.
constexpr milliseconds kStopLimit{1000};

// For the relay to notice that the last of them is over its time: one that stop() ends has no line.
constexpr milliseconds kCloseGrace{300};

// For other modules' threads that are about to end, and for the line that the log writer is at.
constexpr milliseconds kThreadsLimit{1000};

// For a turn of the relay.
constexpr milliseconds kPauseLimit{500};

constexpr milliseconds kLookEvery{5};

// For the log lines that wait then.
constexpr milliseconds kLogStopLimit{1000};

// For some microseconds of arithmetic.
constexpr milliseconds kRowKeeperStopLimit{500};

// Checks under way are woken; only one that waits for the name of a member is not.
constexpr milliseconds kHealthCheckerStopLimit{500};

// Of this process. Without /proc as many as make a fork impossible.
unsigned count_threads() {
  struct stat tasks {};
  return ::stat("/proc/self/task", &tasks) == 0 ? static_cast<unsigned>(tasks.st_nlink) - 2 : ~0u;
}

// No signal handler of httpd may run in a process that has just been forked.
class SignalBlock {
 public:
  SignalBlock() noexcept {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalBlock() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalBlock(const SignalBlock&) = delete;
  SignalBlock& operator=(const SignalBlock&) = delete;

 private:
  sigset_t before_;
};

}  // namespace

void Child::begin_stop(bool is_graceful_end) {
  end_.was_told = true;
  end_.was_told_graceful = is_graceful_end;
  end_.is_in_signal_handler = !end_.is_threaded_mpm && is_in_stop_handler();
  is_stopping_.store(true, std::memory_order_relaxed);
  (void)::eventfd_write(stopping_fd_.get(), 1);
  // Not only in end(), which may have to wait for slow requests.
  if (!is_graceful(end_)) {
    relay_.close_tunnels(relay::EndReason::shutdown, milliseconds(0), kCloseLimitAtStop);
  }
}

void Child::close_pumped_tunnels() noexcept {
  relay_.close_bound_tunnels(relay::EndReason::drain, kCloseLimitAtStop);
}

// The last that happens in the child: cleanups of its pool run in reverse, and this one was there
// first. All other modules have ended their threads and are done with their connections.
apr_status_t Child::end(void* data) {
  auto& child = *static_cast<Child*>(data);
  // A module may have forked a process of its own.
  if (::getpid() != child.process_.pid) return APR_SUCCESS;
  child.state_.child = nullptr;
  child.has_left_row_ = true;
  child.row_keeper_.stop(kRowKeeperStopLimit);
  child.health_checker_.stop(kHealthCheckerStopLimit);
  const int has_moved = guarded(child.server_, "end of a child", 0, [&] {
    return child.may_have_carrier() && child.move_to_carrier() ? 1 : 0;
  });
  if (has_moved == 0) child.close_tunnels();
  return APR_SUCCESS;
}

bool Child::may_have_carrier() const {
  if (!is_graceful(end_) || relay_.load() == 0) return false;
  if (ap_exists_config_define("DEBUG") || ap_exists_config_define("ONE_PROCESS")) return false;
  if (state_.carriers_max == 0) return false;
  state_.rows->clear_dead(process_);
  const SharedRows::Room room = state_.rows->make_room(state_.carriers_max, relay_.load());
  if (room.told) {
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, server_,
                 "WSB0405: carrier %" APR_PID_T_FMT
                 " closes its %u tunnels to make room for one with %u: there are %u carriers "
                 "already (WSBalanceMaxCarriers)",
                 room.told->pid, room.tunnels, relay_.load(), state_.carriers_max);
  }
  if (room.is_there) return true;
  ap_log_error(
      APLOG_MARK, APLOG_WARNING, 0, server_,
      "WSB0401: %u tunnels are closed: there are %u carriers already, with more tunnels each "
      "(WSBalanceMaxCarriers)",
      relay_.load(), state_.carriers_max);
  return false;
}

// Only the relay's and the log writer's threads are left, beside this one.
bool Child::are_others_gone() const {
  const unsigned own = state_.relay.threads + 2;
  const auto deadline = Clock::now() + kThreadsLimit;
  while (count_threads() > own && Clock::now() < deadline) ::poll(nullptr, 0, kLookEvery.count());
  return count_threads() <= own;
}

// A process with one thread can be forked whole: no lock is held, no state half changed. The relay
// is the last to pause: tunnels wait from there on. What does not pause in time goes on.
bool Child::pause_threads() {
  if (!are_others_gone()) return false;
  if (!log_writer_.pause(kThreadsLimit)) {
    log_writer_.start();
    return false;
  }
  if (!relay_.pause(kPauseLimit)) {
    relay_.start();
    return false;
  }
  return count_threads() == 1;
}

// True: the tunnels are another process' now.
bool Child::move_to_carrier() {
  const std::uint32_t tunnels = relay_.load();
  if (!pause_threads()) {
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, server_,
                 "WSB0402: %u tunnels are closed: a thread of another module is still there, and "
                 "this process cannot be forked",
                 tunnels);
    return false;
  }
  state_.rows->keep_tunnels_only(*row_.row, process_);
  const SignalBlock blocked;
  const pid_t carrier = ::fork();
  if (carrier == 0) run_as_carrier();
  if (carrier < 0) {
    ap_log_error(APLOG_MARK, APLOG_ERR, errno, server_,
                 "WSB0403: %u tunnels are closed: fork() failed", tunnels);
    return false;
  }
  state_.rows->hand_over(*row_.row, process_, process_id_of(carrier));
  relay_.abandon();
  ap_log_error(APLOG_MARK, APLOG_INFO, 0, server_,
               "WSB0400: carrier %" APR_PID_T_FMT " goes on with %u tunnels of generation %d",
               carrier, tunnels, generation_);
  return true;
}

void Child::run_as_carrier() {
  const ProcessId carrier = process_id_of(::getpid());
  state_.rows->hand_over(*row_.row, process_, carrier);
  run_carrier({.server = server_,
               .relay = relay_,
               .log_writer = log_writer_,
               .lineage = *state_.lineage,
               .parent = parent_,
               .rows = *state_.rows,
               .row = *row_.row,
               .orders = order_follower_,
               .self = carrier,
               .generation = generation_,
               .drain_timeout = state_.drain_timeout});
}

// In prefork's signal handler it may find the heap locked for good, so it waits no longer than it
// has to. Where threads have paused they stay so, because there may be none for them any more: this
// one does their work then.
void Child::close_tunnels() {
  const bool is_hurried = !is_graceful(end_);
  const milliseconds over = is_hurried ? milliseconds(0) : kCloseOver;
  relay_.close_tunnels(is_hurried ? relay::EndReason::shutdown : relay::EndReason::drain, over,
                       kCloseLimitAtStop);
  const auto deadline = Clock::now() + over + kCloseLimitAtStop + kCloseGrace;
  while (relay_.load() > 0 && Clock::now() < deadline) {
    if (!relay_.turn_here(kLookEvery)) ::poll(nullptr, 0, kLookEvery.count());
  }
  relay_.stop(kStopLimit);
  log_writer_.stop(kLogStopLimit);
  state_.rows->release(*row_.row, process_);
}

}  // namespace wsbalance::httpd
