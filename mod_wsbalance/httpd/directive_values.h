// directive_values.h - the values that directives take, and what is said about a bad one.
//
// Layer:    httpd.
// Threads:  called while the configuration is read.
// Errors:   false, and `value` may have been written to; complain() has the sentence.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include "httpd/httpd_api.h"

namespace wsbalance::httpd {

// Reads a whole number within bounds.
[[nodiscard]] bool parse_number(const char* text, std::uint64_t low, std::uint64_t high,
                                std::uint64_t& value);

// Reads a size in bytes, with k, m or g behind it for powers of 1024.
[[nodiscard]] bool parse_size(const char* text, std::uint64_t low, std::uint64_t high,
                              std::uint64_t& value);

// Reads a time as httpd does: seconds, or with ms, s, min or h behind it.
[[nodiscard]] bool parse_time(const char* text, std::chrono::milliseconds low,
                              std::chrono::milliseconds high, std::chrono::milliseconds& value);

// The same, and "off" or a time of 0, which both give 0.
[[nodiscard]] bool parse_time_or_off(const char* text, std::chrono::milliseconds low,
                                     std::chrono::milliseconds high,
                                     std::chrono::milliseconds& value);

// Reads a whole number within bounds and a % behind it.
[[nodiscard]] bool parse_percent(apr_pool_t* pool, std::string_view text, unsigned low,
                                 unsigned high, unsigned& value);

// A word of a directive that takes key=value in any order (RAW_ARGS).
struct Option {
  const char* key = nullptr;
  const char* value = nullptr;  // Null: there was no "=".
};

// Takes the next one from `args`, quotes as everywhere in httpd. False: there is none.
[[nodiscard]] bool next_option(apr_pool_t* pool, const char*& args, Option& option);

// A word of a directive, in any case.
bool is_word(const char* text, const char* wanted);

// "<directive> must be <wants>, not '<got>'".
const char* complain(cmd_parms* cmd, const char* wants, const char* got);

// The same with all that stands behind the directive's name.
const char* complain(cmd_parms* cmd, const char* wants);

}  // namespace wsbalance::httpd
