#include "balance/candidate.h"

#include <algorithm>

namespace wsbalance::balance {

std::uint32_t weight_of(int loadfactor, double part) noexcept {
  const double weight = static_cast<double>(loadfactor) * part + 0.5;
  return static_cast<std::uint32_t>(std::clamp<double>(weight, 1, kWeightMax));
}

}  // namespace wsbalance::balance
