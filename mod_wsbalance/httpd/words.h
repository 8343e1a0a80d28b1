// words.h - the words that directives take, for reading them and for showing what holds.
//
// Layer:    httpd.
// Threads:  stateless.
#pragma once

#include <array>
#include <cstddef>
#include <optional>

#include "balance/cookie.h"
#include "httpd/health_config.h"
#include "httpd/sticky_config.h"
#include "protocol/field.h"
#include "protocol/frame_rules.h"
#include "relay/side.h"

namespace wsbalance::httpd {

template <typename Value>
struct Word {
  const char* text;
  Value value;
};
template <typename Value>
Word(const char*, Value) -> Word<Value>;  // clang 14 does not find it by itself.

inline constexpr std::array kStrictnessWords{Word{"strict", protocol::Strictness::strict},
                                             Word{"lenient", protocol::Strictness::lenient},
                                             Word{"off", protocol::Strictness::off}};
inline constexpr std::array kSideWords{Word{"client", relay::Side::client},
                                       Word{"member", relay::Side::member}};
inline constexpr std::array kCheckWords{Word{"tcp", CheckMethod::tcp},
                                        Word{"upgrade", CheckMethod::upgrade},
                                        Word{"ping", CheckMethod::ping}};
inline constexpr std::array kSecureWords{Word{"auto", SecureCookie::automatic},
                                         Word{"on", SecureCookie::on},
                                         Word{"off", SecureCookie::off}};
inline constexpr std::array kSameSiteWords{
    Word{"Lax", balance::SameSite::lax}, Word{"Strict", balance::SameSite::strict},
    Word{"None", balance::SameSite::none}, Word{"off", balance::SameSite::off}};
inline constexpr std::array kOnWords{Word{"on", true}, Word{"off", false}};

// In any case. Nothing: it is none of them.
template <typename Value, std::size_t count>
std::optional<Value> value_of(const std::array<Word<Value>, count>& words, const char* text) {
  for (const Word<Value>& word : words) {
    if (protocol::equal_ignoring_case(text, word.text)) return word.value;
  }
  return std::nullopt;
}

// There is one for each value.
template <typename Value, std::size_t count>
const char* word_of(const std::array<Word<Value>, count>& words, Value value) {
  for (const Word<Value>& word : words) {
    if (word.value == value) return word.text;
  }
  return "";
}

}  // namespace wsbalance::httpd
