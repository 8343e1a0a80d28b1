#include "balance/health.h"

#include <string_view>
#include <vector>

#include "support/catch.h"

namespace {

using namespace wsbalance::balance;
using std::chrono::milliseconds;

// What a row of checks ("+" good, "-" bad) comes to: "d" where the member goes down, "u" where it
// comes back, "." else.
std::string changes(std::string_view checks, const HealthRule& rule, Health& health) {
  std::string found;
  for (const char check : checks) {
    health = Health::unpack(health.pack());
    const HealthChange change = take_check(health, check == '+', rule);
    found += change == HealthChange::went_down   ? 'd'
             : change == HealthChange::came_back ? 'u'
                                                 : '.';
  }
  return found;
}

TEST_CASE("a member goes down and comes back by checks in a row", "[balance]") {
  struct Case {
    const char* checks;
    const char* changes;
    HealthRule rule;
  };
  const auto c = GENERATE(values<Case>({
      {"+++++", ".....", {}},
      {"---", "..d", {}},
      {"--+--+--", "........", {}},
      {"--+---", ".....d", {}},
      {"---++", "..d.u", {}},
      {"---+-+-++", "..d.....u", {}},
      {"-----+", "..d...", {}},
      {"---++---", "..d.u..d", {}},
      {"-+-+", "dudu", {.rise = 1, .fall = 1}},
      {"-+++-",
       "d..u"
       "d",
       {.rise = 3, .fall = 1}},
  }));
  Health health;
  CHECK(changes(c.checks, c.rule, health) == c.changes);
  CHECK(health.is_checked);
}

TEST_CASE("a member that nobody has checked is up", "[balance]") {
  const Health health = Health::unpack(0);
  CHECK_FALSE(health.is_down);
  CHECK_FALSE(health.is_checked);
  CHECK(health.pack() == 0);
}

TEST_CASE("after a reload with smaller numbers the next check decides", "[balance]") {
  Health health;
  changes("-----", {.rise = 2, .fall = 10}, health);
  CHECK(changes("-", {.rise = 2, .fall = 2}, health) == "d");
}

constexpr CheckTimes kTimes{.interval = milliseconds(10'000), .timeout = milliseconds(2'000)};
constexpr milliseconds kNow{1'000'000};

TEST_CASE("first checks are spread over the interval", "[balance]") {
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(due_at(milliseconds(0), kNow, kTimes, i, 4) == kNow + milliseconds(2'500) * int(i));
  }
}

TEST_CASE("a check that is due, or will be, stays so", "[balance]") {
  for (const int after : {-600'000, 0, 1, 10'000}) {
    CHECK(due_at(kNow + milliseconds(after), kNow, kTimes, 3, 4) == kNow + milliseconds(after));
  }
}

TEST_CASE("a check that is due later than it can be is planned anew", "[balance]") {
  CHECK(due_at(kNow + milliseconds(10'001), kNow, kTimes, 1, 4) == kNow + milliseconds(2'500));
  // One that is under way may last longer than an interval.
  const CheckTimes often{.interval = milliseconds(100), .timeout = milliseconds(5'000)};
  const milliseconds claimed = kNow + claim_for(often);
  CHECK(claimed > kNow + often.timeout);
  CHECK(due_at(claimed, kNow, often, 1, 4) == claimed);
}

TEST_CASE("checks begin one interval after each other", "[balance]") {
  CHECK(due_after(kNow, kNow + milliseconds(3), kTimes) == kNow + kTimes.interval);
  CHECK(due_after(kNow, kNow + milliseconds(11'000), kTimes) == kNow + milliseconds(11'000));
}

}  // namespace
