// shortage.h - something that has run out: told when it begins and when it is over, not each time.
//
// Layer:    httpd (pure: the time is an argument).
// Threads:  any.
// Errors:   none.
//
// At a limit every tunnel that ends makes room for one that comes, so a shortage is over only when
// nothing has been refused for kQuietMs.
#pragma once

#include <atomic>
#include <cstdint>

namespace wsbalance::httpd {

class Shortage {
 public:
  static constexpr std::int64_t kQuietMs = 1000;

  // Something was refused. True if the shortage begins with it. Times are of a steady clock.
  bool refuse(std::int64_t now_ms) noexcept {
    refused_.fetch_add(1, std::memory_order_relaxed);
    last_ms_.store(now_ms, std::memory_order_relaxed);
    return !is_on_.exchange(true);
  }

  bool is_on() const noexcept { return is_on_.load(std::memory_order_relaxed); }

  // There was enough this time. If the shortage is over with that: how often something was refused,
  // else 0.
  std::uint64_t grant(std::int64_t now_ms) noexcept {
    if (!is_on() || now_ms - last_ms_.load(std::memory_order_relaxed) < kQuietMs) return 0;
    return is_on_.exchange(false) ? refused_.exchange(0, std::memory_order_relaxed) : 0;
  }

 private:
  std::atomic<bool> is_on_{false};
  std::atomic<std::int64_t> last_ms_{0};
  std::atomic<std::uint64_t> refused_{0};
};

}  // namespace wsbalance::httpd
