#include "httpd/log_text.h"

#include <array>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <iterator>

namespace wsbalance::httpd {
namespace {

constexpr char kDigits[] = "0123456789abcdef";

void append_hex(std::string& line, unsigned char byte) {
  line += kDigits[byte >> 4];
  line += kDigits[byte & 0x0f];
}

void append_padded(std::string& line, unsigned number, unsigned digits) {
  for (unsigned unit = 1; digits > 1; --digits) {
    unit *= 10;
    if (number < unit) line += '0';
  }
  append_number(line, number);
}

// What stands behind a backslash for this character; 0: nothing.
char short_escape(char c) {
  switch (c) {
    case '"':
    case '\\':
      return c;
    case '\b':
      return 'b';
    case '\n':
      return 'n';
    case '\r':
      return 'r';
    case '\t':
      return 't';
    default:
      return 0;
  }
}

// The length of the UTF-8 sequence (RFC 3629 4) that `text` begins with; 0: it does not.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  unsigned char low = 0x80;  // Of the second byte.
  unsigned char high = 0xbf;
  std::size_t length = 0;
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) {
    length = 2;
  } else if (first >= 0xe0 && first <= 0xef) {
    length = 3;
    if (first == 0xe0) low = 0xa0;   // Longer than needed.
    if (first == 0xed) high = 0x9f;  // Surrogates.
  } else if (first >= 0xf0 && first <= 0xf4) {
    length = 4;
    if (first == 0xf0) low = 0x90;
    if (first == 0xf4) high = 0x8f;  // Above U+10FFFF.
  }
  if (length == 0 || text.size() < length || byte(1) < low || byte(1) > high) return 0;
  for (std::size_t i = 2; i < length; ++i) {
    if (byte(i) < 0x80 || byte(i) > 0xbf) return 0;
  }
  return length;
}

}  // namespace

void append_json_string(std::string& line, std::string_view text) {
  line += '"';
  while (!text.empty()) {
    const char c = text.front();
    const auto byte = static_cast<unsigned char>(c);
    std::size_t length = 1;
    if (const char escape = short_escape(c)) {
      line += '\\';
      line += escape;
    } else if (byte < 0x20 || byte == 0x7f) {
      line += "\\u00";
      append_hex(line, byte);
    } else if ((length = utf8_length(text)) != 0) {
      line += text.substr(0, length);
    } else {
      line += "\\ufffd";
      length = 1;
    }
    text.remove_prefix(length);
  }
  line += '"';
}

void append_log_item(std::string& line, std::string_view text) {
  if (text.empty()) line += '-';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (const char escape = c == '\v' ? 'v' : short_escape(c)) {
      line += '\\';
      line += escape;
    } else if (byte < 0x20 || byte >= 0x7f) {
      line += "\\x";
      append_hex(line, byte);
    } else {
      line += c;
    }
  }
}

void append_number(std::string& line, std::uint64_t number) {
  std::array<char, 20> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  line.append(digits.data(), end);
}

void append_id(std::string& line, std::uint64_t id) {
  for (int shift = 56; shift >= 0; shift -= 8) {
    append_hex(line, static_cast<unsigned char>(id >> shift));
  }
}

// Not gmtime_r(): it takes a lock of the C library.
void append_time(std::string& line, std::int64_t time_us) {
  using namespace std::chrono;
  const sys_time<microseconds> time{microseconds(time_us)};
  const auto day = floor<days>(time);
  const year_month_day date{day};
  const hh_mm_ss clock{floor<milliseconds>(time - day)};
  append_padded(line, static_cast<unsigned>(static_cast<int>(date.year())), 4);
  line += '-';
  append_padded(line, static_cast<unsigned>(date.month()), 2);
  line += '-';
  append_padded(line, static_cast<unsigned>(date.day()), 2);
  line += 'T';
  append_padded(line, static_cast<unsigned>(clock.hours().count()), 2);
  line += ':';
  append_padded(line, static_cast<unsigned>(clock.minutes().count()), 2);
  line += ':';
  append_padded(line, static_cast<unsigned>(clock.seconds().count()), 2);
  line += '.';
  append_padded(line, static_cast<unsigned>(clock.subseconds().count()), 3);
  line += 'Z';
}

}  // namespace wsbalance::httpd
