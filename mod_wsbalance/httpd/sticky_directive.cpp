#include "httpd/sticky_directive.h"

#include <chrono>
#include <set>
#include <string_view>
#include <utility>

#include "balance/route_cookie.h"
#include "httpd/balancer_config.h"
#include "httpd/directive_values.h"
#include "httpd/older_httpd.h"
#include "httpd/sticky_keys.h"
#include "httpd/words.h"
#include "protocol/field.h"

namespace wsbalance::httpd {
namespace {

using balance::SameSite;
using std::chrono::milliseconds;

constexpr std::size_t kNameBytesMax = 64;

const char* complain_of(cmd_parms* cmd, const Option& option, const char* wants) {
  return apr_psprintf(cmd->pool, "%s: %s= must be %s, not '%s=%s'", cmd->cmd->name, option.key,
                      wants, option.key, option.value);
}

template <typename Words, typename Value>
bool choose(const char* text, const Words& words, Value& value) {
  const auto found = value_of(words, text);
  value = found.value_or(value);
  return found.has_value();
}

const char* set_keys(cmd_parms* cmd, const Option& option, StickyConfig& sticky) {
  const char* const path =
      *option.value != '\0' ? ap_server_root_relative(cmd->pool, option.value) : nullptr;
  if (path == nullptr) return complain_of(cmd, option, "a file with keys");
  sticky.key_file = path;
  sticky.keys.clear();
  const char* const wrong =
      read_sticky_keys(cmd->temp_pool, path, sticky.keys, sticky.is_key_file_public);
  if (wrong == nullptr) return nullptr;
  return apr_psprintf(cmd->pool, "%s: %s=%s: %s", cmd->cmd->name, option.key, option.value, wrong);
}

const char* set_max_age(cmd_parms* cmd, const Option& option, StickyConfig& sticky) {
  constexpr std::chrono::hours kMost{24 * 400};  // Browsers keep none longer.
  milliseconds time{};
  if (!parse_time(option.value, milliseconds(1000), kMost, time)) {
    return complain_of(cmd, option, "a time from 1s to 9600h");
  }
  sticky.attributes.max_age = std::chrono::duration_cast<std::chrono::seconds>(time);
  return nullptr;
}

const char* set_option(cmd_parms* cmd, const Option& option, StickyConfig& sticky) {
  const std::string_view value = option.value;
  balance::CookieAttributes& attributes = sticky.attributes;
  if (is_word(option.key, "cookie")) {
    if (value.size() > kNameBytesMax || !protocol::is_token(value)) {
      return complain_of(cmd, option, "a name of letters, digits and !#$%&'*+-.^_`|~, 64 at most");
    }
    sticky.cookie = value;
  } else if (is_word(option.key, "path")) {
    if (!balance::is_cookie_path(value)) return complain_of(cmd, option, "a path as /app/");
    attributes.path = value;
  } else if (is_word(option.key, "domain")) {
    if (!balance::is_cookie_domain(value)) {
      return complain_of(cmd, option, "a domain as example.com");
    }
    attributes.domain = value;
  } else if (is_word(option.key, "secure")) {
    if (!choose(option.value, kSecureWords, sticky.secure)) {
      return complain_of(cmd, option, "auto, on or off");
    }
  } else if (is_word(option.key, "httponly")) {
    if (!choose(option.value, kOnWords, attributes.is_http_only)) {
      return complain_of(cmd, option, "on or off");
    }
  } else if (is_word(option.key, "samesite")) {
    if (!choose(option.value, kSameSiteWords, attributes.same_site)) {
      return complain_of(cmd, option, "Lax, Strict, None or off");
    }
  } else if (is_word(option.key, "maxage")) {
    return set_max_age(cmd, option, sticky);
  } else if (is_word(option.key, "sign")) {
    return set_keys(cmd, option, sticky);
  } else {
    return complain(cmd,
                    "cookie=NAME and, if wanted, path=, domain=, secure=, httponly=, samesite=, "
                    "maxage= and sign=");
  }
  return nullptr;
}

// Browsers drop a cookie that breaks one of these (draft-ietf-httpbis-rfc6265bis 5.7).
const char* contradiction(StickyConfig& sticky) {
  const std::string_view name = sticky.cookie;
  const balance::CookieAttributes& attributes = sticky.attributes;
  const bool is_of_host = name.starts_with("__Host-");
  if (is_of_host && (attributes.path != "/" || !attributes.domain.empty())) {
    return "a cookie whose name begins with __Host- has the path / and no domain";
  }
  if (!is_of_host && !name.starts_with("__Secure-") && attributes.same_site != SameSite::none) {
    return nullptr;
  }
  if (sticky.secure == SecureCookie::off) {
    return "secure=off does not go with samesite=None, nor with a name that begins with __Secure- "
           "or __Host-";
  }
  sticky.secure = SecureCookie::on;
  return nullptr;
}

class StickyCheck {
 public:
  void look_at_all(const server_rec* main) {
    for (const server_rec* server = main; server != nullptr; server = server->next) {
      const auto* proxy = static_cast<proxy_server_conf*>(
          ap_get_module_config(server->module_config, &proxy_module));
      const ElementsOf<proxy_balancer> balancers(proxy->balancers);
      for (int i = 0; i < proxy->balancers->nelts; ++i) {
        const BalancerConfig* config = find_balancer_config(server, balancers[i]);
        // A virtual host has those of the main server too.
        if (config == nullptr || !config->sticky || !seen_.insert(config).second) continue;
        look_at(server, balancers[i], *config->sticky);
      }
    }
  }

 private:
  static void look_at(const server_rec* server, const proxy_balancer& balancer,
                      const StickyConfig& sticky) {
    if (*balancer.s->sticky != '\0') {
      ap_log_error(APLOG_MARK, APLOG_WARNING, 0, server,
                   "WSB0511: %s has stickysession=%s and WSBalanceSticky: WSBalanceSticky decides, "
                   "stickysession= counts for nothing",
                   balancer.s->name, balancer.s->sticky);
    }
    if (sticky.is_key_file_public) {
      ap_log_error(
          APLOG_MARK, APLOG_WARNING, 0, server,
          "WSB0512: %s: everybody may read %s, and who has read it can make route cookies: "
          "chmod 600",
          balancer.s->name, sticky.key_file.c_str());
    }
    auto* const* members = reinterpret_cast<proxy_worker**>(balancer.workers->elts);
    for (int i = 0; i < balancer.workers->nelts; ++i) {
      const proxy_worker_shared& member = *members[i]->s;
      if (*member.route == '\0' || balance::is_route(member.route)) continue;
      ap_log_error(
          APLOG_MARK, APLOG_WARNING, 0, server,
          "WSB0513: %s: the route '%s' of member %s cannot stand in a cookie: nobody comes "
          "back to it",
          balancer.s->name, member.route, full_name(member));
    }
  }

  std::set<const BalancerConfig*> seen_;
};

}  // namespace

const char* set_sticky(cmd_parms* cmd, void*, const char* arguments) {
  const char* error = nullptr;
  BalancerConfig* const balancer = balancer_section(cmd, error);
  if (balancer == nullptr) return error;
  StickyConfig sticky;
  Option option;
  while (next_option(cmd->pool, arguments, option)) {
    if (option.value == nullptr) return complain(cmd, "words as cookie=NAME path=/app/");
    error = set_option(cmd, option, sticky);
    if (error != nullptr) return error;
  }
  if (sticky.cookie.empty()) return complain(cmd, "cookie=NAME, at least");
  if (const char* text = contradiction(sticky)) {
    return apr_psprintf(cmd->pool, "%s: %s: '%s'", cmd->cmd->name, text, cmd->directive->args);
  }
  balancer->sticky = std::move(sticky);
  return nullptr;
}

void check_sticky_directives(const server_rec* main) { StickyCheck().look_at_all(main); }

}  // namespace wsbalance::httpd
