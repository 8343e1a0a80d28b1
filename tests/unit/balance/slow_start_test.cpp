#include "balance/slow_start.h"

#include "support/catch.h"

namespace {

using std::chrono::milliseconds;
using wsbalance::balance::slow_start_part;

TEST_CASE("a member that came back gets its share by and by", "[balance]") {
  CHECK(slow_start_part(milliseconds(0), milliseconds(10'000)) == 0.01);
  CHECK(slow_start_part(milliseconds(2'500), milliseconds(10'000)) == 0.25);
  CHECK(slow_start_part(milliseconds(9'999), milliseconds(10'000)) < 1);
  CHECK(slow_start_part(milliseconds(10'000), milliseconds(10'000)) == 1);
}

TEST_CASE("without slow start it has all of it at once", "[balance]") {
  CHECK(slow_start_part(milliseconds(0), milliseconds(0)) == 1);
}

}  // namespace
