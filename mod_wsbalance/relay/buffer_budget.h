// buffer_budget.h - the memory that the queues of all tunnels of a process hold together.
//
// Layer:    relay.
// Threads:  any.
// Errors:   none.
//
// The rule. While half of the maximum is free, each direction may keep what its settings allow.
// Above that, at most kTightLimit. And a direction reads at most as much as it could still keep, so
// the maximum holds even if nobody takes anything: exactly with one relay thread, and with more
// of them within one read a thread, because they look before they take and do not lock. Only a
// control frame of ours is kept in any case.
// Where nothing may be kept any more, a direction that holds nothing passes bytes through: it looks
// at what has come without taking it from the socket, offers it to the destination, and then takes
// only what the destination took. So a pair that reads what it is sent goes on at any time,
// and one that does not costs nothing more.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>

namespace wsbalance::relay {

class BufferBudget {
 public:
  static constexpr std::size_t kTightLimit = 8 * 1024;

  explicit BufferBudget(std::size_t bytes_max) noexcept : bytes_max_(bytes_max) {}

  // A queue that held `before` bytes of memory holds `after` now.
  void change(std::size_t before, std::size_t after) noexcept {
    if (before == after) return;
    bytes_held_.fetch_add(after - before, std::memory_order_relaxed);  // Wraps around to subtract.
  }

  std::size_t bytes_held() const noexcept { return bytes_held_.load(std::memory_order_relaxed); }
  std::size_t bytes_max() const noexcept { return bytes_max_; }

  bool is_tight() const noexcept { return bytes_held() > bytes_max_ / 2; }

  // What a direction may keep now that is allowed `limit` by its settings.
  std::size_t limit_now(std::size_t limit) const noexcept {
    return is_tight() ? std::min(limit, kTightLimit) : limit;
  }

  std::size_t room() const noexcept {
    const std::size_t held = bytes_held();
    return held < bytes_max_ ? bytes_max_ - held : 0;
  }

 private:
  const std::size_t bytes_max_;
  std::atomic<std::size_t> bytes_held_{0};
};

}  // namespace wsbalance::relay
