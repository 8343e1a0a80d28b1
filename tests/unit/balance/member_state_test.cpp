#include "balance/member_state.h"

#include "support/catch.h"

namespace wsbalance::balance {
namespace {

using namespace std::chrono_literals;

constexpr MoveWishes kBoth{.closes_when_down = true, .closes_at_drain = true};

TEST_CASE("a state keeps what it says in a word, which is never 0", "[balance]") {
  for (const bool is_down : {false, true}) {
    for (const Duty duty : {Duty::full, Duty::draining, Duty::none}) {
      const MemberState state{.is_down = is_down, .duty = duty};
      CHECK(state.packed() != 0);
      CHECK(MemberState::unpacked(state.packed()) == state);
      CHECK(state.takes_all() == (!is_down && duty == Duty::full));
    }
  }
}

TEST_CASE("tunnels move only where the section says so", "[balance]") {
  for (const bool is_down : {false, true}) {
    for (const Duty duty : {Duty::full, Duty::draining, Duty::none}) {
      CHECK(move_for({is_down, duty}, {}) == Move::none);
    }
  }
  CHECK(move_for({}, kBoth) == Move::none);
  CHECK(move_for({.is_down = true}, {.closes_at_drain = true}) == Move::none);
  CHECK(move_for({.duty = Duty::none}, {.closes_when_down = true}) == Move::none);
}

TEST_CASE("what state moves which tunnels", "[balance]") {
  CHECK(move_for({.is_down = true}, kBoth) == Move::down);
  CHECK(move_for({.duty = Duty::draining}, kBoth) == Move::drain_earlier);
  CHECK(move_for({.duty = Duty::none}, kBoth) == Move::drain);
}

TEST_CASE("nothing is gained by a slow drain of a member that is down", "[balance]") {
  const MemberState state{.is_down = true, .duty = Duty::none};
  CHECK(move_for(state, kBoth) == Move::down);
  CHECK(move_for(state, {.closes_at_drain = true}) == Move::drain);
}

TEST_CASE("closes are due evenly", "[balance]") {
  CHECK(due_by(10, 0s, 10s) == 0);
  CHECK(due_by(10, 999ms, 10s) == 0);
  CHECK(due_by(10, 1s, 10s) == 1);
  CHECK(due_by(10, 9999ms, 10s) == 9);
  CHECK(due_by(10, 10s, 10s) == 10);
  CHECK(due_by(10, 1h, 10s) == 10);
  CHECK(due_by(3, 3333ms, 10s) == 0);
  CHECK(due_by(3, 3334ms, 10s) == 1);
}

TEST_CASE("without a time all are due at once; before the begin none is", "[balance]") {
  CHECK(due_by(10, 0s, 0s) == 10);
  CHECK(due_by(10, -1s, 10s) == 0);
}

TEST_CASE("many over a long time do not overflow", "[balance]") {
  CHECK(due_by(4'000'000'000u, 23h + 59min, 24h) == 3'997'222'222u);
}

}  // namespace
}  // namespace wsbalance::balance
