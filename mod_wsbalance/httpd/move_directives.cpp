#include "httpd/move_directives.h"

#include <chrono>

#include "httpd/balancer_config.h"
#include "httpd/directive_values.h"

namespace wsbalance::httpd {
namespace {

using std::chrono::milliseconds;
using namespace std::chrono_literals;

// Decisions are taken twice a second.
constexpr milliseconds kIntervalMin = 1s;
constexpr milliseconds kIntervalMax = 1h;
constexpr milliseconds kDrainMax = 24h;

}  // namespace

const char* set_on_member_down(cmd_parms* cmd, void*, const char* text) {
  const char* error = nullptr;
  BalancerConfig* const balancer = balancer_section(cmd, error);
  if (balancer == nullptr) return error;
  const bool closes = is_word(text, "close");
  if (!closes && !is_word(text, "keep")) return complain(cmd, "keep or close", text);
  balancer->moves.closes_when_down = closes;
  return nullptr;
}

const char* set_on_drain(cmd_parms* cmd, void*, const char* text, const char* time) {
  const char* error = nullptr;
  BalancerConfig* const balancer = balancer_section(cmd, error);
  if (balancer == nullptr) return error;
  milliseconds over{};
  if (is_word(text, "keep") && time == nullptr) {
    balancer->moves.drain.reset();
  } else if (is_word(text, "close") && time != nullptr && parse_time(time, 0ms, kDrainMax, over)) {
    balancer->moves.drain = over;
  } else {
    return complain(cmd, "keep, or close and a time from 0 to 24h (e.g. close 30, close 5min)");
  }
  return nullptr;
}

const char* set_rebalance(cmd_parms* cmd, void*, const char* share, const char* interval) {
  const char* error = nullptr;
  BalancerConfig* const balancer = balancer_section(cmd, error);
  if (balancer == nullptr) return error;
  unsigned percent = 0;
  milliseconds every{};
  const bool is_off = is_word(share, "off") && interval == nullptr;
  if (!is_off && (interval == nullptr || !parse_percent(cmd->pool, share, 1, 100, percent) ||
                  !parse_time(interval, kIntervalMin, kIntervalMax, every))) {
    return complain(cmd,
                    "off, or a share from 1% to 100% and an interval from 1s to 1h (e.g. 10% 5s)");
  }
  balancer->moves.rebalance_percent = percent;
  balancer->moves.rebalance_every = every;
  return nullptr;
}

}  // namespace wsbalance::httpd
