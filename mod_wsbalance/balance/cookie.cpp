#include "balance/cookie.h"

#include <algorithm>

namespace wsbalance::balance {
namespace {

constexpr std::size_t kAttributeBytesMax = 1024;
constexpr std::size_t kDomainBytesMax = 253;
constexpr std::size_t kLabelBytesMax = 63;

bool is_alphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

// Of a host name (RFC 1123 2.1).
bool is_label(std::string_view text) {
  return !text.empty() && text.size() <= kLabelBytesMax && text.front() != '-' &&
         text.back() != '-' &&
         std::ranges::all_of(text, [](char c) { return is_alphanumeric(c) || c == '-'; });
}

std::string_view trim(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

}  // namespace

bool is_cookie_path(std::string_view text) {
  return !text.empty() && text.size() <= kAttributeBytesMax && text.front() == '/' &&
         std::ranges::all_of(text, [](char c) { return c >= ' ' && c < '\x7f' && c != ';'; });
}

bool is_cookie_domain(std::string_view text) {
  if (!text.empty() && text.front() == '.') text.remove_prefix(1);  // RFC 6265 5.2.3: ignored.
  if (text.size() > kDomainBytesMax) return false;
  for (;;) {
    const std::size_t dot = text.find('.');
    if (!is_label(text.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

std::string set_cookie_text(std::string_view name, std::string_view value,
                            const CookieAttributes& attributes, bool is_secure) {
  std::string text;
  text.append(name).append("=").append(value).append("; Path=").append(attributes.path);
  if (!attributes.domain.empty()) text.append("; Domain=").append(attributes.domain);
  if (attributes.max_age) {
    text.append("; Max-Age=").append(std::to_string(attributes.max_age->count()));
  }
  if (is_secure) text.append("; Secure");
  if (attributes.is_http_only) text.append("; HttpOnly");
  switch (attributes.same_site) {
    case SameSite::off:
      break;
    case SameSite::lax:
      text.append("; SameSite=Lax");
      break;
    case SameSite::strict:
      text.append("; SameSite=Strict");
      break;
    case SameSite::none:
      text.append("; SameSite=None");
      break;
  }
  return text;
}

std::optional<std::string_view> next_cookie(std::string_view& rest, std::string_view name) {
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find_first_of(";,"), rest.size());
    const std::string_view pair = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos || trim(pair.substr(0, equals)) != name) continue;
    std::string_view value = trim(pair.substr(equals + 1));
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
      value = value.substr(1, value.size() - 2);
    }
    return value;
  }
  return std::nullopt;
}

}  // namespace wsbalance::balance
