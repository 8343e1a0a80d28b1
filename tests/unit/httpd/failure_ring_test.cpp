#include "httpd/failure_ring.h"

#include <algorithm>
#include <memory>
#include <set>

#include "support/catch.h"

namespace {

using std::chrono::milliseconds;
using wsbalance::httpd::FailureRing;
namespace balance = wsbalance::balance;

TEST_CASE("failures are read as they were added", "[rows]") {
  FailureRing ring;
  FailureRing::List list;
  CHECK(ring.read(list) == 0);
  // A time of some years, and more bits of a hash than there is room for.
  ring.add(milliseconds(300'000'000'000), 0xff000001);
  ring.add(milliseconds(5), 0);
  REQUIRE(ring.read(list) == 2);
  CHECK(list[0].at == milliseconds(300'000'000'000));
  CHECK(list[0].client == 1);
  CHECK(list[1].at == milliseconds(5));
  CHECK(list[1].client == 0);
  ring.clear();
  CHECK(ring.read(list) == 0);
}

TEST_CASE("the newest failures are kept", "[rows]") {
  FailureRing ring;
  for (int i = 1; i <= 1000; ++i) ring.add(milliseconds(i), 7);
  FailureRing::List list;
  REQUIRE(ring.read(list) == balance::kFailuresMax);
  const auto oldest = std::min_element(list.begin(), list.end(),
                                       [](const auto& a, const auto& b) { return a.at < b.at; });
  CHECK(oldest->at == milliseconds(1000 - int(balance::kFailuresMax) + 1));
}

}  // namespace
