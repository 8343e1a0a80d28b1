#include "httpd/balancer_directives.h"

#include <chrono>
#include <cstdint>

#include "httpd/balancer_config.h"
#include "httpd/directive_values.h"

namespace wsbalance::httpd {

using std::chrono::milliseconds;

namespace {

constexpr unsigned kHashBoundMax = 1000;
constexpr const char* kRetryOnWants = "statuses from 400 to 599 (e.g. 502 503 504) or none";

}  // namespace

const char* set_slow_start(cmd_parms* cmd, void*, const char* text) {
  const char* error = nullptr;
  BalancerConfig* const balancer = balancer_section(cmd, error);
  if (balancer == nullptr) return error;
  milliseconds value{};
  if (!parse_time_or_off(text, milliseconds(100), std::chrono::hours(24), value)) {
    return complain(cmd, "off or a time from 100ms to 24h (e.g. 60, 5min)", text);
  }
  balancer->slow_start = value;
  return nullptr;
}

const char* set_hash_key(cmd_parms* cmd, void*, const char* text) {
  const char* error = nullptr;
  BalancerConfig* const balancer = balancer_section(cmd, error);
  if (balancer == nullptr) return error;
  balancer->hash_key_text = text;
  balancer->hash_key = ap_expr_parse_cmd(cmd, text, AP_EXPR_FLAG_STRING_RESULT, &error, nullptr);
  if (balancer->hash_key == nullptr || error != nullptr) {
    return apr_psprintf(cmd->pool,
                        "%s must be an expression that gives a text (e.g. %%{HTTP:X-User}): %s, "
                        "in '%s'",
                        cmd->cmd->name, error != nullptr ? error : "it has none", text);
  }
  return nullptr;
}

const char* set_hash_bound(cmd_parms* cmd, void*, const char* text) {
  const char* error = nullptr;
  BalancerConfig* const balancer = balancer_section(cmd, error);
  if (balancer == nullptr) return error;
  unsigned percent = 0;
  if (is_word(text, "off")) {
    balancer->hash_bound_percent.reset();
  } else if (parse_percent(cmd->pool, text, 1, kHashBoundMax, percent)) {
    balancer->hash_bound_percent = percent;
  } else {
    return complain(cmd, "off or a percentage from 1% to 1000% (e.g. 25%)", text);
  }
  return nullptr;
}

const char* set_retry_on(cmd_parms* cmd, void*, const char* args) {
  const char* error = nullptr;
  BalancerConfig* const balancer = balancer_section(cmd, error);
  if (balancer == nullptr) return error;
  balance::StatusList list;
  const char* const all = args;
  int words = 0;
  bool is_none = false;
  while (*args != '\0') {
    const char* const word = ap_getword_conf(cmd->pool, &args);
    std::uint64_t status = 0;
    if (is_word(word, "none")) {
      is_none = true;
    } else if (parse_number(word, balance::StatusList::kLow, balance::StatusList::kHigh, status)) {
      list.add(static_cast<int>(status));
    } else {
      return complain(cmd, kRetryOnWants, all);
    }
    ++words;
  }
  if (words == 0 || (is_none && words > 1)) return complain(cmd, kRetryOnWants, all);
  balancer->retry_on = list;
  return nullptr;
}

const char* set_tries(cmd_parms* cmd, void*, const char* number, const char* time) {
  const char* error = nullptr;
  BalancerConfig* const balancer = balancer_section(cmd, error);
  if (balancer == nullptr) return error;
  balance::TryLimits limits;
  std::uint64_t tries = 0;
  if (!parse_number(number, 1, 100, tries)) {
    return complain(cmd, "a number of tries from 1 to 100, and a time", number);
  }
  limits.tries = static_cast<unsigned>(tries);
  if (time != nullptr && !parse_time(time, milliseconds(100), std::chrono::hours(1), limits.time)) {
    return complain(cmd, "a number of tries and a time from 100ms to 1h (e.g. 3 30s)", time);
  }
  balancer->tries = limits;
  return nullptr;
}

const char* set_max_per_member(cmd_parms* cmd, void*, const char* text) {
  const char* error = nullptr;
  BalancerConfig* const balancer = balancer_section(cmd, error);
  if (balancer == nullptr) return error;
  std::uint64_t value = 0;
  if (!parse_number(text, 0, 1'000'000, value)) {
    return complain(cmd, "a number from 1 to 1000000, or 0 for no limit", text);
  }
  balancer->tunnels_per_member_max = static_cast<std::uint32_t>(value);
  return nullptr;
}

}  // namespace wsbalance::httpd
