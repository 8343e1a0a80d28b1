// setting_text.h - values as directives take them: what directive_values.h reads, written.
//
// Layer:    httpd.
// Threads:  stateless.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace wsbalance::httpd {

// "30s", "500ms", "8h".
std::string time_text(std::chrono::milliseconds time);

// The same; 0 is "off".
std::string timer_text(std::chrono::milliseconds time);

// "128k".
std::string size_text(std::uint64_t bytes);

// "10%".
std::string percent_text(unsigned percent);

// As it has to stand in a configuration: in quotes where it would be more than one word.
std::string quoted(std::string_view text);

}  // namespace wsbalance::httpd
