// route_cookie.h - the cookie by which a client comes back to its member.
//
// Layer:    balance (pure; its source includes OpenSSL, for HMAC).
// Threads:  any.
// Errors:   a value that does not verify is none. Throws std::runtime_error if OpenSSL refuses
//           HMAC-SHA256.
//
// Value: base64url(route), and with keys "." base64url(HMAC-SHA256 of route and balancer). So it is
// of characters that need no quoting, and a signed one is worth nothing in another balancer.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace wsbalance::balance {

inline constexpr std::size_t kRouteBytesMax = 95;

// As given by the administrator; none: cookies are not signed.
using RouteKeys = std::span<const std::string>;

struct FoundRoute {
  std::string route;
  bool is_current = false;  // Not signed by an old key.
};

// Can mod_proxy_balancer be shown this route in a cookie? No control characters, no ";" or ",".
bool is_route(std::string_view text);

// The first key signs. `route`: is_route().
std::string make_route_cookie(std::string_view route, std::string_view balancer, RouteKeys keys);

// Every key verifies.
std::optional<FoundRoute> read_route_cookie(std::string_view value, std::string_view balancer,
                                            RouteKeys keys);

// The first in a Cookie field that verifies. Looks at some only where there are many.
std::optional<FoundRoute> find_route_cookie(std::string_view field, std::string_view name,
                                            std::string_view balancer, RouteKeys keys);

// The route of a member that has been given none: of its URL, so that it is the same on all
// machines. 16 letters and digits.
std::string default_route(std::string_view member_url);

}  // namespace wsbalance::balance
