// cookie.h - the fields Cookie and Set-Cookie (RFC 6265).
//
// Layer:    balance (pure).
// Threads:  stateless.
// Errors:   none; what cannot be found is not there.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace wsbalance::balance {

enum class SameSite { off, lax, strict, none };

// What stands behind name and value of a cookie that is set.
struct CookieAttributes {
  std::string path = "/";
  std::string domain{};  // Empty: the host that set it, and no other.
  SameSite same_site = SameSite::lax;
  bool is_http_only = true;
  std::optional<std::chrono::seconds> max_age{};  // Without it, it ends with the browser's session.
};

// May this stand behind Path=, Domain= (RFC 6265 4.1.1)? A path begins with "/"; a domain is a
// host name of two labels and more, or one.
bool is_cookie_path(std::string_view text);
bool is_cookie_domain(std::string_view text);

// The value of Set-Cookie. `name` and `value` are of the grammar.
std::string set_cookie_text(std::string_view name, std::string_view value,
                            const CookieAttributes& attributes, bool is_secure);

// Takes the next cookie's value off `rest`, what is left of a Cookie field, without quotes around
// it. A comma separates too: where several fields came, httpd joins them by one. Nothing: there is
// no other cookie of this name.
std::optional<std::string_view> next_cookie(std::string_view& rest, std::string_view name);

}  // namespace wsbalance::balance
