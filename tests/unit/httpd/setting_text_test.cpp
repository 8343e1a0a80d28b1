#include "httpd/setting_text.h"

#include "support/catch.h"

namespace wsbalance::httpd {
namespace {

using namespace std::chrono_literals;

TEST_CASE("a time is written with the largest unit that leaves no rest", "[httpd]") {
  CHECK(time_text(0ms) == "0");
  CHECK(time_text(1ms) == "1ms");
  CHECK(time_text(1500ms) == "1500ms");
  CHECK(time_text(90s) == "90s");
  CHECK(time_text(120s) == "2min");
  CHECK(time_text(87'600h) == "87600h");
}

TEST_CASE("a timer of no time is off", "[httpd]") {
  CHECK(timer_text(0ms) == "off");
  CHECK(timer_text(30s) == "30s");
}

TEST_CASE("a size is written with the largest unit that leaves no rest", "[httpd]") {
  CHECK(size_text(0) == "0");
  CHECK(size_text(1023) == "1023");
  CHECK(size_text(128 * 1024) == "128k");
  CHECK(size_text(1025 * 1024) == "1025k");
  CHECK(size_text(std::uint64_t{1} << 40) == "1024g");
}

TEST_CASE("text is quoted where it would be more or less than one word", "[httpd]") {
  CHECK(quoted("logs/t.json") == "logs/t.json");
  CHECK(quoted("") == "\"\"");
  CHECK(quoted("a b") == "\"a b\"");
  CHECK(quoted("it's") == "\"it's\"");
  CHECK(quoted(R"(%{x}x "\t")") == R"("%{x}x \"\\t\"")");
}

}  // namespace
}  // namespace wsbalance::httpd
