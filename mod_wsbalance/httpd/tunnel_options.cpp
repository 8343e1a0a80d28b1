#include "httpd/tunnel_options.h"

#include <cstddef>
#include <optional>
#include <string_view>

namespace wsbalance::httpd {
namespace {

using protocol::FrameRules;
using relay::Side;
using relay::TunnelTimes;

TunnelTimes times_for(const TimeConfig& config) {
  TunnelTimes times;
  times.idle = config.idle.value_or(times.idle);
  times.data_idle = config.data_idle.value_or(times.data_idle);
  if (config.ping) {
    times.ping_interval = config.ping->interval;
    times.ping_timeout = config.ping->timeout;
  }
  if (config.lifetime) {
    times.lifetime = config.lifetime->time;
    times.lifetime_jitter = config.lifetime->jitter_percent;
  }
  return times;
}

// What was agreed holds for both directions. Parameters of an extension do not matter: which bits
// of a frame it uses does not depend on them (RFC 7692 6, 7.1).
void allow_extensions(FrameRules& rules, protocol::Fields answer) {
  for (const protocol::Field& field : answer) {
    if (!protocol::equal_ignoring_case(field.name, "Sec-WebSocket-Extensions")) continue;
    protocol::for_each_element(field.value, [&rules](std::string_view element) {
      const std::string_view name = protocol::trim(element.substr(0, element.find(';')));
      const bool is_deflate = protocol::equal_ignoring_case(name, "permessage-deflate");
      (is_deflate ? rules.allows_deflate : rules.allows_any_extension) = true;
      return true;
    });
  }
}

std::uint64_t limit(const std::optional<std::uint64_t>& configured) {
  const std::uint64_t bytes = configured.value_or(0);
  return bytes != 0 ? bytes : FrameRules{}.frame_bytes_max;
}

FrameRules rules_for(const FrameConfig& config, Side from, protocol::Fields answer) {
  FrameRules rules{.strictness = strictness_of(config, from), .is_masked = from == Side::client};
  allow_extensions(rules, answer);
  if (from == Side::client) {
    rules.frame_bytes_max = limit(config.frame_bytes_max);
    rules.message_bytes_max = limit(config.message_bytes_max);
  }
  return rules;
}

}  // namespace

protocol::Strictness strictness_of(const FrameConfig& config, Side from) {
  const auto side = static_cast<std::size_t>(from);
  return config.strictness[side].value_or(relay::TunnelSettings{}.frames[side].strictness);
}

relay::TunnelSettings tunnel_settings_for(const DirConfig& config, protocol::Fields answer) {
  relay::TunnelSettings settings;
  settings.buffer_bytes_max = config.buffer_bytes_max.value_or(settings.buffer_bytes_max);
  settings.close_timeout = config.times.close_timeout.value_or(settings.close_timeout);
  settings.times = times_for(config.times);
  settings.keep_alive = config.times.keep_alive.value_or(settings.keep_alive);
  for (const Side from : {Side::client, Side::member}) {
    settings.frames[static_cast<std::size_t>(from)] = rules_for(config.frames, from, answer);
  }
  settings.message_rate = config.rates.messages.value_or(settings.message_rate);
  settings.byte_rate = config.rates.bytes.value_or(settings.byte_rate);
  return settings;
}

}  // namespace wsbalance::httpd
