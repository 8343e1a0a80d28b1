#include "httpd/log_text.h"

#include <string>
#include <utility>

#include "support/catch.h"

namespace wsbalance::httpd {
namespace {

template <typename Append>
std::string made(Append&& append) {
  std::string line = "before ";
  append(line);
  return line.substr(7);
}

std::string json(std::string_view text) {
  return made([text](std::string& line) { append_json_string(line, text); });
}

std::string item(std::string_view text) {
  return made([text](std::string& line) { append_log_item(line, text); });
}

using namespace std::string_view_literals;

TEST_CASE("RFC 8259 7: quotes, backslashes and control characters are escaped", "[log]") {
  CHECK(json("") == R"("")");
  CHECK(json("plain /path?") == R"("plain /path?")");
  CHECK(json("a\"b\\c") == R"("a\"b\\c")");
  CHECK(json("\b\n\r\t") == R"("\b\n\r\t")");
  CHECK(json("\0\x01\x1b\x1f\x7f"sv) == R"("\u0000\u0001\u001b\u001f\u007f")");
}

TEST_CASE("RFC 8259 8.1: a JSON string is UTF-8, whatever bytes it is made of", "[log]") {
  // Good ones stay: two, three and four bytes, the first and the last of each length.
  for (const std::string_view good :
       {"\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf",
        "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "gr\xc3\xbc\xc3\x9f"}) {
    CHECK(json(good) == '"' + std::string(good) + '"');
  }
  // RFC 3629 3: no overlong forms, no surrogates, nothing above U+10FFFF, no cut sequences.
  const std::string bad = R"(\ufffd)";
  CHECK(json("\x80") == '"' + bad + '"');
  CHECK(json("\xc0\xaf") == '"' + bad + bad + '"');
  CHECK(json("\xc1\xbf") == '"' + bad + bad + '"');
  CHECK(json("\xe0\x9f\xbf") == '"' + bad + bad + bad + '"');
  CHECK(json("\xed\xa0\x80") == '"' + bad + bad + bad + '"');
  CHECK(json("\xf0\x8f\xbf\xbf") == '"' + bad + bad + bad + bad + '"');
  CHECK(json("\xf4\x90\x80\x80") == '"' + bad + bad + bad + bad + '"');
  CHECK(json("\xf5\x80") == '"' + bad + bad + '"');
  CHECK(json("\xff") == '"' + bad + '"');
  CHECK(json("x\xc3") == "\"x" + bad + '"');
  CHECK(json("\xe2\x82x") == '"' + bad + bad + "x\"");
  CHECK(json("\xe2\x82\"") == '"' + bad + bad + "\\\"\"");
}

TEST_CASE("an item of a format is escaped as httpd does it", "[log]") {
  CHECK(item("") == "-");
  CHECK(item("plain /path") == "plain /path");
  CHECK(item("a\"b\\c") == R"(a\"b\\c)");
  CHECK(item("\b\n\r\t\v") == R"(\b\n\r\t\v)");
  CHECK(item("\0\x1b\x7f\xc3\xff"sv) == R"(\x00\x1b\x7f\xc3\xff)");
}

TEST_CASE("numbers and ids", "[log]") {
  const auto number = [](std::uint64_t n) {
    return made([n](std::string& line) { append_number(line, n); });
  };
  CHECK(number(0) == "0");
  CHECK(number(18446744073709551615u) == "18446744073709551615");
  const auto id = [](std::uint64_t n) {
    return made([n](std::string& line) { append_id(line, n); });
  };
  CHECK(id(0) == "0000000000000000");
  CHECK(id(0x0123456789abcdefu) == "0123456789abcdef");
}

TEST_CASE("ISO 8601 in UTC with milliseconds", "[log]") {
  const auto time = [](std::int64_t us) {
    return made([us](std::string& line) { append_time(line, us); });
  };
  CHECK(time(0) == "1970-01-01T00:00:00.000Z");
  CHECK(time(1709251199999999) == "2024-02-29T23:59:59.999Z");
  CHECK(time(1714566896007000) == "2024-05-01T12:34:56.007Z");
  CHECK(time(4102444800000000) == "2100-01-01T00:00:00.000Z");
}

}  // namespace
}  // namespace wsbalance::httpd
