#include "balance/client_key.h"

#include <array>

#include "support/catch.h"

namespace {

using wsbalance::balance::address_key;
using wsbalance::balance::client_bytes;
using V4 = std::array<std::uint8_t, 4>;
using V6 = std::array<std::uint8_t, 16>;

TEST_CASE("an IPv4 address is its own key", "[balance]") {
  CHECK(address_key(V4{192, 0, 2, 10}) == "192.0.2.10");
  CHECK(address_key(V4{0, 0, 0, 255}) == "0.0.0.255");
}

TEST_CASE("also where it is mapped into IPv6", "[balance]") {
  CHECK(address_key(V6{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 10}) == "192.0.2.10");
  CHECK(address_key(V6{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 192, 0, 2, 10}) == "0:0:0:0::/64");
}

TEST_CASE("of an IPv6 address the network counts", "[balance]") {
  const V6 one{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0x1a, 1, 2, 3, 4, 5, 6, 7, 8};
  V6 other = one;
  other[8] = other[15] = 0xff;
  CHECK(address_key(one) == "2001:db8:0:1a::/64");
  CHECK(address_key(other) == address_key(one));
  other[7] = 0x1b;
  CHECK(address_key(other) == "2001:db8:0:1b::/64");
}

TEST_CASE("anything else has no key", "[balance]") {
  CHECK(client_bytes({}).empty());
  CHECK(address_key({}).empty());
  CHECK(address_key(std::array<std::uint8_t, 6>{}).empty());
}

}  // namespace
