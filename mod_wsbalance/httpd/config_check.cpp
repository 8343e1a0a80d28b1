#include "httpd/config_check.h"

#include <set>
#include <string_view>

#include "httpd/guard.h"
#include "httpd/httpd_api.h"
#include "protocol/field.h"

namespace wsbalance::httpd {
namespace {

bool is(const char* text, std::string_view wanted) {
  return protocol::equal_ignoring_case(text, wanted);
}

// mod_ssl fills in what was not set only later (post_config, which `httpd -t` does not run), and
// its records are its own: so the configuration is asked as it was written. A section counts like
// what stands around it, because a request may come by it.
bool switches_on(const ap_directive_t* directive, const ap_directive_t* except_host) {
  for (; directive != nullptr; directive = directive->next) {
    if (is(directive->directive, "SSLProxyEngine") && is(directive->args, "on")) return true;
    const bool is_host = is(directive->directive, "<VirtualHost");
    if (is_host && directive != except_host) continue;
    if (switches_on(directive->first_child, nullptr)) return true;
  }
  return false;
}

// The section that made this virtual host; null for the main server.
const ap_directive_t* section_of(const server_rec* server) {
  const ap_directive_t* directive = ap_conftree;
  for (; server->is_virtual && directive != nullptr; directive = directive->next) {
    if (is(directive->directive, "<VirtualHost") && server->defn_name != nullptr &&
        static_cast<unsigned>(directive->line_num) == server->defn_line_number &&
        std::string_view(directive->filename) == server->defn_name) {
      return directive;
    }
  }
  return nullptr;
}

class MemberCheck {
 public:
  void look_at(const server_rec* server) {
    has_engine_ = switches_on(ap_conftree, section_of(server));
    const auto* config =
        static_cast<proxy_server_conf*>(ap_get_module_config(server->module_config, &proxy_module));
    const auto* workers = reinterpret_cast<proxy_worker*>(config->workers->elts);
    for (int i = 0; i < config->workers->nelts; ++i) look_at(server, workers[i]);
    const auto* balancers = reinterpret_cast<proxy_balancer*>(config->balancers->elts);
    for (int i = 0; i < config->balancers->nelts; ++i) {
      const auto* members = reinterpret_cast<proxy_worker**>(balancers[i].workers->elts);
      for (int j = 0; j < balancers[i].workers->nelts; ++j) look_at(server, *members[j]);
    }
  }

 private:
  void look_at(const server_rec* server, const proxy_worker& worker) {
    if (has_engine_ || !(is(worker.s->scheme, "wss") || is(worker.s->scheme, "https"))) return;
    // A virtual host has those of the main server too.
    if (!reported_.insert(worker.s).second) return;
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, server,
                 "WSB0015: member %s needs TLS, but nothing switches it on: put \"SSLProxyEngine "
                 "on\" beside it (server %s)",
                 worker.s->name_ex, server->server_hostname);
  }

  bool has_engine_ = false;
  std::set<const proxy_worker_shared*> reported_;
};

int on_check_config(apr_pool_t*, apr_pool_t*, apr_pool_t*, server_rec* server) {
  return guarded(server, "check_config", OK, [&] {
    MemberCheck check;
    for (const server_rec* s = server; s != nullptr; s = s->next) check.look_at(s);
    return OK;
  });
}

}  // namespace

void register_config_check_hooks() {
  ap_hook_check_config(on_check_config, nullptr, nullptr, APR_HOOK_MIDDLE);
}

}  // namespace wsbalance::httpd
