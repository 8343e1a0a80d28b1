#include "relay/group_orders.h"

#include <atomic>
#include <thread>
#include <vector>

#include "support/catch.h"

namespace wsbalance::relay {
namespace {

using namespace std::chrono_literals;

constexpr Clock::time_point kBegan{1000h};

GroupOrder order(std::uint32_t count, EndReason reason = EndReason::rebalance) {
  return {.reason = reason, .count = count};
}

TEST_CASE("an order is for so many tunnels of its group", "[relay][groups]") {
  GroupOrders orders(3);
  CHECK_FALSE(orders.take(1, kBegan));
  orders.give(1, order(2));
  CHECK_FALSE(orders.take(0, kBegan));
  CHECK_FALSE(orders.take(2, kBegan));
  CHECK(orders.take(1, kBegan) == EndReason::rebalance);
  CHECK(orders.take(1, kBegan) == EndReason::rebalance);
  CHECK_FALSE(orders.take(1, kBegan));
  CHECK(orders.take_back(1) == 0);
}

TEST_CASE("an order is replaced or taken back", "[relay][groups]") {
  GroupOrders orders(1);
  orders.give(0, order(5));
  REQUIRE(orders.take(0, kBegan));
  CHECK(orders.take_back(0) == 4);
  CHECK_FALSE(orders.take(0, kBegan));
  orders.give(0, order(5));
  orders.give(0, order(1, EndReason::member_down));
  CHECK(orders.take(0, kBegan) == EndReason::member_down);
  CHECK_FALSE(orders.take(0, kBegan));
}

TEST_CASE("an order may be for those that began before", "[relay][groups]") {
  GroupOrders orders(1);
  orders.give(0, {.reason = EndReason::member_drain, .count = 9, .before = kBegan + 5ms});
  CHECK(orders.take(0, kBegan + 4ms));
  CHECK_FALSE(orders.take(0, kBegan + 5ms));
  CHECK_FALSE(orders.take(0, Clock::time_point::max()));
  orders.give(0, order(1));
  CHECK(orders.take(0, Clock::time_point::max()));
}

TEST_CASE("an order for more than fit is for all", "[relay][groups]") {
  GroupOrders orders(1);
  orders.give(0, order(~0u));
  CHECK(orders.take(0, kBegan) == EndReason::rebalance);
  CHECK(orders.take_back(0) == GroupOrder::kAll - 1);
}

TEST_CASE("a group without a place has no orders", "[relay][groups]") {
  GroupOrders orders(2);
  orders.give(2, order(1));
  CHECK_FALSE(orders.take(2, kBegan));
  CHECK(orders.take_back(2) == 0);
}

TEST_CASE("threads that take together take no more than there is", "[relay][groups]") {
  constexpr int kTickets = 20'000;
  GroupOrders orders(1);
  orders.give(0, order(kTickets));
  std::atomic<int> taken{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      while (orders.take(0, kBegan)) ++taken;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(taken == kTickets);
}

}  // namespace
}  // namespace wsbalance::relay
