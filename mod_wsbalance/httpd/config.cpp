#include "httpd/config.h"

namespace wsbalance::httpd {
namespace {

template <typename T>
void inherit(std::optional<T>& value, const std::optional<T>& base) {
  if (!value) value = base;
}

void inherit(TimeConfig& value, const TimeConfig& base) {
  inherit(value.idle, base.idle);
  inherit(value.data_idle, base.data_idle);
  inherit(value.ping, base.ping);
  inherit(value.lifetime, base.lifetime);
  inherit(value.close_timeout, base.close_timeout);
  inherit(value.keep_alive, base.keep_alive);
}

void inherit(FrameConfig& value, const FrameConfig& base) {
  for (std::size_t side = 0; side < value.strictness.size(); ++side) {
    inherit(value.strictness[side], base.strictness[side]);
  }
  inherit(value.frame_bytes_max, base.frame_bytes_max);
  inherit(value.message_bytes_max, base.message_bytes_max);
}

void inherit(RateConfig& value, const RateConfig& base) {
  inherit(value.messages, base.messages);
  inherit(value.bytes, base.bytes);
}

}  // namespace

const ServerConfig& server_config(const server_rec* server) {
  return *static_cast<ServerConfig*>(
      ap_get_module_config(server->module_config, &wsbalance_module));
}

ServerConfig& mutable_server_config(server_rec* server) {
  return *static_cast<ServerConfig*>(
      ap_get_module_config(server->module_config, &wsbalance_module));
}

const DirConfig& dir_config(const request_rec* r) {
  return *static_cast<DirConfig*>(ap_get_module_config(r->per_dir_config, &wsbalance_module));
}

ServerConfig merge(const ServerConfig& base, const ServerConfig& add) {
  ServerConfig merged = base;
  if (add.tunnel_log != nullptr) merged.tunnel_log = add.tunnel_log;
  merged.balancers = add.balancers;
  merged.inherited_balancers = base.balancers;
  return merged;
}

DirConfig merge(const DirConfig& base, const DirConfig& add) {
  DirConfig merged = add;
  inherit(merged.enabled, base.enabled);
  inherit(merged.buffer_bytes_max, base.buffer_bytes_max);
  inherit(merged.handshake_timeout, base.handshake_timeout);
  inherit(merged.times, base.times);
  inherit(merged.frames, base.frames);
  inherit(merged.rates, base.rates);
  return merged;
}

}  // namespace wsbalance::httpd
