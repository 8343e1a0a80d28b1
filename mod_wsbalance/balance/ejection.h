// ejection.h - when a member that fails its clients is taken out for a while.
//
// Layer:    balance (pure).
// Threads:  values.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

namespace wsbalance::balance {

// WSBalanceEject, WSBalanceEjectMax.
struct EjectRule {
  unsigned failures = 0;
  std::chrono::milliseconds in{0};
  std::chrono::milliseconds out_for{30'000};
};

inline constexpr unsigned kEjectPercentDefault = 50;

// So many that a single client, or two behind each other, can take nothing out.
inline constexpr unsigned kEjectClientsMin = 3;

// How many failures of a member are remembered.
inline constexpr std::size_t kFailuresMax = 64;

struct Failure {
  std::chrono::milliseconds at{0};
  std::uint32_t client = 0;  // A hash of the address.
};

// What of `failures` (at most kFailuresMax, in any order) lies within the rule's time before `now`.
struct FailureCount {
  unsigned failures = 0;
  unsigned clients = 0;
};
FailureCount count_recent(std::span<const Failure> failures, std::chrono::milliseconds now,
                          const EjectRule& rule);

inline bool is_too_much(const FailureCount& count, const EjectRule& rule) {
  return count.failures >= rule.failures && count.clients >= kEjectClientsMin;
}

// A balancer at the moment.
struct BalancerCounts {
  unsigned members = 0;
  unsigned ejected = 0;
  unsigned usable = 0;  // That would get a handshake.
};

// May one more be taken out? At most `percent` of all members at once, and never the last usable
// one: another has to be left.
bool may_eject(const BalancerCounts& counts, bool is_usable, unsigned percent);

}  // namespace wsbalance::balance
