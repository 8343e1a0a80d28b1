// shared_clock.h - the time that processes tell each other in shared memory.
//
// Layer:    httpd (pure: no header of httpd or APR).
// Threads:  any, also in signal handlers.
#pragma once

#include <time.h>

#include <cstdint>

namespace wsbalance::httpd {

// Milliseconds of CLOCK_MONOTONIC, which is one for all processes of the machine. Never 0.
inline std::int64_t shared_clock_ms() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000 + 1;
}

}  // namespace wsbalance::httpd
