#include "httpd/balancer_config.h"

#include <cstring>
#include <string_view>

#include "httpd/config.h"
#include "httpd/pool.h"
#include "protocol/field.h"

namespace wsbalance::httpd {
namespace {

constexpr std::string_view kPrefix = "balancer://";

// mod_proxy asks for <Proxy> with these where it stands for many URLs (apr_fnmatch_test).
constexpr const char* kWildcards = "*?[";

// As ap_proxy_define_balancer() makes it of what stands in the configuration.
const char* balancer_name(apr_pool_t* pool, const char* path) {
  char* const name = apr_pstrdup(pool, path);
  if (char* const slash = std::strchr(name + kPrefix.size(), '/')) *slash = '\0';
  ap_str_tolower(name);
  return name;
}

// The name of a balancer's own section; null for any other place.
const char* section_name(const cmd_parms* cmd) {
  const ap_directive_t* const section = cmd->directive->parent;
  if (section == nullptr || cmd->path == nullptr ||
      !protocol::equal_ignoring_case(section->directive, "<Proxy") ||
      ap_cstr_casecmpn(cmd->path, kPrefix.data(), kPrefix.size()) != 0 ||
      std::strpbrk(cmd->path, kWildcards) != nullptr) {
    return nullptr;
  }
  return balancer_name(cmd->pool, cmd->path);
}

template <typename Config>
Config* find(Config* list, std::string_view name) {
  while (list != nullptr && list->name != name) list = list->next;
  return list;
}

}  // namespace

BalancerConfig* balancer_section(cmd_parms* cmd, const char*& error) {
  const char* const name = section_name(cmd);
  if (name == nullptr) {
    error = apr_pstrcat(cmd->pool, cmd->cmd->name,
                        " is for one balancer: it stands directly in <Proxy balancer://name>, "
                        "without wildcards",
                        nullptr);
    return nullptr;
  }
  ServerConfig& server = mutable_server_config(cmd->server);
  if (BalancerConfig* const found = find(server.balancers, name)) return found;
  auto* const made = pool_new<BalancerConfig>(cmd->pool);
  made->name = name;
  made->next = server.balancers;
  server.balancers = made;
  return made;
}

const BalancerConfig* find_balancer_config(const server_rec* server,
                                           const proxy_balancer& balancer) {
  const ServerConfig& config = server_config(server);
  const char* const name = balancer.s->name;
  if (const BalancerConfig* own = find(config.balancers, name)) return own;
  const auto* const proxy =
      static_cast<proxy_server_conf*>(ap_get_module_config(server->module_config, &proxy_module));
  return proxy->inherit || proxy->ppinherit ? find(config.inherited_balancers, name) : nullptr;
}

const BalancerConfig& balancer_config(const server_rec* server, const proxy_balancer* balancer) {
  static const BalancerConfig kDefaults{};
  const BalancerConfig* const found =
      balancer != nullptr ? find_balancer_config(server, *balancer) : nullptr;
  return found != nullptr ? *found : kDefaults;
}

}  // namespace wsbalance::httpd
