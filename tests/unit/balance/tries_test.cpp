#include "balance/tries.h"

#include "support/catch.h"

namespace {

using namespace wsbalance::balance;
using std::chrono::milliseconds;

constexpr Outcome kAll[] = {Outcome::switched,     Outcome::answered,    Outcome::unreachable,
                            Outcome::unknown_name, Outcome::no_tls,      Outcome::late,
                            Outcome::ended,        Outcome::broke_rules, Outcome::full,
                            Outcome::unusable,     Outcome::client_gone, Outcome::own_fault};

bool is_one_of(Outcome outcome, std::initializer_list<Outcome> some) {
  for (const Outcome one : some) {
    if (one == outcome) return true;
  }
  return false;
}

TEST_CASE("what a member does without an answer moves the handshake on", "[balance]") {
  for (const Outcome outcome : kAll) {
    const bool stays = is_one_of(
        outcome, {Outcome::switched, Outcome::answered, Outcome::client_gone, Outcome::own_fault});
    CHECK(is_to_retry(outcome, 502, StatusList{}) == !stays);
  }
}

TEST_CASE("an answer moves it on if its status is in the list", "[balance]") {
  const StatusList usual = default_retry_statuses();
  for (int status = 200; status < 600; ++status) {
    CHECK(is_to_retry(Outcome::answered, status, usual) == (status >= 502 && status <= 504));
    CHECK_FALSE(is_to_retry(Outcome::answered, status, StatusList{}));
  }
  StatusList list;
  list.add(StatusList::kLow);
  list.add(StatusList::kHigh);
  CHECK(list.has(400));
  CHECK(list.has(599));
  CHECK_FALSE(list.has(401));
  CHECK_FALSE(list.has(399));
  CHECK_FALSE(list.has(600));
}

TEST_CASE("only a member that is down is put in error", "[balance]") {
  for (const Outcome outcome : kAll) {
    CHECK(puts_in_error(outcome) == is_one_of(outcome, {Outcome::unreachable, Outcome::unknown_name,
                                                        Outcome::no_tls, Outcome::ended}));
    // Who is not to blame has no failure, and whoever is put in error is to blame.
    CHECK(is_failure(outcome) ==
          !is_one_of(outcome, {Outcome::switched, Outcome::full, Outcome::unusable,
                               Outcome::client_gone, Outcome::own_fault}));
    CHECK(is_try(outcome) == !is_one_of(outcome, {Outcome::full, Outcome::unusable}));
  }
}

TEST_CASE("maxattempts= of mod_proxy is how often it is tried again", "[balance]") {
  CHECK(tries_for_attempts(4) == 5);
  CHECK(tries_for_attempts(0) == 1);
  CHECK(tries_for_attempts(-1) == 1);
}

TEST_CASE("tries end by their number", "[balance]") {
  const TryLimits limits{.tries = 3, .time = milliseconds(30'000)};
  CHECK(time_for_try(limits, 2, milliseconds(0), milliseconds(10'000)) == milliseconds(10'000));
  CHECK(time_for_try(limits, 3, milliseconds(0), milliseconds(10'000)) == std::nullopt);
  CHECK(time_for_try({.tries = 1}, 1, milliseconds(0), milliseconds(1)) == std::nullopt);
}

TEST_CASE("and by time: the last one has what is left", "[balance]") {
  const TryLimits limits{.tries = 100, .time = milliseconds(30'000)};
  CHECK(time_for_try(limits, 1, milliseconds(10'000), milliseconds(10'000)) ==
        milliseconds(10'000));
  CHECK(time_for_try(limits, 2, milliseconds(25'000), milliseconds(10'000)) == milliseconds(5'000));
  CHECK(time_for_try(limits, 2, milliseconds(29'999), milliseconds(10'000)) == milliseconds(1));
  CHECK(time_for_try(limits, 2, milliseconds(30'000), milliseconds(10'000)) == std::nullopt);
  CHECK(time_for_try(limits, 0, milliseconds(0), milliseconds(40'000)) == milliseconds(30'000));
}

}  // namespace
