#include "httpd/shortage.h"

#include "support/catch.h"

namespace wsbalance::httpd {
namespace {

constexpr std::int64_t kQuiet = Shortage::kQuietMs;

TEST_CASE("a shortage is told when it begins, and when nothing was refused for a while", "[log]") {
  Shortage shortage;
  CHECK(shortage.grant(5) == 0);
  CHECK(shortage.refuse(10));
  CHECK(shortage.is_on());
  CHECK_FALSE(shortage.refuse(20));
  CHECK(shortage.grant(20 + kQuiet - 1) == 0);
  CHECK(shortage.is_on());
  CHECK(shortage.grant(20 + kQuiet) == 2);
  CHECK_FALSE(shortage.is_on());
  CHECK(shortage.grant(20 + 2 * kQuiet) == 0);
}

TEST_CASE("each shortage is counted for itself", "[log]") {
  Shortage shortage;
  CHECK(shortage.refuse(0));
  CHECK(shortage.grant(kQuiet) == 1);
  CHECK(shortage.refuse(kQuiet));
  CHECK(shortage.grant(2 * kQuiet) == 1);
}

}  // namespace
}  // namespace wsbalance::httpd
