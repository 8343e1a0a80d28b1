#include "protocol/field.h"

#include <string>
#include <vector>

#include "support/catch.h"

using namespace wsbalance::protocol;

namespace {

std::vector<std::string> elements_of(std::string_view list) {
  std::vector<std::string> elements;
  for_each_element(list, [&](std::string_view element) {
    elements.emplace_back(element);
    return true;
  });
  return elements;
}

using Elements = std::vector<std::string>;

}  // namespace

TEST_CASE("names and tokens are compared in any case, in ASCII only", "[protocol]") {
  CHECK(equal_ignoring_case("uPGRADE", "Upgrade"));
  CHECK_FALSE(equal_ignoring_case("Upgrade", "Upgrad"));
  CHECK_FALSE(equal_ignoring_case("[", "{"));        // 32 apart, but no letters.
  CHECK_FALSE(equal_ignoring_case("\xc4", "\xe4"));  // A letter pair in Latin-1.
}

TEST_CASE("a token has one character or more of RFC 9110 5.6.2", "[protocol]") {
  CHECK(is_token("Sec-WebSocket-Key"));
  CHECK(is_token("!#$%&'*+-.^_`|~09azAZ"));
  CHECK_FALSE(is_token(""));
  for (const char c : std::string_view(" \t\0\x7f\x80\xff\"(),/:;<=>?@[\\]{}", 24)) {
    CAPTURE(static_cast<int>(c));
    CHECK_FALSE(is_token(std::string("a") + c));
  }
}

TEST_CASE("a list is cut at commas, empty elements are left out (RFC 9110 5.6.1.2)", "[protocol]") {
  CHECK(elements_of("a, b ,\tc") == Elements{"a", "b", "c"});
  CHECK(elements_of(",, a,,").size() == 1);
  CHECK(elements_of(" ").empty());
}

TEST_CASE("a comma in a quoted string does not cut a list (RFC 9110 5.6.4)", "[protocol]") {
  CHECK(elements_of(R"(a;x="1,2", b)") == Elements{R"(a;x="1,2")", "b"});
  CHECK(elements_of(R"(a;x="\",", b)") == Elements{R"(a;x="\",")", "b"});
}

TEST_CASE("a token is found in any of the fields of its name", "[protocol]") {
  const std::vector<Field> fields{{"connection", "keep-alive"}, {"CONNECTION", "x, Upgrade"}};
  CHECK(has_token(fields, "Connection", "upgrade"));
  CHECK(count_fields(fields, "Connection") == 2);
  CHECK(first_value(fields, "Connection") == "keep-alive");
  CHECK_FALSE(has_token(fields, "Connection", "keep"));
  CHECK(first_value(fields, "Upgrade").data() == nullptr);
}
