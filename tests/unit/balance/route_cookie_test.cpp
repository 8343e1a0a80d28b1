#include "balance/route_cookie.h"

#include <random>
#include <string>
#include <vector>

#include "support/catch.h"

namespace {

using namespace wsbalance::balance;

const std::string kBalancer = "balancer://app";
const std::vector<std::string> kUnsigned;
const std::vector<std::string> kKeys = {"0123456789abcdef0123456789abcdef",
                                        "an old key that still verifies, but no longer signs"};
const std::vector<std::string> kOldKeys = {kKeys[1]};

// The route that a value gives; empty: none.
std::string route_of(std::string_view value, RouteKeys keys,
                     const std::string& balancer = kBalancer) {
  const auto found = read_route_cookie(value, balancer, keys);
  return found ? found->route : "";
}

TEST_CASE("a route comes back out of its cookie", "[balance]") {
  for (const std::string& route :
       {std::string("a"), std::string("ab"), std::string("abc"), std::string("node.1"),
        std::string("with space"), std::string("gr\xc3\xbc\xc3\x9f"), std::string(95, '~')}) {
    for (const RouteKeys keys : {RouteKeys(kUnsigned), RouteKeys(kKeys)}) {
      const std::string value = make_route_cookie(route, kBalancer, keys);
      INFO(value);
      CHECK(value.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                    "0123456789-_.") == std::string::npos);
      const auto found = read_route_cookie(value, kBalancer, keys);
      REQUIRE(found);
      CHECK(found->route == route);
      CHECK(found->is_current);
    }
  }
}

TEST_CASE("RFC 4648 10 and RFC 2104: the format stays what it is", "[balance]") {
  CHECK(make_route_cookie("foobar", kBalancer, kUnsigned) == "Zm9vYmFy");
  // Python: hmac.digest(key, b"mod_wsbalance route 1\0balancer://app\0foobar", "sha256")
  CHECK(make_route_cookie("foobar", kBalancer, kKeys) ==
        "Zm9vYmFy.rQ7DXAV9LlhViGQRbW4VJmXwHt3UoYD0exx2EjpXL9g");
  CHECK(default_route("") == "cbf29ce484222325");
  CHECK(default_route("foobar") == "85944171f73967e8");
}

TEST_CASE("all keys verify, the first one signs", "[balance]") {
  const std::string value = make_route_cookie("a", kBalancer, kOldKeys);
  const auto found = read_route_cookie(value, kBalancer, kKeys);
  REQUIRE(found);
  CHECK(found->route == "a");
  CHECK_FALSE(found->is_current);
  CHECK(route_of(make_route_cookie("a", kBalancer, kKeys), kOldKeys).empty());
}

TEST_CASE("a signed cookie is of one balancer", "[balance]") {
  const std::string value = make_route_cookie("a", kBalancer, kKeys);
  CHECK(route_of(value, kKeys) == "a");
  CHECK(route_of(value, kKeys, "balancer://other").empty());
}

TEST_CASE("with keys, a cookie without a signature is none, and the other way round", "[balance]") {
  CHECK(route_of(make_route_cookie("a", kBalancer, kUnsigned), kKeys).empty());
  CHECK(route_of(make_route_cookie("a", kBalancer, kKeys), kUnsigned).empty());
}

TEST_CASE("whatever is changed, cut off or added, it does not verify", "[balance]") {
  const std::string value = make_route_cookie("member-1", kBalancer, kKeys);
  for (std::size_t at = 0; at < value.size(); ++at) {
    for (const char c : {'A', 'B', '.', '=', '\0', '\xff'}) {
      std::string changed = value;
      changed[at] = c;
      if (changed != value) CHECK(route_of(changed, kKeys).empty());
    }
    CHECK(route_of(value.substr(0, at), kKeys).empty());
    CHECK(route_of(value.substr(at + 1), kKeys).empty());
  }
  CHECK(route_of(value + "A", kKeys).empty());
  CHECK(route_of(value + "." + value, kKeys).empty());
}

TEST_CASE("there is one text for each route", "[balance]") {
  CHECK(route_of("YQ", kUnsigned) == "a");
  for (const char* bad : {"", ".", "YR", "YQ==", "Y", "YQ YQ", "YQ\n", "%YQ", "YQ."}) {
    INFO(bad);
    CHECK(route_of(bad, kUnsigned).empty());
  }
}

TEST_CASE("a route that mod_proxy_balancer would read as something else is none", "[balance]") {
  for (const std::string& bad :
       {std::string("a;b"), std::string("a,b"), std::string("a\r\nb"), std::string("a\0b", 3),
        std::string("\x7f"), std::string(96, 'a')}) {
    CHECK_FALSE(is_route(bad));
    CHECK(route_of(make_route_cookie(bad, kBalancer, kUnsigned), kUnsigned).empty());
    CHECK(route_of(make_route_cookie(bad, kBalancer, kKeys), kKeys).empty());
  }
  CHECK_FALSE(is_route(""));
}

TEST_CASE("of several cookies the first that verifies counts", "[balance]") {
  const std::string good = make_route_cookie("a", kBalancer, kKeys);
  const std::string field = "R=bad; R=YQ; S=" + good + "; R=\"" + good + "\"; R=worse";
  const auto found = find_route_cookie(field, "R", kBalancer, kKeys);
  REQUIRE(found);
  CHECK(found->route == "a");
  CHECK_FALSE(find_route_cookie(field, "T", kBalancer, kKeys));
}

TEST_CASE("a client cannot make us verify without end", "[balance]") {
  std::string field;
  for (int i = 0; i < 8; ++i) field += "R=" + make_route_cookie("b", kBalancer, kOldKeys) + ";";
  field += "R=" + make_route_cookie("a", kBalancer, {&kKeys[0], 1});
  CHECK_FALSE(find_route_cookie(field, "R", kBalancer, {&kKeys[0], 1}));
}

TEST_CASE("noise verifies nowhere", "[balance]") {
  std::mt19937 random(1);  // NOLINT: the same in each run.
  const std::string good = "R=" + make_route_cookie("a", kBalancer, kKeys);
  for (int round = 0; round < 20'000; ++round) {
    std::string field = good;
    const auto any = [&random](std::size_t below) { return random() % below; };
    for (std::size_t changes = 1 + any(4); changes > 0; --changes) {
      const std::size_t at = any(field.size());
      if (any(2) == 0) {
        field[at] = static_cast<char>(any(256));
      } else {
        field.erase(at, any(8));
        if (field.empty()) break;
      }
    }
    const auto found = find_route_cookie(field, "R", kBalancer, kKeys);
    if (found) CHECK(field.find(good.substr(2)) != std::string::npos);
    find_route_cookie(field, "R", kBalancer, kUnsigned);
  }
}

}  // namespace
