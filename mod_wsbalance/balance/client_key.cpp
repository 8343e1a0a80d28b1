#include "balance/client_key.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace wsbalance::balance {
namespace {

constexpr std::size_t kBytes4 = 4;
constexpr std::size_t kBytes6 = 16;
constexpr std::size_t kNetworkBytes = 8;
constexpr std::array<std::uint8_t, kBytes6 - kBytes4> kMapped{0, 0, 0, 0, 0,    0,
                                                              0, 0, 0, 0, 0xff, 0xff};

void append(std::string& text, unsigned number, int base) {
  std::array<char, 8> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number, base).ptr;
  text.append(digits.data(), end);
}

}  // namespace

std::span<const std::uint8_t> client_bytes(std::span<const std::uint8_t> address) noexcept {
  if (address.size() == kBytes4) return address;
  if (address.size() != kBytes6) return {};
  const bool is_mapped = std::equal(kMapped.begin(), kMapped.end(), address.begin());
  return is_mapped ? address.last(kBytes4) : address.first(kNetworkBytes);
}

std::string address_key(std::span<const std::uint8_t> address) {
  const std::span<const std::uint8_t> bytes = client_bytes(address);
  std::string text;
  if (bytes.size() == kBytes4) {
    for (const std::uint8_t byte : bytes) {
      if (!text.empty()) text += '.';
      append(text, byte, 10);
    }
  } else if (!bytes.empty()) {
    for (std::size_t i = 0; i < kNetworkBytes; i += 2) {
      append(text, unsigned{bytes[i]} << 8 | bytes[i + 1], 16);
      text += ':';
    }
    text += ":/64";
  }
  return text;
}

}  // namespace wsbalance::balance
