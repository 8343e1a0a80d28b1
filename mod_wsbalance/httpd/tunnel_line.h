// tunnel_line.h - the line of WSBalanceLog: one JSON object, or what a format string says.
//
// Layer:    httpd (pure: no header of httpd or APR).
// Owns:     a parsed format.
// Threads:  parse() while the configuration is read; append() any.
// Errors:   parse() says in words what is wrong. append() allocates only where `line` has not
//           reserved enough.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "httpd/tunnel_info.h"

namespace wsbalance::httpd {

class TunnelLine {
 public:
  // One JSON object with all values.
  TunnelLine() = default;

  // Takes a format of httpd's kind: %{name}x is a value, %% a percent sign, \n, \t, \" and \\ what
  // they are in a LogFormat. Returns what is wrong with it, or "".
  std::string parse(std::string_view format);

  // Appends the line of a tunnel that has ended, and a line feed. `server_name`: of its virtual
  // host.
  void append(std::string& line, const TunnelInfo& info, std::string_view server_name) const;

 private:
  struct Item {
    std::string literal;  // Comes before the value.
    std::size_t value;    // Its number; kNoValue behind the last one.
  };
  static constexpr std::size_t kNoValue = ~std::size_t{0};

  std::vector<Item> items_;  // Empty: JSON.
};

}  // namespace wsbalance::httpd
