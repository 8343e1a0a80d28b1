// field.h - header fields as names and values, and the list syntax that they share.
//
// Layer:    protocol (pure: bytes in, facts out).
// Threads:  stateless.
// Errors:   none; what cannot be found is not there.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace wsbalance::protocol {

// One field line of a head. Views into memory that the caller keeps alive.
struct Field {
  std::string_view name;
  std::string_view value;  // Without white space around it.
};

// All field lines of a head in the order in which they came; a name may stand in several.
using Fields = std::span<const Field>;

// Compares ASCII text without regard to case (RFC 9110 5.1).
bool equal_ignoring_case(std::string_view a, std::string_view b);

// Cuts spaces and tabs from both ends (OWS, RFC 9110 5.6.3).
std::string_view trim(std::string_view text);

// One or more characters that may stand in a token: a field name, a protocol (RFC 9110 5.6.2).
bool is_token(std::string_view text);

// How many field lines have this name, in any case.
std::size_t count_fields(Fields fields, std::string_view name);

// The value of the first field line of this name, or an empty view with data() == nullptr.
std::string_view first_value(Fields fields, std::string_view name);

// Does a list in the fields of this name have an element that begins with `prefix`? Any case.
bool has_element_with_prefix(Fields fields, std::string_view name, std::string_view prefix);

// Is `token` an element of the comma-separated lists in the fields of this name? Any case; an
// element's "/version" or ";parameters" do not belong to its token (RFC 9110 5.6.1, 7.8).
bool has_token(Fields fields, std::string_view name, std::string_view token);

// Calls visit(element) for each element of a comma-separated list, trimmed, empty ones left out;
// commas inside quoted strings do not separate. Stops and returns false when visit returns false.
template <typename Visit>
bool for_each_element(std::string_view list, Visit&& visit) {
  std::size_t begin = 0;
  bool quoted = false;
  for (std::size_t i = 0; i <= list.size(); ++i) {
    if (i < list.size()) {
      if (quoted && list[i] == '\\' && i + 1 < list.size()) {
        ++i;
        continue;
      }
      if (list[i] == '"') quoted = !quoted;
      if (quoted || list[i] != ',') continue;
    }
    const std::string_view element = trim(list.substr(begin, i - begin));
    begin = i + 1;
    if (!element.empty() && !visit(element)) return false;
  }
  return true;
}

}  // namespace wsbalance::protocol
