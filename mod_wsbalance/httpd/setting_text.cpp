#include "httpd/setting_text.h"

namespace wsbalance::httpd {

using std::chrono::milliseconds;

std::string time_text(milliseconds time) {
  struct Unit {
    milliseconds length;
    const char* name;
  };
  static constexpr Unit kUnits[] = {{std::chrono::hours(1), "h"},
                                    {std::chrono::minutes(1), "min"},
                                    {std::chrono::seconds(1), "s"},
                                    {milliseconds(1), "ms"}};
  if (time == milliseconds::zero()) return "0";
  for (const Unit& unit : kUnits) {
    if (time % unit.length == milliseconds::zero()) {
      return std::to_string(time / unit.length) + unit.name;
    }
  }
  return {};  // The last unit fits always.
}

std::string timer_text(milliseconds time) {
  return time == milliseconds::zero() ? "off" : time_text(time);
}

std::string size_text(std::uint64_t bytes) {
  static constexpr const char* kUnits[] = {"", "k", "m", "g"};
  unsigned unit = 0;
  while (bytes != 0 && bytes % 1024 == 0 && unit < 3) {
    bytes /= 1024;
    ++unit;
  }
  return std::to_string(bytes) + kUnits[unit];
}

std::string percent_text(unsigned percent) { return std::to_string(percent) + '%'; }

// As ap_getword_conf() takes it apart again.
std::string quoted(std::string_view text) {
  if (!text.empty() && text.find_first_of(" \t\"'\\") == std::string_view::npos) {
    return std::string(text);
  }
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + '"';
}

}  // namespace wsbalance::httpd
