#include "httpd/balancer_check.h"

#include <set>
#include <string_view>

#include "httpd/older_httpd.h"
#include "protocol/field.h"

namespace wsbalance::httpd {
namespace {

const proxy_server_conf& proxy_of(const server_rec* server) {
  return *static_cast<const proxy_server_conf*>(
      ap_get_module_config(server->module_config, &proxy_module));
}

// "balancer://name", and nothing behind it.
bool is_name_alone(std::string_view url) {
  constexpr std::string_view kScheme = BALANCER_PREFIX;
  return url.size() > kScheme.size() &&
         protocol::equal_ignoring_case(url.substr(0, kScheme.size()), kScheme) &&
         url.find_first_of("/?$", kScheme.size()) == std::string_view::npos;
}

class RouteCompletion {
 public:
  explicit RouteCompletion(apr_pool_t* pool) : pool_(pool) {}

  void complete(const server_rec* server, proxy_alias& route) {
    if (route.regex != nullptr || route.real == nullptr || route.fake == nullptr) return;
    if (!std::string_view(route.fake).ends_with('/') || !is_name_alone(route.real)) return;
    // A virtual host has copies of those of the main server.
    if (told_.insert(route.fake).second) {
      ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, server,
                   "WSB0018: ProxyPass %s %s: taken for %s/ (what follows %s would stand directly "
                   "behind the balancer's name)",
                   route.fake, route.real, route.real, route.fake);
    }
    route.real = apr_pstrcat(pool_, route.real, "/", nullptr);
  }

 private:
  apr_pool_t* const pool_;
  std::set<const char*> told_;
};

bool is_standby(const proxy_worker* member) {
  return (member->s->status & PROXY_WORKER_HOT_STANDBY) != 0;
}

void look_at_members(const server_rec* server, const proxy_balancer& balancer) {
  auto* const* const members = reinterpret_cast<proxy_worker**>(balancer.workers->elts);
  const int count = balancer.workers->nelts;
  if (count < 2 || !is_standby(members[0])) return;
  for (int i = 1; i < count; ++i) {
    if (is_standby(members[i])) return;
  }
  ap_log_error(APLOG_MARK, APLOG_WARNING, 0, server,
               "WSB0019: %s: its first member, %s, is a hot standby (status=+H): it is asked only "
               "when no other one can be. If it is meant to be the preferred one, take status=+H "
               "from it and give the others lbset=1; if not, name it last",
               balancer.s->name, full_name(*members[0]->s));
}

void tell_what_is_missing(const server_rec* server, const proxy_balancer& balancer) {
  ap_log_error(
      APLOG_MARK, APLOG_WARNING, 0, server,
      "WSB0020: %s needs mod_proxy_balancer, which is not loaded: requests for it get 500. "
      "Load mod_slotmem_shm and mod_lbmethod_byrequests with it",
      balancer.s->name);
}

}  // namespace

void complete_balancer_routes(apr_pool_t* pool, const server_rec* main) {
  RouteCompletion completion(pool);
  for (const server_rec* server = main; server != nullptr; server = server->next) {
    const apr_array_header_t& routes = *proxy_of(server).aliases;
    for (int i = 0; i < routes.nelts; ++i) {
      completion.complete(server, ElementsOf<proxy_alias>(&routes)[i]);
    }
    const auto* core =
        static_cast<const core_server_config*>(ap_get_core_module_config(server->module_config));
    for (int i = 0; i < core->sec_url->nelts; ++i) {
      auto* const section = reinterpret_cast<ap_conf_vector_t**>(core->sec_url->elts)[i];
      const auto* proxy =
          static_cast<const proxy_dir_conf*>(ap_get_module_config(section, &proxy_module));
      if (proxy != nullptr && proxy->alias != nullptr) completion.complete(server, *proxy->alias);
    }
  }
}

void inherit_methods(apr_pool_t* temporary, const server_rec* main) {
  auto* const conf_of_main =
      static_cast<proxy_server_conf*>(ap_get_module_config(main->module_config, &proxy_module));
  for (const server_rec* server = main->next; server != nullptr; server = server->next) {
    const proxy_server_conf& proxy = proxy_of(server);
    if (!proxy.inherit && !proxy.ppinherit) continue;  // Its balancers are its own.
    const apr_array_header_t& balancers = *proxy.balancers;
    for (int i = 0; i < balancers.nelts; ++i) {
      proxy_balancer& balancer = ElementsOf<proxy_balancer>(&balancers)[i];
      if (std::string_view(balancer.s->lbpname) != "byrequests") continue;
      const proxy_balancer* const base =
          ap_proxy_get_balancer(temporary, conf_of_main, balancer.s->name, 0);
      if (base == nullptr) continue;
      balancer.lbmethod = base->lbmethod;
      apr_cpystrn(balancer.s->lbpname, base->s->lbpname, sizeof(balancer.s->lbpname));
    }
  }
}

void check_balancers(const server_rec* main) {
  const bool has_module = ap_find_linked_module("mod_proxy_balancer.c") != nullptr;
  std::set<const proxy_balancer_shared*> seen;
  for (const server_rec* server = main; server != nullptr; server = server->next) {
    const apr_array_header_t& balancers = *proxy_of(server).balancers;
    for (int i = 0; i < balancers.nelts; ++i) {
      const proxy_balancer& balancer = ElementsOf<proxy_balancer>(&balancers)[i];
      // A virtual host has those of the main server too.
      if (!seen.insert(balancer.s).second) continue;
      if (!has_module) tell_what_is_missing(server, balancer);
      look_at_members(server, balancer);
    }
  }
}

}  // namespace wsbalance::httpd
