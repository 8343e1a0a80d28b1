#include "balance/slow_start.h"

#include <algorithm>

namespace wsbalance::balance {
namespace {

constexpr double kPartMin = 0.01;

}  // namespace

double slow_start_part(std::chrono::milliseconds up_for, std::chrono::milliseconds ramp) noexcept {
  if (up_for >= ramp) return 1;
  return std::max(kPartMin,
                  static_cast<double>(up_for.count()) / static_cast<double>(ramp.count()));
}

}  // namespace wsbalance::balance
