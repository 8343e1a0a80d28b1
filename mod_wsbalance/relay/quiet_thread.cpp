#include "relay/quiet_thread.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "relay/time_source.h"

namespace wsbalance::relay {
namespace {

// From the last thing that a thread does to where the kernel has no such thread any more. Its end
// frees what the heap keeps for it, so in a signal handler it may wait for a lock that nobody
// gives back.
constexpr std::chrono::milliseconds kEndLimit{200};

void sleep_a_bit() { ::poll(nullptr, 0, 1); }

}  // namespace

QuietThread::~QuietThread() { join(); }

int QuietThread::start(const char* name) noexcept {
  std::snprintf(name_.data(), name_.size(), "%s", name);
  thread_id_.store(0);
  is_done_.store(false);
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  // The new thread begins with the mask of the one that makes it.
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  is_started_ = true;  // Before, for a signal that comes in between and leads to a stop.
  const int error = ::pthread_create(&thread_, nullptr, thread_main, this);
  if (error != 0) is_started_ = false;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return error;
}

void QuietThread::join() noexcept {
  if (!is_started_) return;
  ::pthread_join(thread_, nullptr);
  is_started_ = false;  // After, for a signal that comes in between and leads to a stop.
}

bool QuietThread::wait_gone(Clock::time_point until) const noexcept {
  const int saved_errno = errno;
  const SteadyTime time;
  while (!is_done() && time.now() < until) sleep_a_bit();
  const bool has_returned = is_done();
  const Clock::time_point gone_by = std::min(until, time.now() + kEndLimit);
  while (has_returned && !is_gone() && time.now() < gone_by) sleep_a_bit();
  errno = saved_errno;
  return has_returned;
}

// pthread_join() may take a lock to tell that. Leaves errno changed.
bool QuietThread::is_gone() const noexcept {
  return ::syscall(SYS_tgkill, ::getpid(), thread_id_.load(), 0) != 0 && errno == ESRCH;
}

void* QuietThread::thread_main(void* self) noexcept {
  auto& thread = *static_cast<QuietThread*>(self);
  thread.thread_id_.store(static_cast<pid_t>(::syscall(SYS_gettid)));
  ::pthread_setname_np(::pthread_self(), thread.name_.data());
  thread.body_(thread.argument_);
  thread.is_done_.store(true, std::memory_order_release);
  return nullptr;
}

}  // namespace wsbalance::relay
