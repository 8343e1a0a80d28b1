#include "protocol/frame_rules.h"

#include <set>
#include <string>

#include "support/catch.h"

using namespace wsbalance::protocol;

TEST_CASE("every rule has a text of its own and a reference", "[protocol]") {
  std::set<std::string> texts;
  for (unsigned i = 0; i < kFrameRules; ++i) {
    const FrameRuleText text = rule_text(static_cast<FrameRule>(i));
    CAPTURE(i, text.text);
    CHECK(texts.insert(text.text).second);
    const std::string reference = text.reference;
    CHECK((reference.starts_with("RFC 6455 ") || reference.starts_with("WSBalanceMax")));
  }
  CHECK(static_cast<unsigned>(FrameRule::message_size) + 1 == kFrameRules);
}

TEST_CASE("every rule has a bit of its own", "[protocol]") {
  unsigned all = 0;
  for (unsigned i = 0; i < kFrameRules; ++i) all += rule_bit(static_cast<FrameRule>(i));
  CHECK(all == (1u << kFrameRules) - 1);
}

TEST_CASE("a size is closed with 1009, another rule with 1002 (RFC 6455 7.4.1)", "[protocol]") {
  for (unsigned i = 1; i < kFrameRules; ++i) {
    const auto rule = static_cast<FrameRule>(i);
    const bool is_size = rule == FrameRule::frame_size || rule == FrameRule::message_size;
    CHECK(close_code_for(rule) == (is_size ? 1009 : 1002));
  }
}

TEST_CASE("the status codes that may be sent (RFC 6455 7.4)", "[protocol]") {
  std::set<unsigned> codes{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014};
  for (unsigned code = 3000; code < 5000; ++code) codes.insert(code);
  bool is_same = true;
  for (unsigned code = 0; code <= 0xffff; ++code) {
    is_same &= is_wire_close_code(static_cast<std::uint16_t>(code)) == codes.contains(code);
  }
  CHECK(is_same);
}
