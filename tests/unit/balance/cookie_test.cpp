#include "balance/cookie.h"

#include <string>
#include <vector>

#include "support/catch.h"

namespace {

using namespace wsbalance::balance;

std::vector<std::string> all(std::string_view field, std::string_view name) {
  std::vector<std::string> found;
  while (const auto value = next_cookie(field, name)) found.emplace_back(*value);
  return found;
}

TEST_CASE("RFC 6265 4.2: cookies are found by their whole name", "[balance]") {
  using Values = std::vector<std::string>;
  CHECK(all("R=one", "R") == Values{"one"});
  CHECK(all("a=b; R=one; c=d", "R") == Values{"one"});
  CHECK(all("XR=no; RX=no; r=no; R=one", "R") == Values{"one"});
  CHECK(all("a=R=no; R=one=two", "R") == Values{"one=two"});
  CHECK(all("R=one; R=two;R=three", "R") == Values{"one", "two", "three"});
  CHECK(all("a=b, R=one", "R") == Values{"one"});  // Two fields, joined by httpd.
  CHECK(all("R=\"one\"", "R") == Values{"one"});
  CHECK(all(" \tR = one \t", "R") == Values{"one"});
  CHECK(all("R=", "R") == Values{""});
}

TEST_CASE("what is no cookie is passed over", "[balance]") {
  for (const char* field : {"", ";", ";;,;", "R", "=R", "=", " ; R ;", "\"R=x\"", "R;=one"}) {
    INFO(field);
    CHECK(all(field, "R").empty());
  }
  CHECK(all("R=\"", "R") == std::vector<std::string>{"\""});
  CHECK(all("R=\";R=two", "R") == std::vector<std::string>{"\"", "two"});
}

TEST_CASE("RFC 6265 4.1.1: paths and domains that would say more than they should are none",
          "[balance]") {
  for (const char* good : {"/", "/app/", "/a b=c,d"}) CHECK(is_cookie_path(good));
  for (const char* bad : {"", "app", "/;Domain=x", "/\r\n", "/\x7f", "/\xc3\xa4"}) {
    INFO(bad);
    CHECK_FALSE(is_cookie_path(bad));
  }
  CHECK_FALSE(is_cookie_path("/" + std::string(2000, 'a')));
  for (const char* good : {"localhost", "example.com", ".example.com", "a-b.c1"}) {
    INFO(good);
    CHECK(is_cookie_domain(good));
  }
  for (const char* bad : {"", ".", "a..b", "-a.b", "a-.b", "a.b.", "a b", "a;b", "a/b", "a_b"}) {
    INFO(bad);
    CHECK_FALSE(is_cookie_domain(bad));
  }
  CHECK_FALSE(is_cookie_domain(std::string(64, 'a').append(".example")));
}

TEST_CASE("RFC 6265 4.1.1: what is set", "[balance]") {
  CHECK(set_cookie_text("R", "x", {}, false) == "R=x; Path=/; HttpOnly; SameSite=Lax");
  CHECK(set_cookie_text("R", "x",
                        {.path = "/a",
                         .domain = "b.c",
                         .same_site = SameSite::none,
                         .is_http_only = false,
                         .max_age = std::chrono::seconds(60)},
                        true) == "R=x; Path=/a; Domain=b.c; Max-Age=60; Secure; SameSite=None");
  CHECK(set_cookie_text("R", "x", {.same_site = SameSite::off, .is_http_only = false}, false) ==
        "R=x; Path=/");
  CHECK(set_cookie_text("R", "x", {.same_site = SameSite::strict}, true) ==
        "R=x; Path=/; Secure; HttpOnly; SameSite=Strict");
}

}  // namespace
