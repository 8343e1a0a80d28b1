// quiet_thread.h - a thread that takes no signal, and how to see from outside that it has ended.
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
  // errno value.
  [[nodiscard]] int start(const char* name) noexcept;
  bool is_started() const noexcept { return is_started_; }

  // These two are safe in a signal handler. The body has returned:
  bool is_done() const noexcept { return is_done_.load(std::memory_order_acquire); }
  // And the kernel has no such thread any more (pthread_join() may take a lock to tell that).
  bool is_gone() const noexcept;

 private:
  static void* thread_main(void* self) noexcept;

  const Body body_;
  void* const argument_;
  std::array<char, 16> name_{};
  pthread_t thread_{};
  bool is_started_ = false;
  std::atomic<pid_t> thread_id_{0};
  std::atomic<bool> is_done_{false};
};

}  // namespace wsbalance::relay
