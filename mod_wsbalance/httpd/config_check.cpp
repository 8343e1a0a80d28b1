#include "httpd/config_check.h"

#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "httpd/balancer_check.h"
#include "httpd/guard.h"
#include "httpd/httpd_api.h"
#include "httpd/older_httpd.h"
#include "httpd/sticky_directive.h"
#include "httpd/tunnel_check.h"
#include "protocol/field.h"

namespace wsbalance::httpd {
namespace {

bool is(const char* text, std::string_view wanted) {
  return protocol::equal_ignoring_case(text, wanted);
}

// What the directives of one scope say of SSLProxyEngine. mod_ssl fills in what was not set only
// later (post_config, which `httpd -t` does not run), and its records are its own: so the
// configuration is asked as it was written.
struct Engine {
  std::optional<bool> itself;       // The last line counts.
  bool is_on_in_a_section = false;  // A request may come by it.
};

void read(const ap_directive_t* directive, apr_pool_t* pool, Engine& found) {
  for (; directive != nullptr; directive = directive->next) {
    if (is(directive->directive, "SSLProxyEngine")) {
      const char* arguments = directive->args;
      found.itself = is(ap_getword_conf(pool, &arguments), "on");
    } else if (!is(directive->directive, "<VirtualHost")) {
      Engine section;
      read(directive->first_child, pool, section);
      if (section.itself.value_or(false) || section.is_on_in_a_section) {
        found.is_on_in_a_section = true;
      }
    }
  }
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
  MemberCheck(apr_pool_t* pool, const server_rec* main) : main_(main) {
    read(ap_conftree, pool, of_main_);
    for (const server_rec* s = main; s != nullptr; s = s->next) {
      const bool has_engine = is_on(s, pool);
      is_on_anywhere_ = is_on_anywhere_ || has_engine;
      servers_.push_back({s, has_engine});
    }
  }

  void look_at_all() {
    for (const Server& server : servers_) {
      const auto* config = static_cast<proxy_server_conf*>(
          ap_get_module_config(server.record->module_config, &proxy_module));
      const ElementsOf<proxy_worker> workers(config->workers);
      for (int i = 0; i < config->workers->nelts; ++i) look_at(server, workers[i]);
      const ElementsOf<proxy_balancer> balancers(config->balancers);
      for (int i = 0; i < config->balancers->nelts; ++i) {
        const auto* members = reinterpret_cast<proxy_worker**>(balancers[i].workers->elts);
        for (int j = 0; j < balancers[i].workers->nelts; ++j) look_at_shared(server, *members[j]);
      }
    }
  }

 private:
  struct Server {
    const server_rec* record;
    bool has_engine;
  };

  bool is_on(const server_rec* server, apr_pool_t* pool) const {
    Engine own;
    if (const ap_directive_t* section = section_of(server)) read(section->first_child, pool, own);
    return own.itself.value_or(of_main_.itself.value_or(false)) || own.is_on_in_a_section ||
           of_main_.is_on_in_a_section;
  }

  // A balancer of the main server is there for every virtual host, and its engine is theirs.
  void look_at_shared(const Server& server, const proxy_worker& worker) {
    if (server.record == main_ && is_on_anywhere_) reported_.insert(worker.s);
    look_at(server, worker);
  }

  void look_at(const Server& server, const proxy_worker& worker) {
    if (server.has_engine) return;
    if (!is(worker.s->scheme, "wss") && !is(worker.s->scheme, "https")) return;
    // A virtual host has those of the main server too.
    if (!reported_.insert(worker.s).second) return;
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, server.record,
                 "WSB0015: member %s needs TLS, but nothing switches it on: put \"SSLProxyEngine "
                 "on\" beside it (server %s)",
                 full_name(*worker.s), server.record->server_hostname);
  }

  const server_rec* main_;
  Engine of_main_;
  bool is_on_anywhere_ = false;
  std::vector<Server> servers_;
  std::set<const proxy_worker_shared*> reported_;
};

int on_check_config(apr_pool_t* pool, apr_pool_t*, apr_pool_t* temporary, server_rec* server) {
  return guarded(server, "check_config", OK, [&] {
    MemberCheck(temporary, server).look_at_all();
    check_tunnel_directives(server);
    check_sticky_directives(server);
    inherit_methods(temporary, server);
    check_balancers(server);
    complete_balancer_routes(pool, server);
    return OK;
  });
}

}  // namespace

void register_config_check_hooks() {
  ap_hook_check_config(on_check_config, nullptr, nullptr, APR_HOOK_MIDDLE);
}

}  // namespace wsbalance::httpd
