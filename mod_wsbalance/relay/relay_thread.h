// relay_thread.h - a thread with a loop, and how to see from outside that it has ended.
//
// Layer:    relay.
// Owns:     the thread and its loop.
// Threads:  all but loop().submit() from the one that owns it.
// Errors:   values.
#pragma once

#include <pthread.h>
#include <sys/types.h>

#include <atomic>

#include "relay/relay_loop.h"

namespace wsbalance::relay {

class RelayThread {
 public:
  // `number` goes into the thread's name. The rest must outlive it.
  RelayThread(unsigned number, BufferBudget& budget, TunnelObserver& observer,
              std::atomic<std::uint32_t>& open_tunnels, const TimeSource& time);
  ~RelayThread();  // The thread must have been told to stop; waits until it is gone.
  RelayThread(const RelayThread&) = delete;
  RelayThread& operator=(const RelayThread&) = delete;

  RelayLoop& loop() noexcept { return loop_; }

  // Starts the thread, with all signals blocked. Returns 0 or an errno value.
  [[nodiscard]] int start() noexcept;
  bool is_started() const noexcept { return is_started_; }

  // These two are safe in a signal handler. All descriptors are closed:
  bool is_done() const noexcept { return is_done_.load(std::memory_order_acquire); }
  // And the kernel has no such thread any more (pthread_join() may take a lock to tell that).
  bool is_gone() const noexcept;

 private:
  static void* thread_main(void* self) noexcept;

  const unsigned number_;
  RelayLoop loop_;
  pthread_t thread_{};
  bool is_started_ = false;
  std::atomic<pid_t> thread_id_{0};
  std::atomic<bool> is_done_{false};
};

}  // namespace wsbalance::relay
