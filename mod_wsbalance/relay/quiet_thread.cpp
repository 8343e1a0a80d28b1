#include "relay/quiet_thread.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace wsbalance::relay {

QuietThread::~QuietThread() {
  if (is_started_) ::pthread_join(thread_, nullptr);
}

int QuietThread::start(const char* name) noexcept {
  std::snprintf(name_.data(), name_.size(), "%s", name);
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

bool QuietThread::is_gone() const noexcept {
  const int saved_errno = errno;
  const long result = ::syscall(SYS_tgkill, ::getpid(), thread_id_.load(), 0);
  const bool is_gone = result != 0 && errno == ESRCH;
  errno = saved_errno;
  return is_gone;
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
