#include "httpd/descriptor_plan.h"

#include "support/catch.h"

namespace wsbalance::httpd {
namespace {

// What 25 workers of the event MPM may have open.
constexpr std::uint64_t kConnections = 100;
constexpr std::uint64_t kAtOnce = kConnections + 4 * 25 + 16;

DescriptorPlan plan_for(std::uint64_t limit, std::uint64_t members = 2) {
  return plan_descriptors({.limit = limit,
                           .always = 30,
                           .connections = kConnections,
                           .threads = 25,
                           .members = members});
}

TEST_CASE("all that httpd can need is kept for it", "[descriptors]") {
  const DescriptorPlan plan = plan_for(8192);
  CHECK(plan.reserve == kAtOnce + 2 * 25);
  CHECK(plan.line == 8192 - plan.reserve);
  CHECK(plan.tunnels == (plan.line - 30) / 2);
  CHECK_FALSE(plan.is_short);
}

TEST_CASE("the pools of many members take half at most", "[descriptors]") {
  CHECK(plan_for(8192, 1000).reserve == (8192 - 30) / 2);
}

TEST_CASE("under a low limit some tunnels fit", "[descriptors]") {
  const DescriptorPlan plan = plan_for(256);
  CHECK(plan.reserve == (256 - 30) / 4 * 3);
  CHECK(plan.tunnels == (256 - 30 - plan.reserve) / 2);
  CHECK(plan.tunnels > 25);
  CHECK_FALSE(plan.is_short);
}

TEST_CASE("httpd alone may need more than there is", "[descriptors]") {
  CHECK(plan_for(30 + kAtOnce - 1).is_short);
  CHECK_FALSE(plan_for(30 + kAtOnce).is_short);
}

TEST_CASE("a limit below what is open leaves no tunnel", "[descriptors]") {
  const DescriptorPlan plan = plan_for(20);
  CHECK(plan.tunnels == 0);
  CHECK(plan.is_short);
}

}  // namespace
}  // namespace wsbalance::httpd
