// relay_thread.h - a thread with a loop.
//
// Layer:    relay.
// Owns:     the thread and its loop.
// Threads:  all but loop().submit() and loop().request_close() from the one that owns it.
// Errors:   values.
#pragma once

#include <atomic>

#include "relay/quiet_thread.h"
#include "relay/relay_loop.h"

namespace wsbalance::relay {

class RelayThread {
 public:
  // `number` goes into the thread's name. The rest must outlive it.
  RelayThread(unsigned number, BufferBudget& budget, GroupOrders& group_orders,
              TunnelObserver& observer, std::atomic<std::uint32_t>& open_tunnels,
              const TimeSource& time);

  RelayLoop& loop() noexcept { return loop_; }

  // Starts the thread, with all signals blocked. Returns 0 or an errno value.
  [[nodiscard]] int start() noexcept;
  bool is_started() const noexcept { return thread_.is_started(); }

  // For one that was told to pause or to stop, as QuietThread's.
  void join() noexcept { thread_.join(); }
  bool is_done() const noexcept { return thread_.is_done(); }
  bool wait_gone(Clock::time_point until) const noexcept { return thread_.wait_gone(until); }

 private:
  static void run(void* self) noexcept;

  const unsigned number_;
  RelayLoop loop_;
  QuietThread thread_{run, this};
};

}  // namespace wsbalance::relay
