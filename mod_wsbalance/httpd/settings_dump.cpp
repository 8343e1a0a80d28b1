#include "httpd/settings_dump.h"

#include <set>
#include <string>
#include <utility>

#include "httpd/guard.h"
#include "httpd/older_httpd.h"
#include "httpd/setting_text.h"
#include "httpd/settings.h"

namespace wsbalance::httpd {
namespace {

// httpd takes no comment behind a directive.
std::string line_of(const Setting& setting, const Shown& shown) {
  const std::string name = setting.name;
  if (shown.is_line) return name + ' ' + shown.value + '\n';
  const std::string value = shown.value.empty() ? "" : " (" + shown.value + ")";
  return "# " + name + " is not set: " + shown.origin + value + '\n';
}

// One configuration's settings as lines behind `indent`.
class Lines {
 public:
  explicit Lines(std::string indent) : indent_(std::move(indent)) {}

  void add(const Setting& setting, const Shown& shown, bool is_default) {
    const std::string line = indent_ + line_of(setting, shown);
    if (!is_default) {
      set_ += line;
    } else if (shown.origin.empty()) {
      constant_ += line;
    } else {
      if (shown.is_line) computed_ += indent_ + "# default: " + shown.origin + '\n';
      computed_ += line;
    }
  }

  // What is not the default comes first, and has no comment.
  std::string text() const {
    return set_ + (constant_.empty() ? "" : indent_ + "# default\n" + constant_) + computed_;
  }

 private:
  const std::string indent_;
  std::string set_, constant_, computed_;
};

class Dump {
 public:
  std::string text_of(server_rec* main) {
    const SettingView main_view = view_of(main);
    text_ = "# mod_wsbalance " WSB_VERSION ", " + std::string(ap_get_server_description()) +
            ": what holds\n";
    Lines lines("");
    for (const Setting& setting : all_settings()) {
      if (setting.place == Place::balancer) continue;
      const Shown shown = setting.show(main_view);
      lines.add(setting, shown, shown == setting.show(defaults_of(main)));
    }
    text_ += lines.text();
    add_balancers(main, "");
    for (server_rec* s = main->next; s != nullptr; s = s->next) add_host(s, main_view);
    return std::move(text_);
  }

 private:
  static SettingView view_of(server_rec* server) {
    return {.server = server,
            .whole = &server_config(server),
            .scope = static_cast<const DirConfig*>(
                ap_get_module_config(server->lookup_defaults, &wsbalance_module))};
  }

  SettingView defaults_of(server_rec* server) const {
    return {.server = server,
            .whole = &whole_defaults_,
            .scope = &scope_defaults_,
            .balancer = &balancer_defaults_};
  }

  // What is not as in the main server.
  void add_host(server_rec* host, const SettingView& main_view) {
    const std::string before = std::exchange(text_, "");
    Lines lines("  ");
    for (const Setting& setting : all_settings()) {
      if (setting.place == Place::balancer) continue;
      const Shown shown = setting.show(view_of(host));
      if (shown != setting.show(main_view)) lines.add(setting, shown, false);
    }
    text_ += lines.text();
    add_balancers(host, "  ");
    if (!text_.empty()) text_ = heading_of(host) + text_ + "</VirtualHost>\n";
    text_.insert(0, before);
  }

  static std::string heading_of(const server_rec* host) {
    std::string text = "\n# " + std::string(host->server_hostname);
    if (host->defn_name != nullptr) {
      text += std::string(", ") + host->defn_name + ':' + std::to_string(host->defn_line_number);
    }
    text += "\n<VirtualHost";
    for (const server_addr_rec* address = host->addrs; address != nullptr;
         address = address->next) {
      const std::string name = address->virthost;
      text += name.find(':') == std::string::npos ? " " + name : " [" + name + ']';
      text += address->host_port != 0 ? ':' + std::to_string(address->host_port) : ":*";
    }
    return text + ">\n";
  }

  // A virtual host has those of the main server too; they are shown again where its own section says
  // something else.
  void add_balancers(server_rec* server, const std::string& indent) {
    const auto* const proxy =
        static_cast<proxy_server_conf*>(ap_get_module_config(server->module_config, &proxy_module));
    const ElementsOf<proxy_balancer> balancers(proxy->balancers);
    for (int i = 0; i < proxy->balancers->nelts; ++i) {
      const BalancerConfig& config = balancer_config(server, &balancers[i]);
      if (!seen_.emplace(balancers[i].s, &config).second) continue;
      const SettingView view{.balancer = &config, .record = &balancers[i]};
      SettingView defaults = defaults_of(server);
      defaults.record = &balancers[i];
      Lines lines(indent + "  ");
      for (const Setting& setting : all_settings()) {
        if (setting.place != Place::balancer) continue;
        const Shown shown = setting.show(view);
        lines.add(setting, shown, shown == setting.show(defaults));
      }
      text_ += (indent.empty() ? "\n" : "") + indent + "<Proxy " + quoted(balancers[i].s->name) +
               ">\n" + lines.text() + indent + "</Proxy>\n";
    }
  }

  const ServerConfig whole_defaults_{};
  const DirConfig scope_defaults_{};
  const BalancerConfig balancer_defaults_{};
  std::set<std::pair<const proxy_balancer_shared*, const BalancerConfig*>> seen_;
  std::string text_;
};

// After check_config, so virtual hosts have what they inherit, and the MPM its numbers.
void on_test_config(apr_pool_t* pool, server_rec* main) {
  if (!ap_exists_config_define("DUMP_WSBALANCE")) return;
  guarded(main, "test_config", OK, [&] {
    apr_file_t* out = nullptr;
    apr_file_open_stdout(&out, pool);
    apr_file_puts(Dump().text_of(main).c_str(), out);
    return OK;
  });
}

}  // namespace

void register_settings_dump_hooks() {
  ap_hook_test_config(on_test_config, nullptr, nullptr, APR_HOOK_MIDDLE);
}

}  // namespace wsbalance::httpd
