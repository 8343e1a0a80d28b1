#include "httpd/config.h"

namespace wsbalance::httpd {
namespace {

template <typename T>
void inherit(std::optional<T>& value, const std::optional<T>& base) {
  if (!value) value = base;
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

DirConfig merge(const DirConfig& base, const DirConfig& add) {
  DirConfig merged = add;
  inherit(merged.enabled, base.enabled);
  inherit(merged.buffer_bytes_max, base.buffer_bytes_max);
  inherit(merged.handshake_timeout, base.handshake_timeout);
  return merged;
}

}  // namespace wsbalance::httpd
