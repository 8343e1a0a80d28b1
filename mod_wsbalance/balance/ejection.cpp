#include "balance/ejection.h"

#include <algorithm>
#include <array>
#include <cassert>

namespace wsbalance::balance {

FailureCount count_recent(std::span<const Failure> failures, std::chrono::milliseconds now,
                          const EjectRule& rule) {
  assert(failures.size() <= kFailuresMax);
  std::array<std::uint32_t, kFailuresMax> clients{};
  FailureCount count;
  for (const Failure& failure : failures) {
    if (failure.at + rule.in <= now) continue;
    ++count.failures;
    const auto end = clients.begin() + count.clients;
    if (std::find(clients.begin(), end, failure.client) == end) {
      clients[count.clients++] = failure.client;
    }
  }
  return count;
}

bool may_eject(const BalancerCounts& counts, bool is_usable, unsigned percent) {
  const unsigned others = counts.usable - (is_usable ? 1 : 0);
  return others > 0 && (counts.ejected + 1) * 100 <= counts.members * percent;
}

}  // namespace wsbalance::balance
