#include "relay/relay_thread.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>

namespace wsbalance::relay {

RelayThread::RelayThread(unsigned number, BufferBudget& budget, TunnelObserver& observer,
                         std::atomic<std::uint32_t>& open_tunnels, const TimeSource& time)
    : number_(number), loop_(budget, observer, open_tunnels, time) {}

RelayThread::~RelayThread() {
  if (is_started_) ::pthread_join(thread_, nullptr);
}

int RelayThread::start() noexcept {
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

bool RelayThread::is_gone() const noexcept {
  const int saved_errno = errno;
  const long result = ::syscall(SYS_tgkill, ::getpid(), thread_id_.load(), 0);
  const bool is_gone = result != 0 && errno == ESRCH;
  errno = saved_errno;
  return is_gone;
}

// Nothing here has a destructor: the end of a thread may not wait for the lock of the heap.
void* RelayThread::thread_main(void* self) noexcept {
  auto& thread = *static_cast<RelayThread*>(self);
  thread.thread_id_.store(static_cast<pid_t>(::syscall(SYS_gettid)));
  std::array<char, 16> name{};
  std::snprintf(name.data(), name.size(), "wsb-relay-%u", thread.number_);
  ::pthread_setname_np(::pthread_self(), name.data());

  thread.loop_.run();
  thread.is_done_.store(true, std::memory_order_release);
  return nullptr;
}

}  // namespace wsbalance::relay
