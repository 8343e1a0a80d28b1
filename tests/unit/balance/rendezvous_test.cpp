#include "balance/rendezvous.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "support/catch.h"

namespace wsbalance::balance {
namespace {

constexpr int kKeys = 10'000;

std::string key_of(int number) { return "203.0.113." + std::to_string(number); }

// Members as an administrator names them.
class Group {
 public:
  explicit Group(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i)
      names_.push_back("ws://10.0.0.7:" + std::to_string(3000 + i));
    for (const std::string& name : names_) candidates.push_back({.name = name, .weight = 100});
  }

  std::string_view member_of(int key, std::optional<unsigned> bound = {}) const {
    return candidates[choose_by_key(key_of(key), candidates, bound)].name;
  }
  std::vector<std::string_view> all_members() const {
    std::vector<std::string_view> found;
    for (int key = 0; key < kKeys; ++key) found.push_back(member_of(key));
    return found;
  }
  int share_of(std::size_t member) const {
    const auto members = all_members();
    return static_cast<int>(std::count(members.begin(), members.end(), names_[member]));
  }

  std::vector<Candidate> candidates;

 private:
  std::vector<std::string> names_;
};

int moved(const std::vector<std::string_view>& before, const std::vector<std::string_view>& after) {
  int count = 0;
  for (std::size_t i = 0; i < before.size(); ++i) count += before[i] != after[i];
  return count;
}

TEST_CASE("what machines agree on never changes", "[balance]") {
  CHECK(hash_text("") == 0xf52a15e9a9b5e89b);
  CHECK(hash_text("192.0.2.10") == 0x964fda910d5f9604);
  CHECK(hash_pair(1, 2) == 0xbeeb8da1658eec67);
  CHECK(distance_of(hash_text("192.0.2.10")) == 0xc4a7b9fd44273);
  const Group group(10);
  std::string numbers;
  for (int key = 0; key < 20; ++key) numbers += group.member_of(key).back();
  CHECK(numbers == "46662862040378568596");
}

TEST_CASE("the distance is a logarithm", "[balance]") {
  constexpr double kOne = 0x1p52;
  CHECK(distance_of(0) == std::uint64_t{64} << 52);
  CHECK(distance_of(1) == std::uint64_t{64} << 52);
  CHECK(distance_of(std::uint64_t{1} << 63) == std::uint64_t{1} << 52);
  CHECK(distance_of(~std::uint64_t{0}) > 0);
  std::mt19937_64 random(1);
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t hash = random() >> (i % 64);
    if (hash == 0) continue;
    const double expected = 64 - std::log2(static_cast<double>(hash));
    CHECK(static_cast<double>(distance_of(hash)) / kOne == Approx(expected).margin(1e-9));
    CHECK(distance_of(hash) >= distance_of(hash | 1));
  }
}

TEST_CASE("each member gets its share", "[balance]") {
  Group group(10);
  for (std::size_t i = 0; i < group.candidates.size(); ++i) {
    CHECK(group.share_of(i) > kKeys / 10 - 100);
    CHECK(group.share_of(i) < kKeys / 10 + 100);
  }
  Group weighted(3);
  for (std::uint32_t i = 0; i < 3; ++i) {
    weighted.candidates[i].weight = 100 * (i + 1);
  }
  for (std::size_t i = 0; i < 3; ++i) {
    const double expected = kKeys * static_cast<double>(i + 1) / 6;
    CHECK(weighted.share_of(i) == Approx(expected).margin(150));
  }
}

TEST_CASE("the order of members does not matter", "[balance]") {
  Group group(10);
  group.candidates[3].weight = 250;
  const auto before = group.all_members();
  std::reverse(group.candidates.begin(), group.candidates.end());
  CHECK(moved(before, group.all_members()) == 0);
  std::shuffle(group.candidates.begin(), group.candidates.end(), std::mt19937(5));
  CHECK(moved(before, group.all_members()) == 0);
}

TEST_CASE("a member that leaves moves its own share only, and has it again", "[balance]") {
  Group group(10);
  const auto before = group.all_members();
  for (std::size_t i = 0; i < group.candidates.size(); ++i) {
    const Candidate gone = group.candidates[i];
    const int its_share = group.share_of(i);
    group.candidates.erase(group.candidates.begin() + static_cast<std::ptrdiff_t>(i));
    const auto after = group.all_members();
    CHECK(std::count(after.begin(), after.end(), gone.name) == 0);
    CHECK(moved(before, after) == its_share);
    CHECK(its_share <= kKeys * 12 / 100);
    group.candidates.insert(group.candidates.begin() + static_cast<std::ptrdiff_t>(i), gone);
    CHECK(moved(before, group.all_members()) == 0);
  }
}

TEST_CASE("a smaller weight gives keys away and takes none from others", "[balance]") {
  Group group(4);
  const auto before = group.all_members();
  group.candidates[1].weight = 25;  // Slow start.
  const auto after = group.all_members();
  for (int key = 0; key < kKeys; ++key) {
    const auto at = static_cast<std::size_t>(key);
    if (before[at] != after[at]) CHECK(before[at] == group.candidates[1].name);
  }
  CHECK(group.share_of(1) == Approx(kKeys * 25.0 / 325).margin(100));
}

TEST_CASE("with a bound nobody has much more than its part", "[balance]") {
  Group group(4);
  group.candidates[0].weight = 200;
  for (const unsigned bound : {1u, 25u, 1000u}) {
    for (Candidate& candidate : group.candidates) candidate.load = 0;
    std::mt19937 random(1);
    for (std::uint64_t count = 1; count <= 2000; ++count) {
      // Half of all comes with one key.
      const int key = random() % 2 == 0 ? 0 : static_cast<int>(random() % kKeys);
      const std::size_t chosen = choose_by_key(key_of(key), group.candidates, bound);
      Candidate& candidate = group.candidates[chosen];
      ++candidate.load;
      const double part = static_cast<double>(count) * candidate.weight / 500;
      REQUIRE(static_cast<double>(candidate.load) <= std::ceil(part * (1 + bound / 100.0) + 1e-9));
    }
  }
}

TEST_CASE("a bound moves keys to the next by score, and only where it must", "[balance]") {
  Group group(4);
  for (Candidate& candidate : group.candidates) candidate.load = 10;
  const auto before = group.all_members();
  for (int key = 0; key < 200; ++key) {
    CHECK(group.member_of(key, 25) == before[static_cast<std::size_t>(key)]);
  }
  group.candidates[2].load = 14;
  Group others = group;
  others.candidates.erase(others.candidates.begin() + 2);
  for (int key = 0; key < 200; ++key) {
    const bool is_its = before[static_cast<std::size_t>(key)] == group.candidates[2].name;
    const auto expected = is_its ? others.member_of(key) : before[static_cast<std::size_t>(key)];
    CHECK(group.member_of(key, 20) == expected);
    CHECK(group.member_of(key) == before[static_cast<std::size_t>(key)]);
  }
}

TEST_CASE("one alone gets every key, whatever it has", "[balance]") {
  Group group(1);
  group.candidates[0].load = 1'000'000;
  CHECK(group.member_of(1, 1) == group.candidates[0].name);
}

}  // namespace
}  // namespace wsbalance::balance
