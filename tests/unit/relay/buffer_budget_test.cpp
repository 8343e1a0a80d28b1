#include "relay/buffer_budget.h"

#include "support/catch.h"

namespace wsbalance::relay {
namespace {

TEST_CASE("above half of the budget each direction's limit falls to 8 KiB", "[relay]") {
  BufferBudget budget(1'000'000);
  CHECK(budget.limit_now(131072) == 131072);
  budget.change(0, 500'000);
  CHECK_FALSE(budget.is_tight());
  budget.change(0, 1);
  CHECK(budget.is_tight());
  CHECK(budget.limit_now(131072) == 8192);
  CHECK(budget.limit_now(100) == 100);
  budget.change(1, 0);
  CHECK(budget.limit_now(131072) == 131072);
}

TEST_CASE("there is no room at the maximum and beyond", "[relay]") {
  BufferBudget budget(1000);
  CHECK(budget.room() == 1000);
  budget.change(0, 400);
  CHECK(budget.room() == 600);
  budget.change(400, 1000);
  CHECK(budget.room() == 0);
  budget.change(0, 5);
  CHECK(budget.room() == 0);
  budget.change(1000, 0);
  budget.change(5, 0);
  CHECK(budget.bytes_held() == 0);
}

}  // namespace
}  // namespace wsbalance::relay
