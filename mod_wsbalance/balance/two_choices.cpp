#include "balance/two_choices.h"

namespace wsbalance::balance {
namespace {

constexpr std::size_t kNone = ~std::size_t{0};

// By weight, of all but one.
std::size_t draw(std::span<const Candidate> candidates, std::size_t without,
                 std::uint32_t random) noexcept {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (i != without) total += candidates[i].weight;
  }
  std::uint64_t left = total * random >> 32;  // Below the total.
  std::size_t drawn = without == 0 ? 1 : 0;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (i == without) continue;
    drawn = i;
    if (left < candidates[i].weight) break;
    left -= candidates[i].weight;
  }
  return drawn;
}

}  // namespace

std::size_t choose_of_two(std::span<const Candidate> candidates,
                          const std::array<std::uint32_t, 2>& random) noexcept {
  const std::size_t first = draw(candidates, kNone, random[0]);
  if (candidates.size() == 1) return first;
  const std::size_t second = draw(candidates, first, random[1]);
  return has_less(candidates[second], candidates[first]) ? second : first;
}

}  // namespace wsbalance::balance
