// tries.h - how an attempt at a member can go, and whether the next member is to be tried.
//
// Layer:    balance (pure).
// Threads:  values.
#pragma once

#include <bitset>
#include <chrono>
#include <cstdint>
#include <optional>

namespace wsbalance::balance {

// How a handshake with one member went.
enum class Outcome : std::uint8_t {
  switched,      // A valid 101.
  answered,      // Another status.
  unreachable,   // Refused, or no way to it.
  unknown_name,  // Its name does not resolve.
  no_tls,        // Reached, but the handshake of TLS failed.
  late,          // No answer in time.
  ended,         // It closed instead of answering.
  broke_rules,   // An invalid 101, or what is no answer at all.
  full,          // It was not asked: it has as many tunnels as it may have.
  unusable,      // It was not asked: somebody put it out of service meanwhile.
  client_gone,
  own_fault,  // The request, or something that we lack: the member has no part in it.
};

// Is the member to blame for this one?
bool is_failure(Outcome outcome) noexcept;

// Was the member asked at all? What it was not asked is no try.
bool is_try(Outcome outcome) noexcept;

// Does a member that did this get no more handshakes for some time (mod_proxy's retry=)? What it
// answered and that it was late do not say that it is down.
bool puts_in_error(Outcome outcome) noexcept;

// A list of HTTP statuses from 400 to 599.
class StatusList {
 public:
  static constexpr int kLow = 400;
  static constexpr int kHigh = 599;

  // The status must be within the bounds.
  void add(int status) { statuses_.set(static_cast<std::size_t>(status - kLow)); }
  bool has(int status) const {
    return status >= kLow && status <= kHigh &&
           statuses_.test(static_cast<std::size_t>(status - kLow));
  }

 private:
  std::bitset<kHigh - kLow + 1> statuses_;
};

// 502, 503 and 504.
StatusList default_retry_statuses();

// May another member do better? `status`: of an answer.
bool is_to_retry(Outcome outcome, int status, const StatusList& retry_on) noexcept;

struct TryLimits {
  unsigned tries = 3;
  std::chrono::milliseconds time{30'000};
};

// All tries are to mod_proxy's maxattempts= the first one and so many more; none of it is below one.
unsigned tries_for_attempts(int attempts_max) noexcept;

// How long a try may take that begins `elapsed` after the first one did, if each alone may take
// `each`; nothing: there is to be none. `made`: so many tries there were.
std::optional<std::chrono::milliseconds> time_for_try(const TryLimits& limits, unsigned made,
                                                      std::chrono::milliseconds elapsed,
                                                      std::chrono::milliseconds each) noexcept;

}  // namespace wsbalance::balance
