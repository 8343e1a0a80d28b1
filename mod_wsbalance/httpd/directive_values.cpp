#include "httpd/directive_values.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "protocol/field.h"

namespace wsbalance::httpd {

using std::chrono::milliseconds;

bool parse_number(const char* text, std::uint64_t low, std::uint64_t high, std::uint64_t& value) {
  if (!apr_isdigit(*text)) return false;
  char* end = nullptr;
  errno = 0;
  value = std::strtoull(text, &end, 10);
  return errno == 0 && *end == '\0' && value >= low && value <= high;
}

bool parse_size(const char* text, std::uint64_t low, std::uint64_t high, std::uint64_t& value) {
  if (!apr_isdigit(*text)) return false;
  char* end = nullptr;
  errno = 0;
  value = std::strtoull(text, &end, 10);
  if (errno != 0) return false;
  int shift = 0;
  if (*end != '\0') {
    const int unit = apr_tolower(*end++);
    shift = unit == 'k' ? 10 : unit == 'm' ? 20 : unit == 'g' ? 30 : -1;
    if (shift < 0 || *end != '\0') return false;
  }
  if (value > (std::numeric_limits<std::uint64_t>::max() >> shift)) return false;
  value <<= shift;
  return value >= low && value <= high;
}

bool parse_time(const char* text, milliseconds low, milliseconds high, milliseconds& value) {
  // ap_timeout_parameter_parse() takes a unit alone for 0, and anything behind a unit.
  const char* unit = text;
  while (apr_isdigit(*unit)) ++unit;
  if (unit == text) return false;
  while (apr_isalpha(*unit)) ++unit;
  apr_interval_time_t time = 0;
  if (*unit != '\0' || ap_timeout_parameter_parse(text, &time, "s") != APR_SUCCESS) return false;
  value = milliseconds(apr_time_as_msec(time));
  return value >= low && value <= high;
}

bool parse_time_or_off(const char* text, milliseconds low, milliseconds high, milliseconds& value) {
  if (is_word(text, "off")) {
    value = milliseconds::zero();
    return true;
  }
  return parse_time(text, milliseconds::zero(), high, value) &&
         (value == milliseconds::zero() || value >= low);
}

bool parse_percent(apr_pool_t* pool, std::string_view text, unsigned low, unsigned high,
                   unsigned& value) {
  if (!text.ends_with('%')) return false;
  std::uint64_t number = 0;
  if (!parse_number(apr_pstrmemdup(pool, text.data(), text.size() - 1), low, high, number)) {
    return false;
  }
  value = static_cast<unsigned>(number);
  return true;
}

bool next_option(apr_pool_t* pool, const char*& args, Option& option) {
  char* const word = ap_getword_conf(pool, &args);
  if (*word == '\0') return false;
  char* const equals = std::strchr(word, '=');
  if (equals != nullptr) *equals = '\0';
  option = {word, equals != nullptr ? equals + 1 : nullptr};
  return true;
}

bool is_word(const char* text, const char* wanted) {
  return protocol::equal_ignoring_case(text, wanted);
}

const char* complain(cmd_parms* cmd, const char* wants, const char* got) {
  return apr_psprintf(cmd->pool, "%s must be %s, not '%s'", cmd->cmd->name, wants, got);
}

const char* complain(cmd_parms* cmd, const char* wants) {
  return complain(cmd, wants, cmd->directive->args);
}

}  // namespace wsbalance::httpd
