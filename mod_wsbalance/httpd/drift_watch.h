// drift_watch.h - how much a number is off that others change while we look.
//
// Layer:    httpd (pure: no header of httpd or APR).
// Threads:  one process at a time, as it is in shared memory.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace wsbalance::httpd {

// What a number is off by at one look may be a change that was half seen. What it is off by at each
// of some looks has to be taken out of it.
class DriftWatch {
 public:
  static constexpr std::uint32_t kLooks = 3;

  // What to take out: 0 until there were enough looks, and where they do not agree.
  std::int64_t look(std::int64_t off_by) {
    const bool is_first = looks_ == 0;
    least_ = is_first ? off_by : std::min(least_.load(), off_by);
    most_ = is_first ? off_by : std::max(most_.load(), off_by);
    if (++looks_ < kLooks) return 0;
    looks_ = 0;
    if (least_ > 0) return least_;
    return most_ < 0 ? most_.load() : 0;
  }

  void reset() { looks_ = 0; }

 private:
  std::atomic<std::int64_t> least_{0};
  std::atomic<std::int64_t> most_{0};
  std::atomic<std::uint32_t> looks_{0};
};

}  // namespace wsbalance::httpd
