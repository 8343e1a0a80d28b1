#include "balance/rebalance.h"

#include <algorithm>
#include <cmath>

namespace wsbalance::balance {
namespace {

// What sums and quotients of doubles may be off by.
constexpr double kNearly = 1e-6;

// Tunnels per weight.
double fair_level(std::span<const MemberLoad> loads, std::uint32_t total) {
  double tunnels = 0;
  double weight = 0;
  for (const MemberLoad& load : loads) {
    tunnels += load.tunnels;
    weight += load.weight;
  }
  return weight > 0 ? std::max(tunnels, static_cast<double>(total)) / weight : 0;
}

std::uint32_t surplus_of(const MemberLoad& load, double level) {
  const double fair = std::ceil(load.weight * level - kNearly);
  return load.tunnels > fair ? static_cast<std::uint32_t>(load.tunnels - fair) : 0;
}

}  // namespace

bool is_uneven(std::span<const MemberLoad> loads, double share) noexcept {
  const double level = fair_level(loads, 0);
  return std::any_of(loads.begin(), loads.end(), [&](const MemberLoad& load) {
    const double fair = load.weight * level;
    return std::abs(load.tunnels - fair) > fair * share + kNearly;
  });
}

std::uint32_t surplus(std::span<const MemberLoad> loads, std::uint32_t total) noexcept {
  const double level = fair_level(loads, total);
  std::uint32_t sum = 0;
  for (const MemberLoad& load : loads) sum += surplus_of(load, level);
  return sum;
}

std::uint32_t plan_step(std::span<MemberLoad> loads, std::uint32_t total, double share,
                        std::uint32_t most) noexcept {
  const double level = fair_level(loads, total);
  // Where not all may give, the fullest do.
  std::sort(loads.begin(), loads.end(), [](const MemberLoad& a, const MemberLoad& b) {
    return a.tunnels * b.weight > b.tunnels * a.weight;
  });
  std::uint32_t sum = 0;
  for (MemberLoad& load : loads) {
    const auto part = static_cast<std::uint32_t>(load.tunnels * share);
    load.closes = std::min({surplus_of(load, level), std::max(part, 1u), most - sum});
    sum += load.closes;
  }
  return sum;
}

}  // namespace wsbalance::balance
