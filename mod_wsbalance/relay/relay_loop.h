// relay_loop.h - one loop that carries tunnels: it waits, lets those move that can, and reports
// ends.
//
// Layer:    relay.
// Owns:     its tunnels from submit() on; epoll, timers and the read buffer.
// Threads:  submit(), load() and request_stop() from any thread; all else from the loop's own.
// Errors:   the constructor throws; later a tunnel that cannot be carried ends with `resources`.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "relay/list_node.h"
#include "relay/loop_services.h"
#include "relay/poller.h"
#include "relay/relay.h"
#include "relay/time_source.h"
#include "relay/timer_wheel.h"
#include "relay/tunnel_inbox.h"

namespace wsbalance::relay {

class RelayLoop {
 public:
  // All arguments must outlive it.
  RelayLoop(BufferBudget& budget, TunnelObserver& observer,
            std::atomic<std::uint32_t>& open_tunnels, const TimeSource& time);
  ~RelayLoop();  // Frees tunnels that request_stop() left, without a report.
  RelayLoop(const RelayLoop&) = delete;
  RelayLoop& operator=(const RelayLoop&) = delete;

  void submit(std::unique_ptr<Tunnel> tunnel) noexcept;

  // How many tunnels it has.
  std::uint32_t load() const noexcept { return load_.load(std::memory_order_relaxed); }

  // Waits for something to do, at most `wait_max` (negative: as long as it takes), and does it.
  // Returns how many events there were, timers not counted.
  std::size_t turn(std::chrono::milliseconds wait_max) noexcept;

  // Turns until request_stop(), then close_all().
  void run() noexcept;

  // Safe in a signal handler.
  void request_stop() noexcept;

  // Closes the descriptors of all tunnels, now and of those that may still be submitted. System
  // calls only: somewhere a thread may hold the lock of the heap for good.
  void close_all() noexcept;

 private:
  // A message of 64 KiB or 128 KiB with its frame header fits into one read.
  static constexpr std::size_t kReadBufferBytes = 128 * 1024 + 64;

  std::chrono::milliseconds time_to_wait(std::chrono::milliseconds wait_max) noexcept;
  void take_in(Tunnel& tunnel) noexcept;
  void move_if_over(Tunnel& tunnel) noexcept;
  void report_ended() noexcept;
  void count_closed() noexcept;

  TunnelObserver& observer_;
  std::atomic<std::uint32_t>& open_tunnels_;
  const TimeSource& time_;
  std::unique_ptr<std::byte[]> read_buffer_;
  Poller poller_;
  TimerWheel timers_;
  LoopServices services_;
  std::array<PollEvent, Poller::kEventsMax> events_;

  TunnelInbox inbox_;
  ListNode tunnels_;
  ListNode ended_;  // Of this turn: events may still point to them.
  std::atomic<std::uint32_t> load_{0};
  std::atomic<bool> must_stop_{false};
  bool is_closed_ = false;
};

}  // namespace wsbalance::relay
