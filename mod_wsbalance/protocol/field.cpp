#include "protocol/field.h"

#include <algorithm>

namespace wsbalance::protocol {
namespace {

constexpr char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// Not std::isalnum(), which asks the locale of the process.
constexpr bool is_token_character(char c) {
  return (c >= '0' && c <= '9') || (to_lower(c) >= 'a' && to_lower(c) <= 'z') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

}  // namespace

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return to_lower(x) == to_lower(y); });
}

std::string_view trim(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_token_character);
}

std::size_t count_fields(Fields fields, std::string_view name) {
  return static_cast<std::size_t>(
      std::count_if(fields.begin(), fields.end(),
                    [name](const Field& field) { return equal_ignoring_case(field.name, name); }));
}

std::string_view first_value(Fields fields, std::string_view name) {
  for (const Field& field : fields) {
    if (equal_ignoring_case(field.name, name)) return field.value;
  }
  return {};
}

bool has_element_with_prefix(Fields fields, std::string_view name, std::string_view prefix) {
  for (const Field& field : fields) {
    if (!equal_ignoring_case(field.name, name)) continue;
    const bool absent = for_each_element(field.value, [prefix](std::string_view element) {
      return !equal_ignoring_case(element.substr(0, prefix.size()), prefix);
    });
    if (!absent) return true;
  }
  return false;
}

bool has_token(Fields fields, std::string_view name, std::string_view token) {
  for (const Field& field : fields) {
    if (!equal_ignoring_case(field.name, name)) continue;
    const bool absent = for_each_element(field.value, [token](std::string_view element) {
      return !equal_ignoring_case(trim(element.substr(0, element.find_first_of("/;"))), token);
    });
    if (!absent) return true;
  }
  return false;
}

}  // namespace wsbalance::protocol
