#include "balance/least_load.h"

#include <algorithm>
#include <cstdlib>
#include <random>
#include <vector>

#include "support/catch.h"

namespace wsbalance::balance {
namespace {

std::vector<Candidate> members(const std::vector<std::uint32_t>& weights) {
  std::vector<Candidate> made;
  for (const std::uint32_t weight : weights) {
    made.push_back({.name = "", .load = 0, .weight = weight});
  }
  return made;
}

std::vector<std::uint64_t> loads(const std::vector<Candidate>& candidates) {
  std::vector<std::uint64_t> found;
  for (const Candidate& candidate : candidates) found.push_back(candidate.load);
  return found;
}

// Tunnels that stay.
void open(std::vector<Candidate>& candidates, int count) {
  for (int i = 0; i < count; ++i) ++candidates[choose_least(candidates)].load;
}

TEST_CASE("a loadfactor becomes a weight, by the part that a member is to have", "[balance]") {
  CHECK(weight_of(100, 1) == 100);
  CHECK(weight_of(10'000, 1) == 10'000);
  CHECK(weight_of(100, 0.25) == 25);
  CHECK(weight_of(100, 0.01) == 1);
  CHECK(weight_of(1, 0.01) == 1);
  CHECK(weight_of(-5, 1) == 1);
  CHECK(weight_of(2'000'000'000, 1) == kWeightMax);
}

TEST_CASE("less to do is less for its weight", "[balance]") {
  const Candidate light{.name = "", .load = 2, .weight = 100};
  const Candidate strong{.name = "", .load = 5, .weight = 300};
  CHECK(has_less(strong, light));
  CHECK_FALSE(has_less(light, strong));
  CHECK_FALSE(has_less(light, light));
  const Candidate most{.name = "", .load = 0xffffffff, .weight = kWeightMax};
  const Candidate more{.name = "", .load = 0xffffffff, .weight = kWeightMax - 1};
  CHECK(has_less(most, more));
}

TEST_CASE("the member with the fewest tunnels is chosen", "[balance]") {
  std::vector<Candidate> candidates = members({100, 100, 100});
  candidates[0].load = 5;
  candidates[1].load = 3;
  candidates[2].load = 4;
  CHECK(choose_least(candidates) == 1);
  CHECK(candidates[1].turn == 0);  // It was nobody else's turn.
  open(candidates, 3);
  CHECK(loads(candidates) == std::vector<std::uint64_t>{5, 5, 5});
}

TEST_CASE("tunnels that stay are shared exactly", "[balance]") {
  std::vector<Candidate> equal = members({100, 100, 100, 100});
  open(equal, 10'000);
  CHECK(loads(equal) == std::vector<std::uint64_t>{2500, 2500, 2500, 2500});
  std::vector<Candidate> weighted = members({100, 200, 300});
  open(weighted, 6000);
  CHECK(loads(weighted) == std::vector<std::uint64_t>{1000, 2000, 3000});
}

TEST_CASE("equals have their turns, as often as their weights say", "[balance]") {
  // Tunnels that end before the next one begins: nobody ever has one.
  std::vector<Candidate> candidates = members({100, 200, 300});
  std::vector<int> chosen(3);
  for (int i = 0; i < 600; ++i) ++chosen[choose_least(candidates)];
  CHECK(chosen == std::vector<int>{100, 200, 300});
  std::vector<Candidate> two = members({100, 100});
  const std::size_t first = choose_least(two);
  CHECK(choose_least(two) == 1 - first);
  CHECK(choose_least(two) == first);
}

TEST_CASE("turns stay small, whoever is equal to whom", "[balance]") {
  std::mt19937 random(7);
  std::vector<Candidate> candidates = members({100, 100, 500, 1000, 300, 100});
  std::int32_t most = 0;
  for (int i = 0; i < 100'000; ++i) {
    for (Candidate& candidate : candidates) candidate.load = random() % 2 * candidate.weight;
    choose_least(candidates);
    std::int32_t sum = 0;
    for (const Candidate& candidate : candidates) {
      sum += candidate.turn;
      most = std::max(most, std::abs(candidate.turn));
    }
    REQUIRE(sum == 0);
  }
  CHECK(most < 10 * 2100);
}

TEST_CASE("a new member gets what others have more, and then its turn", "[balance]") {
  std::vector<Candidate> candidates = members({100, 100, 100});
  open(candidates, 30);
  candidates.push_back({.name = "", .load = 0, .weight = 100});
  open(candidates, 10);
  CHECK(loads(candidates) == std::vector<std::uint64_t>{10, 10, 10, 10});
}

}  // namespace
}  // namespace wsbalance::balance
