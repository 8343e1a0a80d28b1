#include "balance/rebalance.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <random>
#include <vector>

#include "support/catch.h"

namespace wsbalance::balance {
namespace {

using Loads = std::vector<MemberLoad>;

Loads loads_of(std::initializer_list<std::uint32_t> tunnels) {
  Loads loads;
  for (const std::uint32_t count : tunnels) {
    loads.push_back({.row = static_cast<std::uint32_t>(loads.size()), .tunnels = count});
  }
  return loads;
}

std::uint32_t sum_of(const Loads& loads) {
  std::uint32_t sum = 0;
  for (const MemberLoad& load : loads) sum += load.tunnels;
  return sum;
}

// What each one gives, by its number.
std::vector<std::uint32_t> closes_of(Loads loads, std::uint32_t total, double share,
                                     std::uint32_t most) {
  std::vector<std::uint32_t> closes(loads.size());
  plan_step(loads, total, share, most);
  for (const MemberLoad& load : loads) closes[load.row] = load.closes;
  return closes;
}

using Closes = std::vector<std::uint32_t>;

TEST_CASE("uneven is what is off by more than the share", "[balance]") {
  CHECK_FALSE(is_uneven(loads_of({100, 100, 100}), 0.1));
  CHECK_FALSE(is_uneven(loads_of({110, 100, 90}), 0.1));
  CHECK(is_uneven(loads_of({111, 100, 89}), 0.1));
  CHECK(is_uneven(loads_of({50, 50, 0}), 0.5));
  CHECK_FALSE(is_uneven(loads_of({0, 0}), 0.1));
  CHECK_FALSE(is_uneven(loads_of({}), 0.1));
  CHECK_FALSE(is_uneven(Loads{{.tunnels = 10}, {.tunnels = 20, .weight = 2}}, 0.1));
}

TEST_CASE("the surplus is what stands above the parts rounded up", "[balance]") {
  CHECK(surplus(loads_of({50, 50, 0}), 0) == 32);  // 34 each: 100 / 3 rounded up.
  CHECK(surplus(loads_of({34, 34, 32}), 0) == 0);
  CHECK(surplus(loads_of({1, 0, 0}), 0) == 0);
  CHECK(surplus(loads_of({10, 10, 10}), 0) == 0);
  CHECK(surplus(Loads{{.tunnels = 30}, {.tunnels = 0, .weight = 2}}, 0) == 20);
}

TEST_CASE("clients on their way back count", "[balance]") {
  CHECK(surplus(loads_of({40, 40, 0}), 100) == 12);
  CHECK(surplus(loads_of({40, 40, 0}), 60) == 26);  // There are more by now.
}

TEST_CASE("a step takes a part of each that is too full", "[balance]") {
  CHECK(closes_of(loads_of({100, 50, 0}), 0, 0.1, 1000) == Closes{10, 0, 0});
  CHECK(closes_of(loads_of({100, 80, 0}), 0, 0.1, 1000) == Closes{10, 8, 0});
  CHECK(closes_of(loads_of({100, 80, 0}), 0, 1, 1000) == Closes{40, 20, 0});
  CHECK(closes_of(loads_of({5, 5, 0}), 0, 0.1, 1000) == Closes{1, 1, 0});
}

TEST_CASE("where not all may give the fullest do", "[balance]") {
  CHECK(closes_of(loads_of({80, 100, 0}), 0, 0.1, 12) == Closes{2, 10, 0});
  CHECK(closes_of(loads_of({80, 100, 0}), 0, 0.1, 1) == Closes{0, 1, 0});
  CHECK(closes_of(loads_of({80, 100, 0}), 0, 0.1, 0) == Closes{0, 0, 0});
}

// Whatever clients do, no more than the surplus is closed; and where they go to the one that has
// come, it ends evenly and nobody moves twice.
TEST_CASE("steps come to an end", "[balance]") {
  std::mt19937 random(7);
  const auto below = [&random](std::uint32_t end) {
    return static_cast<std::uint32_t>(random() % end);
  };
  for (int run = 0; run < 300; ++run) {
    Loads loads;
    const std::uint32_t members = 2 + below(6);
    for (std::uint32_t i = 0; i < members; ++i) {
      loads.push_back({.row = i, .tunnels = below(2000), .weight = 1.0 + below(4)});
    }
    loads.back().tunnels = below(20);
    const double share = (1 + below(50)) / 100.0;
    const std::uint32_t total = sum_of(loads);
    const std::uint32_t all = surplus(loads, 0);
    std::uint32_t left = all;
    const int kind = run % 3;  // Clients go to the emptiest, to anyone, or never come back.
    int steps = 0;
    for (; left > 0; ++steps) {
      REQUIRE(steps < 4 / share + 2000);
      const std::uint32_t closed = plan_step(loads, total, share, left);
      REQUIRE(closed <= left);
      for (MemberLoad& load : loads) {
        REQUIRE(load.closes <= load.tunnels);
        load.tunnels -= load.closes;
      }
      left -= closed;
      if (closed == 0) break;
      for (std::uint32_t i = 0; i < closed && kind != 2; ++i) {
        auto to = std::min_element(loads.begin(), loads.end(), [](const auto& a, const auto& b) {
          return (a.tunnels + 1) * b.weight < (b.tunnels + 1) * a.weight;
        });
        if (kind == 1) to = loads.begin() + below(members);
        ++to->tunnels;
      }
    }
    if (kind == 0) {
      CHECK(sum_of(loads) == total);
      CHECK(left == 0);
      CHECK(surplus(loads, 0) == 0);
    }
  }
}

}  // namespace
}  // namespace wsbalance::balance
