#include "httpd/versions.h"

#include "support/catch.h"

namespace wsbalance::httpd {
namespace {

constexpr unsigned long k110 = 0x1010009fUL;   // 1.1.0i
constexpr unsigned long k111 = 0x1010117fUL;   // 1.1.1w
constexpr unsigned long k302 = 0x30000020UL;   // 3.0.2
constexpr unsigned long k3019 = 0x30000130UL;  // 3.0.19
constexpr unsigned long k350 = 0x30500000UL;   // 3.5.0
constexpr unsigned long k400 = 0x40000000UL;

bool is_fit(unsigned long running, unsigned long built) {
  return is_openssl_fit(openssl_version(running), openssl_version(built));
}

TEST_CASE("OpenSSL's number holds its version, by two schemes", "[versions]") {
  CHECK(openssl_version(k111) == Version{1, 1, 1});
  CHECK(openssl_version(k302) == Version{3, 0, 2});
  CHECK(openssl_version(k3019) == Version{3, 0, 19});
  CHECK(openssl_version(k350) == Version{3, 5, 0});
}

TEST_CASE("an OpenSSL fits that has all functions of the one built with", "[versions]") {
  CHECK(is_fit(k302, k302));
  CHECK(is_fit(k350, k302));
  CHECK(is_fit(k111, k111));
  CHECK(is_fit(k111, k110));
  SECTION("its letter, or third number since 3.0, does not matter") {
    CHECK(is_fit(k302, k3019));
    CHECK(is_fit(0x1010100fUL, k111));
  }
  SECTION("not an older minor version") {
    CHECK_FALSE(is_fit(k302, k350));
    CHECK_FALSE(is_fit(k110, k111));
  }
  SECTION("not another major version, older or newer") {
    CHECK_FALSE(is_fit(k111, k302));
    CHECK_FALSE(is_fit(k302, k111));
    CHECK_FALSE(is_fit(k400, k350));
  }
}

TEST_CASE("versions are ordered by major, minor, patch", "[versions]") {
  CHECK(Version{2, 4, 52} < Version{2, 4, 58});
  CHECK(Version{2, 4, 58} < Version{2, 5, 0});
  CHECK(Version{2, 4, 9} < Version{2, 4, 10});
  CHECK_FALSE(Version{2, 4, 58} < Version{2, 4, 58});
}

TEST_CASE("a library's name is as mod_ssl writes it", "[versions]") {
  CHECK(library_name("OpenSSL 3.0.2 15 Mar 2022") == "OpenSSL/3.0.2");
  CHECK(library_name("OpenSSL 1.1.1w  11 Sep 2023") == "OpenSSL/1.1.1w");
  CHECK(library_name("LibreSSL 3.8.2") == "LibreSSL/3.8.2");
  CHECK(library_name("other") == "other");
  CHECK(library_name("").empty());
}

}  // namespace
}  // namespace wsbalance::httpd
