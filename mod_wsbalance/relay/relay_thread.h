// relay_thread.h - a thread with a loop.
//
// Layer:    relay.
// Owns:     the thread and its loop.
// Threads:  all but loop().submit() from the one that owns it.
// Errors:   values.
#pragma once

#include <atomic>

#include "relay/quiet_thread.h"
#include "relay/relay_loop.h"

namespace wsbalance::relay {

class RelayThread {
 public:
  // `number` goes into the thread's name. The rest must outlive it.
  RelayThread(unsigned number, BufferBudget& budget, TunnelObserver& observer,
              std::atomic<std::uint32_t>& open_tunnels, const TimeSource& time);

  RelayLoop& loop() noexcept { return loop_; }

  // Starts the thread, with all signals blocked. Returns 0 or an errno value.
  [[nodiscard]] int start() noexcept;
  bool is_started() const noexcept { return thread_.is_started(); }

  // These two are safe in a signal handler. All descriptors are closed:
  bool is_done() const noexcept { return thread_.is_done(); }
  // And the kernel has no such thread any more.
  bool is_gone() const noexcept { return thread_.is_gone(); }

 private:
  static void run(void* self) noexcept;

  const unsigned number_;
  RelayLoop loop_;
  QuietThread thread_{run, this};
};

}  // namespace wsbalance::relay
