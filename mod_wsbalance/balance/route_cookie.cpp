#include "balance/route_cookie.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <stdexcept>

#include "balance/cookie.h"

namespace wsbalance::balance {
namespace {

constexpr std::string_view kDigits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::string_view kPurpose = "mod_wsbalance route 1";
constexpr std::size_t kCandidatesMax = 8;
constexpr std::size_t kMacBytes = 32;

constexpr std::size_t base64_size(std::size_t bytes) { return (bytes * 4 + 2) / 3; }

// Without padding (RFC 4648 5).
std::string to_base64(std::string_view bytes) {
  std::string text;
  text.reserve(base64_size(bytes.size()));
  std::uint32_t bits = 0;
  int count = 0;
  for (const char byte : bytes) {
    bits = bits << 8 | static_cast<unsigned char>(byte);
    for (count += 8; count >= 6; count -= 6) text += kDigits[bits >> (count - 6) & 63];
  }
  if (count > 0) text += kDigits[bits << (6 - count) & 63];
  return text;
}

// Only what to_base64() makes: there is one text for each value.
std::optional<std::string> from_base64(std::string_view text) {
  if (text.size() % 4 == 1) return std::nullopt;
  std::string bytes;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const std::size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(digit);
    count += 6;
    if (count >= 8) {
      count -= 8;
      bytes += static_cast<char>(bits >> count & 255);
    }
  }
  if ((bits & ((1u << count) - 1)) != 0) return std::nullopt;
  return bytes;
}

std::string signature(std::string_view route, std::string_view balancer, const std::string& key) {
  std::string text;
  for (const std::string_view part : {kPurpose, balancer}) text.append(part).append(1, '\0');
  text.append(route);
  std::array<unsigned char, EVP_MAX_MD_SIZE> mac;
  unsigned int size = 0;
  if (HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
           reinterpret_cast<const unsigned char*>(text.data()), text.size(), mac.data(),
           &size) == nullptr) {
    throw std::runtime_error("OpenSSL refuses HMAC-SHA256");
  }
  return to_base64({reinterpret_cast<const char*>(mac.data()), size});
}

bool are_equal(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace

bool is_route(std::string_view text) {
  return !text.empty() && text.size() <= kRouteBytesMax && std::ranges::all_of(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= ' ' && byte != 0x7f && byte != ';' && byte != ',';
  });
}

std::string make_route_cookie(std::string_view route, std::string_view balancer, RouteKeys keys) {
  std::string value = to_base64(route);
  if (!keys.empty()) value.append(".").append(signature(route, balancer, keys.front()));
  return value;
}

std::optional<FoundRoute> read_route_cookie(std::string_view value, std::string_view balancer,
                                            RouteKeys keys) {
  const std::size_t dot = value.find('.');
  const bool is_signed = dot != std::string_view::npos;
  if (is_signed == keys.empty()) return std::nullopt;
  const std::string_view encoded = value.substr(0, dot);
  if (encoded.size() > base64_size(kRouteBytesMax)) return std::nullopt;
  const std::optional<std::string> route = from_base64(encoded);
  if (!route || !is_route(*route)) return std::nullopt;
  if (!is_signed) return FoundRoute{*route, true};

  const std::string_view mac = value.substr(dot + 1);
  if (mac.size() != base64_size(kMacBytes)) return std::nullopt;
  const auto found = std::ranges::find_if(keys, [&](const std::string& key) {
    return are_equal(mac, signature(*route, balancer, key));
  });
  if (found == keys.end()) return std::nullopt;
  return FoundRoute{*route, found == keys.begin()};
}

std::optional<FoundRoute> find_route_cookie(std::string_view field, std::string_view name,
                                            std::string_view balancer, RouteKeys keys) {
  for (std::size_t count = 0; count < kCandidatesMax; ++count) {
    const auto value = next_cookie(field, name);
    if (!value) break;
    if (auto found = read_route_cookie(*value, balancer, keys)) return found;
  }
  return std::nullopt;
}

std::string default_route(std::string_view member_url) {
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a.
  for (const char c : member_url) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  std::string route;
  for (int shift = 60; shift >= 0; shift -= 4) route += "0123456789abcdef"[hash >> shift & 15];
  return route;
}

}  // namespace wsbalance::balance
