// quiet_thread.h - a thread that takes no signal, can be started again, and can be seen from
// outside to have ended.
//
// Layer:    relay.
// Owns:     the thread.
// Threads:  all from the one that owns it.
// Errors:   values.
#pragma once

#include <pthread.h>
#include <sys/types.h>

#include <array>
#include <atomic>

#include "relay/tunnel_settings.h"

namespace wsbalance::relay {

class QuietThread {
 public:
  using Body = void (*)(void* argument) noexcept;

  // `body` and what `argument` points to must outlive it. It should leave nothing with a destructor
  // behind: the end of a thread may not wait for the lock of the heap.
  QuietThread(Body body, void* argument) noexcept : body_(body), argument_(argument) {}
  ~QuietThread();  // The thread must have been told to stop; waits until it is gone.
  QuietThread(const QuietThread&) = delete;
  QuietThread& operator=(const QuietThread&) = delete;

  // Starts the thread, with all signals blocked. Of `name` 15 characters count. Returns 0 or an
  // errno value. Again only after join(), also in a process that was forked after that.
  [[nodiscard]] int start(const char* name) noexcept;
  bool is_started() const noexcept { return is_started_; }

  // Waits for the end of a thread that was told to stop, or was never started. is_started() is
  // false then. Not in a signal handler.
  void join() noexcept;

  // These two are safe in a signal handler. The body has returned:
  bool is_done() const noexcept { return is_done_.load(std::memory_order_acquire); }

  // Waits for that until `until`, false: it has not; then a moment longer, at most until `until`
  // too, for the kernel to have no such thread any more.
  bool wait_gone(Clock::time_point until) const noexcept;

 private:
  static void* thread_main(void* self) noexcept;
  bool is_gone() const noexcept;

  const Body body_;
  void* const argument_;
  std::array<char, 16> name_{};
  pthread_t thread_{};
  bool is_started_ = false;
  std::atomic<pid_t> thread_id_{0};
  std::atomic<bool> is_done_{false};
};

}  // namespace wsbalance::relay
