// versions.h - which versions of httpd and OpenSSL go together with a module that was built with others.
//
// Layer:    httpd (pure: knows no httpd, makes no call).
// Threads:  stateless.
#pragma once

#include <compare>
#include <string>
#include <string_view>

namespace wsbalance::httpd {

struct Version {
  unsigned major = 0;
  unsigned minor = 0;
  unsigned patch = 0;

  auto operator<=>(const Version&) const = default;
};

// Of OPENSSL_VERSION_NUMBER or OpenSSL_version_num().
Version openssl_version(unsigned long number);

// Does a module that was built with `built` run with `running`? OpenSSL keeps its functions within a
// major version and adds some with each minor one; before 3.0 the third number is what now is minor.
bool is_openssl_fit(const Version& running, const Version& built);

// "OpenSSL 3.0.2 15 Mar 2022" as mod_ssl writes it: "OpenSSL/3.0.2".
std::string library_name(std::string_view version_text);

}  // namespace wsbalance::httpd
