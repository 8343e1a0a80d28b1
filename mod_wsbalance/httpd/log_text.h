// log_text.h - values as the text of a log line: JSON (RFC 8259), and httpd's own way.
//
// Layer:    httpd (pure: no header of httpd or APR).
// Threads:  stateless.
// Errors:   none. Allocates only where `line` has not reserved enough.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace wsbalance::httpd {

// A JSON string with its quotes. The result is UTF-8 whatever the text is: bytes that are not
// become U+FFFD.
void append_json_string(std::string& line, std::string_view text);

// As ap_escape_logitem() does it: quotes, backslashes and whatever cannot be printed are escaped.
// Nothing is "-".
void append_log_item(std::string& line, std::string_view text);

void append_number(std::string& line, std::uint64_t number);

// 16 hexadecimal digits.
void append_id(std::string& line, std::uint64_t id);

// ISO 8601 in UTC with milliseconds: "2024-05-01T12:34:56.789Z". `time_us` since 1970.
void append_time(std::string& line, std::int64_t time_us);

}  // namespace wsbalance::httpd
