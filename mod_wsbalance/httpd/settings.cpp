#include "httpd/settings.h"

#include <cstddef>

#include "httpd/server_limits.h"
#include "httpd/setting_text.h"
#include "httpd/tunnel_log.h"
#include "httpd/tunnel_options.h"
#include "httpd/words.h"

namespace wsbalance::httpd {
namespace {

using relay::Side;
using std::chrono::milliseconds;

// ---- server

Shown show_max_handshakes(const SettingView& view) {
  const bool is_set = view.whole->waiting_handshakes_max.has_value();
  return {std::to_string(waiting_handshakes_max(*view.whole)),
          is_set ? "" : "half of MaxRequestWorkers"};
}

Shown show_max_pumped(const SettingView& view) {
  const PumpLimits limits = pump_limits(view.server);
  const std::string workers = std::to_string(limits.workers);
  if (view.whole->pumped_max) return {std::to_string(*view.whole->pumped_max)};
  const bool is_one = limits.workers == limits.http2;
  return {
      is_one ? workers : workers + ", over HTTP/2 " + std::to_string(limits.http2),
      "half of ThreadsPerChild; over HTTP/2 H2MaxWorkers less " + std::to_string(kHttp2WorkersLeft),
      is_one};
}

Shown show_max_carriers(const SettingView& view) {
  const bool is_set = view.whole->carriers_max.has_value();
  return {std::to_string(carriers_max(*view.whole)),
          is_set ? "" : "twice ServerLimit, at least " + std::to_string(kCarriersDefaultMin)};
}

Shown show_log(const SettingView& view) {
  const TunnelLog* const log = view.whole->tunnel_log;
  if (log == nullptr || log->target == nullptr) return {"off"};
  const std::string target = quoted(log->target);
  return {log->format != nullptr ? target + ' ' + quoted(log->format) : target};
}

// ---- scopes: what a tunnel is told

relay::TunnelSettings tunnel(const SettingView& view) {
  return tunnel_settings_for(*view.scope, {});
}

Shown show_handshake_timeout(const SettingView& view) {
  const auto text = [](apr_interval_time_t time) {
    return time_text(milliseconds(apr_time_as_msec(time)));
  };
  if (const auto& configured = view.scope->handshake_timeout) return {text(*configured)};
  return {"", "timeout= of the member, else " + text(kHandshakeTimeoutDefault), false};
}

Shown show_ping(const SettingView& view) {
  const relay::TunnelTimes times = tunnel(view).times;
  const auto [client, member] = times.ping_interval;
  if (client == member && client == milliseconds::zero()) return {"off"};
  const bool is_client = client != milliseconds::zero();
  std::string text = time_text(is_client ? client : member) + ' ' + time_text(times.ping_timeout);
  if (client != member) {
    text += std::string(" ") + word_of(kSideWords, is_client ? Side::client : Side::member);
  }
  return {text};
}

Shown show_lifetime(const SettingView& view) {
  const relay::TunnelTimes times = tunnel(view).times;
  const std::string text = timer_text(times.lifetime);
  if (times.lifetime_jitter == 0) return {text};
  return {text + ' ' + percent_text(times.lifetime_jitter)};
}

Shown show_keep_alive(const SettingView& view) {
  const relay::KeepAliveSettings keep_alive = tunnel(view).keep_alive;
  if (keep_alive.idle_seconds == 0) return {"off"};
  return {std::to_string(keep_alive.idle_seconds) + "s " +
          std::to_string(keep_alive.interval_seconds) + "s " + std::to_string(keep_alive.probes)};
}

template <Side from>
Shown show_frames(const SettingView& view) {
  const protocol::FrameRules rules = tunnel(view).frames[static_cast<std::size_t>(from)];
  return {std::string(word_of(kStrictnessWords, rules.strictness)) + ' ' +
          word_of(kSideWords, from)};
}

template <std::uint64_t protocol::FrameRules::*limit>
Shown show_frame_limit(const SettingView& view) {
  const std::uint64_t bytes = tunnel(view).frames[static_cast<std::size_t>(Side::client)].*limit;
  return {bytes == protocol::FrameRules{}.*limit ? "0" : size_text(bytes)};
}

using RateText = std::string (*)(std::uint64_t);

std::string count_text(std::uint64_t count) { return std::to_string(count); }

Shown show_rate(const relay::RateSettings& rate, RateText text) {
  if (rate.per_second == 0) return {"0"};
  return {text(rate.per_second) + " burst=" + text(rate.burst) +
          (rate.closes ? " action=close" : " action=throttle")};
}

// ---- balancers

Shown show_sticky(const SettingView& view) {
  if (!view.balancer->sticky) return {"", "none", false};
  const StickyConfig& sticky = *view.balancer->sticky;
  const balance::CookieAttributes& attributes = sticky.attributes;
  std::string text = "cookie=" + sticky.cookie + ' ' + quoted("path=" + attributes.path);
  if (!attributes.domain.empty()) text += " domain=" + attributes.domain;
  text += std::string(" secure=") + word_of(kSecureWords, sticky.secure);
  text += std::string(" httponly=") + word_of(kOnWords, attributes.is_http_only);
  text += std::string(" samesite=") + word_of(kSameSiteWords, attributes.same_site);
  if (attributes.max_age) text += " maxage=" + time_text(*attributes.max_age);
  if (!sticky.key_file.empty()) text += ' ' + quoted("sign=" + sticky.key_file);
  return {text};
}

Shown show_hash_key(const SettingView& view) {
  if (view.balancer->hash_key == nullptr) return {"", "the client's address", false};
  return {quoted(view.balancer->hash_key_text)};
}

Shown show_hash_bound(const SettingView& view) {
  const auto& percent = view.balancer->hash_bound_percent;
  return {percent ? percent_text(*percent) : "off"};
}

Shown show_retry_on(const SettingView& view) {
  std::string text;
  for (int status = balance::StatusList::kLow; status <= balance::StatusList::kHigh; ++status) {
    if (!view.balancer->retry_on.has(status)) continue;
    text += (text.empty() ? "" : " ") + std::to_string(status);
  }
  return {text.empty() ? "none" : text};
}

// As Failover::limits(), before mod_proxy_balancer gives a number to those that have none.
Shown show_tries(const SettingView& view) {
  balance::TryLimits limits = view.balancer->tries.value_or(balance::TryLimits{});
  const bool is_implied = !view.balancer->tries && view.record->s->max_attempts_set;
  if (is_implied) limits.tries = balance::tries_for_attempts(view.record->s->max_attempts);
  return {std::to_string(limits.tries) + ' ' + time_text(limits.time),
          is_implied ? "maxattempts= and one more" : ""};
}

Shown show_health_check(const SettingView& view) {
  if (!view.balancer->health || !view.balancer->health->is_on) return {"off"};
  const HealthConfig& health = *view.balancer->health;
  std::string text =
      quoted(std::string("path=") + health.path) + " interval=" + time_text(health.times.interval) +
      " timeout=" + time_text(health.times.timeout) + " rise=" + std::to_string(health.rule.rise) +
      " fall=" + std::to_string(health.rule.fall) +
      " method=" + word_of(kCheckWords, health.method);
  const auto add = [&text](const char* key, const char* value) {
    if (value != nullptr) text += ' ' + quoted(std::string(key) + value);
  };
  add("host=", health.host);
  add("origin=", health.origin);
  add("subprotocol=", health.subprotocol);
  if (health.method != CheckMethod::upgrade) return {text};
  const char* before = " expect=";
  for (const int status : health.expected) {
    text += before + std::to_string(status);
    before = ",";
  }
  return {text};
}

Shown show_eject(const SettingView& view) {
  const balance::EjectRule rule = view.balancer->eject.value_or(balance::EjectRule{});
  if (rule.failures == 0) return {"off"};
  return {std::to_string(rule.failures) + " in " + time_text(rule.in) + " for " +
          time_text(rule.out_for)};
}

Shown show_on_drain(const SettingView& view) {
  const auto& over = view.balancer->moves.drain;
  return {over ? "close " + time_text(*over) : "keep"};
}

Shown show_rebalance(const SettingView& view) {
  const MoveConfig& moves = view.balancer->moves;
  if (moves.rebalance_percent == 0) return {"off"};
  return {percent_text(moves.rebalance_percent) + ' ' + time_text(moves.rebalance_every)};
}

using View = SettingView;
using enum Place;

constexpr Setting kSettings[] = {
    {"WSBalance", scope,
     [](const View& v) -> Shown { return {is_enabled(*v.scope) ? "On" : "Off"}; }},
    {"WSBalanceThreads", server,
     [](const View& v) -> Shown { return {std::to_string(v.whole->threads)}; }},
    {"WSBalanceBuffer", scope,
     [](const View& v) -> Shown { return {size_text(tunnel(v).buffer_bytes_max)}; }},
    {"WSBalanceBufferTotal", server,
     [](const View& v) -> Shown { return {size_text(v.whole->buffer_total_bytes_max)}; }},
    {"WSBalanceMaxHandshakes", server, show_max_handshakes},
    {"WSBalanceMaxPumped", server, show_max_pumped},
    {"WSBalanceMaxCarriers", server, show_max_carriers},
    {"WSBalanceMessageRate", scope,
     [](const View& v) { return show_rate(tunnel(v).message_rate, count_text); }},
    {"WSBalanceByteRate", scope,
     [](const View& v) { return show_rate(tunnel(v).byte_rate, size_text); }},
    {"WSBalanceHandshakeTimeout", scope, show_handshake_timeout},
    {"WSBalanceIdleTimeout", scope,
     [](const View& v) -> Shown { return {timer_text(tunnel(v).times.idle)}; }},
    {"WSBalanceDataTimeout", scope,
     [](const View& v) -> Shown { return {timer_text(tunnel(v).times.data_idle)}; }},
    {"WSBalancePing", scope, show_ping},
    {"WSBalanceLifetime", scope, show_lifetime},
    {"WSBalanceCloseTimeout", scope,
     [](const View& v) -> Shown { return {time_text(tunnel(v).close_timeout)}; }},
    {"WSBalanceKeepAlive", scope, show_keep_alive},
    {"WSBalanceDrainTimeout", server,
     [](const View& v) -> Shown { return {timer_text(v.whole->drain_timeout)}; }},
    {"WSBalanceFrames", scope, show_frames<Side::client>},
    {"WSBalanceFrames", scope, show_frames<Side::member>},
    {"WSBalanceMaxFrame", scope, show_frame_limit<&protocol::FrameRules::frame_bytes_max>},
    {"WSBalanceMaxMessage", scope, show_frame_limit<&protocol::FrameRules::message_bytes_max>},
    {"WSBalanceLog", server, show_log},
    {"WSBalanceSticky", balancer, show_sticky},
    {"WSBalanceHashKey", balancer, show_hash_key},
    {"WSBalanceHashBound", balancer, show_hash_bound},
    {"WSBalanceSlowStart", balancer,
     [](const View& v) -> Shown { return {timer_text(v.balancer->slow_start)}; }},
    {"WSBalanceRetryOn", balancer, show_retry_on},
    {"WSBalanceTries", balancer, show_tries},
    {"WSBalanceMaxPerMember", balancer,
     [](const View& v) -> Shown { return {std::to_string(v.balancer->tunnels_per_member_max)}; }},
    {"WSBalanceHealthCheck", balancer, show_health_check},
    {"WSBalanceEject", balancer, show_eject},
    {"WSBalanceEjectMax", balancer,
     [](const View& v) -> Shown { return {percent_text(v.balancer->eject_percent_max)}; }},
    {"WSBalanceOnMemberDown", balancer,
     [](const View& v) -> Shown {
       return {v.balancer->moves.closes_when_down ? "close" : "keep"};
     }},
    {"WSBalanceOnDrain", balancer, show_on_drain},
    {"WSBalanceRebalance", balancer, show_rebalance},
};

}  // namespace

std::span<const Setting> all_settings() { return kSettings; }

}  // namespace wsbalance::httpd
