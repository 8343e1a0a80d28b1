#include "httpd/broken_rules.h"

#include "support/catch.h"

namespace wsbalance::httpd {
namespace {

using relay::Side;

TEST_CASE("a rule is new once for each member and side", "[log]") {
  BrokenRules rules;
  CHECK(rules.take_new("a", Side::member, 0b0110) == 0b0110);
  CHECK(rules.take_new("a", Side::member, 0b0110) == 0);
  CHECK(rules.take_new("a", Side::member, 0b1010) == 0b1000);
  CHECK(rules.take_new("a", Side::client, 0b0010) == 0b0010);
  CHECK(rules.take_new("b", Side::member, 0b0010) == 0b0010);
  CHECK(rules.take_new("b", Side::member, 0) == 0);
}

TEST_CASE("members without end take no memory without end", "[log]") {
  BrokenRules rules;
  int told = 0;
  for (int i = 0; i < 5000; ++i) told += rules.take_new(std::to_string(i), Side::member, 2) != 0;
  CHECK(told == 1024);
  CHECK(rules.take_new("0", Side::member, 4) == 4);
}

}  // namespace
}  // namespace wsbalance::httpd
