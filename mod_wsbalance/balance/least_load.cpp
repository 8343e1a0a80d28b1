#include "balance/least_load.h"

namespace wsbalance::balance {

std::size_t choose_least(std::span<Candidate> candidates) noexcept {
  std::size_t least = 0;
  std::size_t equals = 1;
  for (std::size_t i = 1; i < candidates.size(); ++i) {
    if (has_less(candidates[i], candidates[least])) {
      least = i;
      equals = 1;
    } else if (!has_less(candidates[least], candidates[i])) {
      ++equals;
    }
  }
  if (equals == 1) return least;

  const Candidate model = candidates[least];
  std::int32_t total = 0;
  std::size_t chosen = least;
  for (std::size_t i = least; i < candidates.size(); ++i) {
    Candidate& candidate = candidates[i];
    if (has_less(model, candidate)) continue;
    const auto weight = static_cast<std::int32_t>(candidate.weight);
    candidate.turn += weight;
    total += weight;
    if (candidate.turn > candidates[chosen].turn) chosen = i;
  }
  candidates[chosen].turn -= total;
  return chosen;
}

}  // namespace wsbalance::balance
