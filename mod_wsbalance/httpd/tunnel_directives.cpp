#include "httpd/tunnel_directives.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "httpd/config.h"
#include "httpd/directive_values.h"
#include "httpd/words.h"
#include "relay/side.h"

namespace wsbalance::httpd {
namespace {

using relay::Side;
using std::chrono::milliseconds;
using std::chrono::seconds;
using namespace std::chrono_literals;

constexpr milliseconds kTimerMin = 100ms;
constexpr milliseconds kTimerMax = 87'600h;  // Ten years.
constexpr milliseconds kPingIntervalMax = 24h;
constexpr milliseconds kPingTimeoutMax = 1h;
constexpr milliseconds kCloseTimeoutMax = 1h;
// Below what Linux takes: 32767 seconds, 127 probes, and 2^31 milliseconds for TCP_USER_TIMEOUT.
constexpr seconds kKeepAliveIdleMax = 9h;
constexpr seconds kKeepAliveIntervalMax = 1h;
constexpr std::uint64_t kKeepAliveProbesMax = 100;
constexpr std::uint64_t kFrameBytesMax = std::uint64_t{1} << 40;
constexpr std::uint64_t kMessageRateMax = 1'000'000;
constexpr std::uint64_t kByteRateMax = std::uint64_t{2} << 30;

DirConfig& of(void* config) { return *static_cast<DirConfig*>(config); }

std::optional<Side> side_named(const char* text) { return value_of(kSideWords, text); }

const char* set_timer(cmd_parms* cmd, std::optional<milliseconds>& timer, const char* text) {
  milliseconds value{};
  if (!parse_time_or_off(text, kTimerMin, kTimerMax, value)) {
    return complain(cmd, "off or a time from 100ms to 87600h (e.g. 90 for 90 seconds, 10min, 8h)",
                    text);
  }
  timer = value;
  return nullptr;
}

// The words behind the interval: [timeout] [client|member|both].
std::optional<PingConfig> parse_ping(const char* interval, const char* second, const char* third) {
  PingConfig ping;
  milliseconds every{};
  if (!parse_time_or_off(interval, kTimerMin, kPingIntervalMax, every)) return std::nullopt;
  if (every == milliseconds::zero()) return second == nullptr ? std::optional(ping) : std::nullopt;
  const char* sides = third;
  if (second != nullptr && !parse_time(second, kTimerMin, kPingTimeoutMax, ping.timeout)) {
    if (third != nullptr) return std::nullopt;
    ping.timeout = PingConfig{}.timeout;
    sides = second;
  }
  if (sides == nullptr || is_word(sides, "both")) {
    ping.interval = {every, every};
    return ping;
  }
  const std::optional<Side> side = side_named(sides);
  if (!side) return std::nullopt;
  ping.interval[static_cast<std::size_t>(*side)] = every;
  return ping;
}

bool parse_jitter(apr_pool_t* pool, std::string_view text, std::uint8_t& percent) {
  unsigned value = 0;
  if (!parse_percent(pool, text, 0, 100, value)) return false;
  percent = static_cast<std::uint8_t>(value);
  return true;
}

bool parse_whole_seconds(const char* text, seconds high, std::uint16_t& value) {
  milliseconds time{};
  if (!parse_time(text, 1s, high, time) || time % 1s != 0ms) return false;
  value = static_cast<std::uint16_t>(time / 1s);
  return true;
}

std::optional<relay::KeepAliveSettings> parse_keep_alive(const char* idle, const char* interval,
                                                         const char* probes) {
  relay::KeepAliveSettings keep_alive;
  if (interval == nullptr) {
    if (is_word(idle, "on")) return keep_alive;
    if (!is_word(idle, "off")) return std::nullopt;
    return relay::KeepAliveSettings{.idle_seconds = 0, .interval_seconds = 0, .probes = 0};
  }
  std::uint64_t count = 0;
  if (probes == nullptr || !parse_whole_seconds(idle, kKeepAliveIdleMax, keep_alive.idle_seconds) ||
      !parse_whole_seconds(interval, kKeepAliveIntervalMax, keep_alive.interval_seconds) ||
      !parse_number(probes, 1, kKeepAliveProbesMax, count)) {
    return std::nullopt;
  }
  keep_alive.probes = static_cast<std::uint8_t>(count);
  return keep_alive;
}

const char* set_frame_limit(cmd_parms* cmd, std::optional<std::uint64_t>& limit, const char* text) {
  std::uint64_t value = 0;
  if (!parse_size(text, 0, kFrameBytesMax, value)) {
    return complain(cmd, "a size from 1 to 1024g (e.g. 64k), or 0 for no limit", text);
  }
  limit = value;
  return nullptr;
}

// How the numbers of a rate are written.
struct RateSyntax {
  bool (*parse)(const char* text, std::uint64_t low, std::uint64_t high, std::uint64_t& value);
  std::uint64_t high;
};

bool parse_rate_option(const char* text, const RateSyntax& syntax, relay::RateSettings& rate) {
  constexpr std::string_view kBurst = "burst=", kAction = "action=";
  if (ap_cstr_casecmpn(text, kBurst.data(), kBurst.size()) == 0) {
    std::uint64_t burst = 0;
    if (!syntax.parse(text + kBurst.size(), 1, syntax.high, burst)) return false;
    rate.burst = static_cast<std::uint32_t>(burst);
    return true;
  }
  if (ap_cstr_casecmpn(text, kAction.data(), kAction.size()) != 0) return false;
  const char* action = text + kAction.size();
  rate.closes = is_word(action, "close");
  return rate.closes || is_word(action, "throttle");
}

std::optional<relay::RateSettings> parse_rate(const char* text, const char* second,
                                              const char* third, const RateSyntax& syntax) {
  std::uint64_t per_second = 0;
  if (!syntax.parse(text, 0, syntax.high, per_second)) return std::nullopt;
  relay::RateSettings rate;
  if (per_second == 0) return second == nullptr ? std::optional(rate) : std::nullopt;
  rate.per_second = rate.burst = static_cast<std::uint32_t>(per_second);
  for (const char* option : {second, third}) {
    if (option != nullptr && !parse_rate_option(option, syntax, rate)) return std::nullopt;
  }
  return rate;
}

}  // namespace

const char* set_idle_timeout(cmd_parms* cmd, void* config, const char* text) {
  return set_timer(cmd, of(config).times.idle, text);
}

const char* set_data_timeout(cmd_parms* cmd, void* config, const char* text) {
  return set_timer(cmd, of(config).times.data_idle, text);
}

const char* set_ping(cmd_parms* cmd, void* config, const char* interval, const char* second,
                     const char* third) {
  const auto ping = parse_ping(interval, second, third);
  if (!ping) {
    return complain(cmd,
                    "off, or an interval from 100ms to 24h, then a timeout from 100ms to 1h if it "
                    "is not 10s, then client, member or both (e.g. 30s 10s client)");
  }
  of(config).times.ping = ping;
  return nullptr;
}

const char* set_lifetime(cmd_parms* cmd, void* config, const char* text, const char* jitter) {
  LifetimeConfig lifetime;
  if (!parse_time_or_off(text, kTimerMin, kTimerMax, lifetime.time) ||
      (jitter != nullptr && (lifetime.time == milliseconds::zero() ||
                             !parse_jitter(cmd->pool, jitter, lifetime.jitter_percent)))) {
    return complain(cmd,
                    "off, or a time from 100ms to 87600h and if wanted a jitter from 0% to 100% "
                    "(e.g. 1h 10%)");
  }
  of(config).times.lifetime = lifetime;
  return nullptr;
}

const char* set_close_timeout(cmd_parms* cmd, void* config, const char* text) {
  milliseconds value{};
  if (!parse_time(text, kTimerMin, kCloseTimeoutMax, value)) {
    return complain(cmd, "a time from 100ms to 1h (e.g. 5 for 5 seconds, 500ms, 1min)", text);
  }
  of(config).times.close_timeout = value;
  return nullptr;
}

const char* set_keep_alive(cmd_parms* cmd, void* config, const char* idle, const char* interval,
                           const char* probes) {
  const auto keep_alive = parse_keep_alive(idle, interval, probes);
  if (!keep_alive) {
    return complain(cmd,
                    "on, off, or a time of silence from 1s to 9h, an interval from 1s to 1h, both "
                    "in whole seconds, and a number of probes from 1 to 100 (e.g. 60s 10s 6)");
  }
  of(config).times.keep_alive = keep_alive;
  return nullptr;
}

const char* set_frames(cmd_parms* cmd, void* config, const char* text, const char* side) {
  const auto strictness = value_of(kStrictnessWords, text);
  const auto one = side != nullptr ? side_named(side) : std::nullopt;
  if (!strictness || (side != nullptr && !one)) {
    return complain(cmd,
                    "strict, lenient or off, then client or member if it is not for both (e.g. "
                    "strict client)");
  }
  for (const Side from : {Side::client, Side::member}) {
    if (one && *one != from) continue;
    of(config).frames.strictness[static_cast<std::size_t>(from)] = strictness;
  }
  return nullptr;
}

const char* set_max_frame(cmd_parms* cmd, void* config, const char* text) {
  return set_frame_limit(cmd, of(config).frames.frame_bytes_max, text);
}

const char* set_max_message(cmd_parms* cmd, void* config, const char* text) {
  return set_frame_limit(cmd, of(config).frames.message_bytes_max, text);
}

const char* set_message_rate(cmd_parms* cmd, void* config, const char* rate, const char* second,
                             const char* third) {
  const auto value = parse_rate(rate, second, third, {parse_number, kMessageRateMax});
  if (!value) {
    return complain(cmd,
                    "messages in a second from 1 to 1000000, if wanted with burst= in the same "
                    "bounds and action=throttle or action=close (e.g. 50 burst=200 action=close), "
                    "or 0 alone for no limit");
  }
  of(config).rates.messages = value;
  return nullptr;
}

const char* set_byte_rate(cmd_parms* cmd, void* config, const char* rate, const char* second,
                          const char* third) {
  const auto value = parse_rate(rate, second, third, {parse_size, kByteRateMax});
  if (!value) {
    return complain(cmd,
                    "a size for a second from 1 to 2g, if wanted with burst= in the same bounds "
                    "and action=throttle or action=close (e.g. 64k burst=1m action=close), or 0 "
                    "alone for no limit");
  }
  of(config).rates.bytes = value;
  return nullptr;
}

}  // namespace wsbalance::httpd
