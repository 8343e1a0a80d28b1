#include "httpd/tunnel_check.h"

#include <algorithm>
#include <cstddef>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "httpd/config.h"
#include "httpd/tunnel_options.h"

namespace wsbalance::httpd {
namespace {

using relay::Side;

const char* name_of(Side side) { return side == Side::client ? "client" : "member"; }

bool is_pinged(const DirConfig& config, Side side) {
  const auto& ping = config.times.ping;
  return ping && ping->interval[static_cast<std::size_t>(side)].count() > 0;
}

// A ping to a side has to stand between two frames of the other one, and its pong comes among the
// side's own frames.
void look_at_ping(const DirConfig& config, Side side, std::vector<std::string>& found) {
  if (!is_pinged(config, side)) return;
  const auto is_off = [&config](Side from) {
    return strictness_of(config.frames, from) == protocol::Strictness::off;
  };
  const std::string name = name_of(side), name_of_other = name_of(other(side));
  if (is_off(other(side))) {
    found.push_back("WSBalancePing cannot ping the " + name + ": WSBalanceFrames is off for the " +
                    name_of_other + ", and a ping has to stand between two of its frames");
  } else if (is_off(side)) {
    found.push_back("WSBalancePing does not ping the " + name +
                    ": WSBalanceFrames is off for it, and a pong of the " + name +
                    " could not be kept from the " + name_of_other);
  }
}

void look_at_limits(const DirConfig& config, std::vector<std::string>& found) {
  if (strictness_of(config.frames, Side::client) != protocol::Strictness::off) return;
  const auto is_limited = [](const auto& value) { return value.value_or(0) != 0; };
  const auto useless = [&found](const char* directive) {
    found.push_back(std::string(directive) +
                    " limits nothing: WSBalanceFrames is off for the client");
  };
  if (is_limited(config.frames.frame_bytes_max)) useless("WSBalanceMaxFrame");
  if (is_limited(config.frames.message_bytes_max)) useless("WSBalanceMaxMessage");
  if (config.rates.messages && config.rates.messages->per_second != 0) {
    useless("WSBalanceMessageRate");
  }
}

std::vector<std::string> contradictions(const DirConfig& config) {
  std::vector<std::string> found;
  if (!is_enabled(config)) return found;
  look_at_ping(config, Side::client, found);
  look_at_ping(config, Side::member, found);
  look_at_limits(config, found);
  return found;
}

std::string name_of(const core_dir_config& section) {
  return std::string(section.r != nullptr ? "<LocationMatch " : "<Location ") + section.d + '>';
}

std::string name_of(const proxy_dir_conf& section) {
  return std::string(section.r != nullptr ? "<ProxyMatch " : "<Proxy ") + section.p + '>';
}

// What holds around a section.
struct Scope {
  std::string place;
  DirConfig config;
  std::vector<std::string> found;
};

// A request that comes by a section gets what was set there, else what was set around it. Which
// sections come together for a request nobody knows beforehand: each is looked at by itself.
class Walk {
 public:
  void look_at_all(const server_rec* main) {
    Scope nothing;
    const Scope main_scope = look_at_server(main, nothing);
    nothing.found = main_scope.found;  // What virtual hosts inherit was said.
    for (const server_rec* s = main->next; s != nullptr; s = s->next) look_at_server(s, nothing);
  }

 private:
  Scope look_at_server(const server_rec* server, const Scope& around) {
    server_ = server;
    Scope scope =
        look_at(server->lookup_defaults, around, std::string("server ") + server->server_hostname);
    const auto* core =
        static_cast<core_server_config*>(ap_get_core_module_config(server->module_config));
    look_at_sections<core_dir_config>(core->sec_url, &core_module, scope);
    const auto* proxy =
        static_cast<proxy_server_conf*>(ap_get_module_config(server->module_config, &proxy_module));
    look_at_sections<proxy_dir_conf>(proxy->sec_proxy, &proxy_module, scope);
    return scope;
  }

  // `owner`: the module whose Record names such a section.
  template <typename Record>
  void look_at_sections(const apr_array_header_t* sections, const module* owner,
                        const Scope& around) {
    for (int i = 0; i < sections->nelts; ++i) {
      const auto* section = APR_ARRAY_IDX(sections, i, const ap_conf_vector_t*);
      const auto* record = static_cast<const Record*>(ap_get_module_config(section, owner));
      look_at(section, around, around.place + ", " + name_of(*record));
    }
  }

  Scope look_at(const ap_conf_vector_t* section, const Scope& around, std::string place) {
    const auto* own =
        static_cast<const DirConfig*>(ap_get_module_config(section, &wsbalance_module));
    Scope scope{std::move(place), own != nullptr ? merge(around.config, *own) : around.config, {}};
    scope.found = contradictions(scope.config);
    for (const std::string& text : scope.found) {
      if (std::ranges::find(around.found, text) != around.found.end()) continue;
      // A virtual host has the sections of the main server too.
      if (!reported_.emplace(section, text).second) continue;
      ap_log_error(APLOG_MARK, APLOG_WARNING, 0, server_, "WSB0016: %s (%s)", text.c_str(),
                   scope.place.c_str());
    }
    const auto* core = static_cast<core_dir_config*>(ap_get_core_module_config(section));
    if (core == nullptr || core->sec_if == nullptr) return scope;
    for (int i = 0; i < core->sec_if->nelts; ++i) {
      look_at(APR_ARRAY_IDX(core->sec_if, i, const ap_conf_vector_t*), scope,
              scope.place + ", <If>");
    }
    return scope;
  }

  const server_rec* server_ = nullptr;
  std::set<std::pair<const ap_conf_vector_t*, std::string>> reported_;
};

}  // namespace

void check_tunnel_directives(const server_rec* main) { Walk().look_at_all(main); }

}  // namespace wsbalance::httpd
