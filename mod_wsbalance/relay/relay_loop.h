// relay_loop.h - one loop that carries tunnels: it waits, lets those move that can, and reports
// ends.
//
// Layer:    relay.
// Owns:     its tunnels from submit() on; epoll, timers and the read buffer.
// Threads:  submit(), load() and the requests from any thread; all else from the loop's own, or
//           from its owner while no thread runs it.
// Errors:   the constructor throws; later a tunnel that cannot be carried ends with `resources`.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "relay/close_plan.h"
#include "relay/group_orders.h"
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
  RelayLoop(BufferBudget& budget, GroupOrders& group_orders, TunnelObserver& observer,
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

  // Turns until request_stop(), then close_all(); or until request_pause(). After that, and
  // resume(), it may be called again, by another thread or in a forked process.
  void run() noexcept;

  // The requests are safe in a signal handler.
  void request_stop() noexcept;
  void request_pause() noexcept;

  // Takes request_pause() back, from the thread that made it. False: run() has returned or will,
  // and has to be called again.
  bool resume() noexcept;

  // To close its tunnels, and those that may still be submitted, in order: see Relay.
  void request_close(const CloseOrder& order) noexcept;
  void request_close_bound(const CloseOrder& order) noexcept;

  // There is something new in `group_orders`.
  void request_look_at_groups() noexcept;

  // Closes the descriptors of all tunnels, now and of those that may still be submitted. System
  // calls only: somewhere a thread may hold the lock of the heap for good.
  void close_all() noexcept;

  // A turn while it is paused, on its owner's thread.
  void turn_paused(std::chrono::milliseconds wait_max) noexcept;

  // While it is paused: adds the descriptors of all its tunnels, and its own.
  void list_descriptors(std::vector<int>& found);

  // A forked process goes on with its tunnels: closes the descriptors of this process, the loop's
  // own too, and counts no end.
  void abandon() noexcept;

 private:
  // A message of 64 KiB or 128 KiB with its frame header fits into one read.
  static constexpr std::size_t kReadBufferBytes = 128 * 1024 + 64;

  // What run() has to do. Left: it was told to pause, and has returned.
  enum class Order : std::uint8_t { run, pause, left, stop };

  // Between two turns other tunnels are served.
  static constexpr int kClosesPerTurn = 64;
  static constexpr int kLooksPerTurn = 1024;  // At tunnels whose group may have an order.

  bool must_leave() const noexcept { return order_.load(std::memory_order_acquire) != Order::run; }
  void catch_up() noexcept;
  void carry(std::span<const PollEvent> events) noexcept;
  std::chrono::milliseconds time_to_wait(std::chrono::milliseconds wait_max) noexcept;
  void on_wake() noexcept;
  void take_in(Tunnel& tunnel) noexcept;
  void begin_close(const CloseOrder& order) noexcept;
  void close_bound(const CloseOrder& order) noexcept;
  void close(Tunnel& tunnel, const CloseOrder& order) noexcept;
  void close_due() noexcept;
  void look_at_groups() noexcept;
  bool has_left_by_order(Tunnel& tunnel) noexcept;
  void unlink(Tunnel& tunnel) noexcept;
  void move_if_over(Tunnel& tunnel) noexcept;
  void report_ended() noexcept;
  std::uint32_t close_descriptors() noexcept;
  void count_closed(std::uint32_t tunnels) noexcept;

  GroupOrders& group_orders_;
  TunnelObserver& observer_;
  std::atomic<std::uint32_t>& open_tunnels_;
  const TimeSource& time_;
  std::unique_ptr<std::byte[]> read_buffer_;
  Poller poller_;
  TimerWheel timers_;
  LoopServices services_;
  std::array<PollEvent, Poller::kEventsMax> events_;

  TunnelInbox inbox_;
  ListNode tunnels_;  // The oldest first, but for those that close_order_ was for.
  ListNode closing_;  // Those that have had their turn in plan_.
  ListNode ended_;    // Of this turn: events may still point to them.
  std::atomic<std::uint32_t> load_{0};
  std::atomic<Order> order_{Order::run};
  // CloseOrder::packed(), until the loop has seen it.
  std::atomic<std::uint64_t> close_order_{0};
  std::atomic<std::uint64_t> close_bound_order_{0};
  std::atomic<bool> must_look_at_groups_{false};
  // In tunnels_: the next one whose group is looked at; null: nothing is to be looked for.
  ListNode* looked_at_ = nullptr;
  ClosePlan plan_;
  bool is_closed_ = false;
};

}  // namespace wsbalance::relay
