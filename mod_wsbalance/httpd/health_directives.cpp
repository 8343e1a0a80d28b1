#include "httpd/health_directives.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "httpd/balancer_config.h"
#include "httpd/directive_values.h"
#include "httpd/words.h"
#include "protocol/field.h"

namespace wsbalance::httpd {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// What may stand in a request line or in a field without breaking it.
bool is_visible(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) > ' ' && c != '\x7f';
  });
}

bool parse_count(const char* text, std::uint16_t& count) {
  std::uint64_t value = 0;
  if (!parse_number(text, 1, 1000, value)) return false;
  count = static_cast<std::uint16_t>(value);
  return true;
}

bool parse_method(const char* text, CheckMethod& method) {
  const auto found = value_of(kCheckWords, text);
  method = found.value_or(method);
  return found.has_value();
}

// "101" or "400,403".
bool parse_statuses(std::string_view text, std::vector<int>& statuses) {
  statuses.clear();
  for (;;) {
    const std::size_t end = std::min(text.find(','), text.size());
    std::uint64_t status = 0;
    if (!parse_number(std::string(text.substr(0, end)).c_str(), 101, 999, status)) return false;
    statuses.push_back(static_cast<int>(status));
    if (end == text.size()) return true;
    text.remove_prefix(end + 1);
  }
}

bool is_list_of_tokens(std::string_view text) {
  bool are_tokens = !text.empty();
  protocol::for_each_element(text, [&](std::string_view element) {
    are_tokens = are_tokens && protocol::is_token(element);
    return true;
  });
  return are_tokens;
}

// Takes one key=value in. Null, or what the value must be.
const char* set_option(const Option& option, HealthConfig& health) {
  const auto is = [&option](const char* key) { return is_word(option.key, key); };
  const char* const value = option.value;
  if (is("path")) {
    health.path = value;
    return *value == '/' && is_visible(value) ? nullptr : "begin with / and have no blank";
  }
  if (is("interval")) {
    return parse_time(value, milliseconds(100), std::chrono::hours(24), health.times.interval)
               ? nullptr
               : "be a time from 100ms to 24h";
  }
  if (is("timeout")) {
    return parse_time(value, milliseconds(10), std::chrono::minutes(10), health.times.timeout)
               ? nullptr
               : "be a time from 10ms to 10min";
  }
  if (is("rise") || is("fall")) {
    return parse_count(value, is("rise") ? health.rule.rise : health.rule.fall)
               ? nullptr
               : "be a number from 1 to 1000";
  }
  if (is("method")) {
    return parse_method(value, health.method) ? nullptr : "be upgrade, ping or tcp";
  }
  if (is("host") || is("origin")) {
    (is("host") ? health.host : health.origin) = value;
    return is_visible(value) ? nullptr : "have no blank and not be empty";
  }
  if (is("subprotocol")) {
    health.subprotocol = value;
    return is_list_of_tokens(value) ? nullptr
                                    : "be a subprotocol, or some with commas between them";
  }
  if (is("expect")) {
    return parse_statuses(value, health.expected)
               ? nullptr
               : "be statuses from 101 to 999 with commas between them";
  }
  return "be one of path=, interval=, timeout=, rise=, fall=, method=, host=, origin=, "
         "subprotocol= and expect=";
}

const char* parse_health_check(cmd_parms* cmd, const char* args, HealthConfig& health) {
  if (is_word(args, "off")) {
    health.is_on = false;
    return nullptr;
  }
  bool has_expect = false;
  Option option;
  while (next_option(cmd->pool, args, option)) {
    if (option.value == nullptr) return complain(cmd, "off, or options like interval=10s");
    if (const char* const wants = set_option(option, health)) {
      return apr_psprintf(cmd->pool, "%s: %s= must %s, not '%s=%s'", cmd->cmd->name, option.key,
                          wants, option.key, option.value);
    }
    has_expect = has_expect || is_word(option.key, "expect");
  }
  if (has_expect && health.method != CheckMethod::upgrade &&
      health.expected != std::vector<int>{101}) {
    return complain(cmd,
                    "without expect=, as that is for method=upgrade: a ping needs a 101, and "
                    "tcp asks for nothing");
  }
  return nullptr;
}

// "n in time [for time]"
bool parse_eject(apr_pool_t* pool, const char* args, balance::EjectRule& rule) {
  const auto next = [&] { return ap_getword_conf(pool, &args); };
  std::uint64_t failures = 0;
  if (!parse_number(next(), balance::kEjectClientsMin, balance::kFailuresMax, failures)) {
    return false;
  }
  rule.failures = static_cast<unsigned>(failures);
  if (!is_word(next(), "in") ||
      !parse_time(next(), milliseconds(100), std::chrono::hours(24), rule.in)) {
    return false;
  }
  const char* const word = next();
  if (*word == '\0') return true;
  return is_word(word, "for") &&
         parse_time(next(), milliseconds(100), std::chrono::hours(24), rule.out_for) &&
         *next() == '\0';
}

}  // namespace

const char* set_health_check(cmd_parms* cmd, void*, const char* args) {
  const char* error = nullptr;
  BalancerConfig* const balancer = balancer_section(cmd, error);
  if (balancer == nullptr) return error;
  HealthConfig health;
  error = parse_health_check(cmd, args, health);
  balancer->health = health;
  return error;
}

const char* set_eject(cmd_parms* cmd, void*, const char* args) {
  const char* error = nullptr;
  BalancerConfig* const balancer = balancer_section(cmd, error);
  if (balancer == nullptr) return error;
  balance::EjectRule rule;
  if (!is_word(args, "off") && !parse_eject(cmd->pool, args, rule)) {
    return complain(
        cmd,
        "off, or a number from 3 to 64, \"in\" and a time from 100ms to 24h, and \"for\" "
        "and another one if 30s are not right (e.g. 5 in 10s for 1min)");
  }
  balancer->eject = rule;
  return nullptr;
}

const char* set_eject_max(cmd_parms* cmd, void*, const char* text) {
  const char* error = nullptr;
  BalancerConfig* const balancer = balancer_section(cmd, error);
  if (balancer == nullptr) return error;
  const std::string_view all(text);
  std::uint64_t percent = 0;
  if (!all.ends_with('%') ||
      !parse_number(std::string(all.substr(0, all.size() - 1)).c_str(), 1, 100, percent)) {
    return complain(cmd, "a percentage from 1% to 100%", text);
  }
  balancer->eject_percent_max = static_cast<unsigned>(percent);
  return nullptr;
}

}  // namespace wsbalance::httpd
