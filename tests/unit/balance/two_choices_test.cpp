#include "balance/two_choices.h"

#include <algorithm>
#include <random>
#include <vector>

#include "support/catch.h"

namespace wsbalance::balance {
namespace {

constexpr std::uint32_t kMost = 0xffffffff;

TEST_CASE("the better one of two is chosen", "[balance]") {
  std::vector<Candidate> two(2);
  two[0].load = 3;
  two[1].load = 2;
  for (const std::uint32_t random : {0u, kMost / 2, kMost}) {
    CHECK(choose_of_two(two, {random, random}) == 1);
  }
  two[1].load = 4;
  CHECK(choose_of_two(two, {kMost, 0}) == 0);
}

TEST_CASE("of equals the first that is drawn is chosen", "[balance]") {
  const std::vector<Candidate> three(3);
  CHECK(choose_of_two(three, {0, 0}) == 0);
  CHECK(choose_of_two(three, {kMost / 2, 0}) == 1);
  CHECK(choose_of_two(three, {kMost, kMost}) == 2);
}

TEST_CASE("a member is never drawn twice, the last one is drawn too", "[balance]") {
  std::vector<Candidate> three(3);
  three[0].load = three[1].load = 5;
  CHECK(choose_of_two(three, {0, kMost}) == 2);
  three[2].load = 9;
  CHECK(choose_of_two(three, {0, 0}) == 0);
  CHECK(choose_of_two(three, {kMost, kMost}) == 1);
}

TEST_CASE("one alone", "[balance]") {
  CHECK(choose_of_two(std::vector<Candidate>(1), {kMost, kMost}) == 0);
}

TEST_CASE("tunnels are shared well, by weight", "[balance]") {
  std::mt19937 random(3);
  std::vector<Candidate> candidates(10);
  for (std::size_t i = 0; i < candidates.size(); ++i) candidates[i].weight = i < 5 ? 100 : 300;
  for (int i = 0; i < 20'000; ++i) {
    ++candidates[choose_of_two(candidates, {static_cast<std::uint32_t>(random()),
                                            static_cast<std::uint32_t>(random())})]
          .load;
  }
  for (const Candidate& candidate : candidates) {
    const double share = static_cast<double>(candidate.load) / candidate.weight;
    CHECK(share > 9.5);
    CHECK(share < 10.5);
  }
}

}  // namespace
}  // namespace wsbalance::balance
