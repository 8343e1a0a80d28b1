#include "httpd/sticky_route.h"

#include <atomic>
#include <cstring>
#include <string_view>
#include <vector>

#include "balance/route_cookie.h"
#include "httpd/config.h"
#include "httpd/forwarded_fields.h"
#include "httpd/guard.h"
#include "httpd/module_state.h"
#include "httpd/older_httpd.h"
#include "httpd/refusal.h"
#include "protocol/field.h"

namespace wsbalance::httpd {
namespace {

// Behind the name of our cookie it makes the name that mod_proxy_balancer looks for, in cookies and
// in the URL. Where the URL has it, the client means to choose.
constexpr std::string_view kMark = ":WSBalanceSticky";
constexpr std::size_t kNameShownMax = 40;

constexpr const char* kSetCookie = "Set-Cookie";

// What is known of a request between two hooks.
struct StickyRequest {
  const request_rec* r;
  apr_table_t* own_fields = nullptr;         // r->headers_in, while mod_proxy_balancer sees others.
  const char* route = nullptr;               // In the client's cookie; null: in none that verifies.
  bool is_current = false;                   // Of that cookie: nothing about it has to change.
  const StickyConfig* was_set_by = nullptr;  // A cookie stands in the answer's fields.
};

constexpr const char* kKey = "wsbalance-sticky";

// An internal redirect has the same pool and is another request.
StickyRequest* find(const request_rec* r) {
  void* found = nullptr;
  apr_pool_userdata_get(&found, kKey, r->pool);
  auto* const sticky = static_cast<StickyRequest*>(found);
  return sticky != nullptr && sticky->r == r ? sticky : nullptr;
}

StickyRequest& find_or_make(const request_rec* r) {
  StickyRequest* sticky = find(r);
  if (sticky == nullptr) {
    sticky = new (apr_palloc(r->pool, sizeof(StickyRequest))) StickyRequest{.r = r};
    apr_pool_userdata_setn(sticky, kKey, nullptr, r->pool);
  }
  return *sticky;
}

// balancer-manager may have given the balancer another name, or none: that holds then.
bool is_ours(const proxy_balancer& balancer) {
  return std::string_view(balancer.s->sticky).ends_with(kMark);
}

const StickyConfig* sticky_config(const request_rec* r, const proxy_balancer& balancer) {
  const BalancerConfig* const config = find_balancer_config(r->server, balancer);
  return config != nullptr && config->sticky && is_ours(balancer) ? &*config->sticky : nullptr;
}

template <std::size_t N>
void copy(char (&to)[N], const char* from) {
  apr_cpystrn(to, from, N);
}

// Children may do so at the same time, and read it meanwhile: it is there when its first character
// is.
void name_route(proxy_worker_shared& member) {
  if (*member.route != '\0') return;
  const std::string route =
      balance::default_route(std::string(member.uds_path) + full_name(member));
  static_assert(sizeof(member.route) > 16);
  std::memcpy(member.route + 1, route.c_str() + 1, route.size());
  std::atomic_ref<char>(*member.route).store(route.front(), std::memory_order_release);
}

void prepare(proxy_balancer& balancer, const StickyConfig& config) {
  std::string name = config.cookie.substr(0, kNameShownMax);
  name.append(kMark);
  copy(balancer.s->sticky, name.c_str());
  copy(balancer.s->sticky_path, name.c_str());
  balancer.s->sticky_separator = '.';
  auto* const* members = reinterpret_cast<proxy_worker**>(balancer.workers->elts);
  for (int i = 0; i < balancer.workers->nelts; ++i) name_route(*members[i]->s);
}

// A record that BalancerPersist has kept from when the balancer had the directive.
void forget(const proxy_balancer& balancer) {
  if (is_ours(balancer)) *balancer.s->sticky = *balancer.s->sticky_path = '\0';
}

// ---- before a member is chosen

proxy_balancer* find_balancer(request_rec* r, proxy_server_conf* conf, const char* url) {
  static constexpr std::string_view kPrefix = "balancer://";
  if (ap_cstr_casecmpn(url, kPrefix.data(), kPrefix.size()) != 0) return nullptr;
  return ap_proxy_get_balancer(r->pool, conf, url, 1);
}

// Lets mod_proxy_balancer see `cookies`, or no field Cookie, in place of the client's.
void show(request_rec* r, StickyRequest& sticky, const char* cookies) {
  sticky.own_fields = r->headers_in;
  r->headers_in = apr_table_copy(r->pool, r->headers_in);
  if (cookies != nullptr) {
    apr_table_setn(r->headers_in, "Cookie", cookies);
  } else {
    apr_table_unset(r->headers_in, "Cookie");
  }
}

void show_own(request_rec* r) {
  StickyRequest* const sticky = find(r);
  if (sticky == nullptr || sticky->own_fields == nullptr) return;
  r->headers_in = sticky->own_fields;
  sticky->own_fields = nullptr;
}

int show_route(request_rec* r, const proxy_balancer& balancer, const StickyConfig& config,
               const char* url) {
  const char* const name = balancer.s->sticky;
  if (std::strstr(url, name) != nullptr) {
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                  "WSB0514: the URL names a route by %s, which stands for a cookie here: 400",
                  name);
    return HTTP_BAD_REQUEST;
  }
  StickyRequest& sticky = find_or_make(r);
  sticky.route = nullptr;
  const char* cookies = apr_table_get(r->headers_in, "Cookie");
  if (cookies == nullptr) return DECLINED;
  const auto found =
      balance::find_route_cookie(cookies, config.cookie, balancer.s->name, config.keys);
  if (!found) {
    // What the client itself calls by that name.
    if (std::strstr(cookies, name) != nullptr) show(r, sticky, nullptr);
    return DECLINED;
  }
  sticky.route = apr_pstrmemdup(r->pool, found->route.data(), found->route.size());
  sticky.is_current = found->is_current;
  // The first of a name counts.
  show(r, sticky, apr_pstrcat(r->pool, name, "=.", sticky.route, "; ", cookies, nullptr));
  return DECLINED;
}

int on_pre_request(proxy_worker**, proxy_balancer** chosen, request_rec* r, proxy_server_conf* conf,
                   char** url) {
  return guarded(r, "pre_request", DECLINED, [&]() -> int {
    if (!server_config(r->server).state->has_sticky_balancers) return DECLINED;
    const proxy_balancer* balancer = *chosen != nullptr ? *chosen : find_balancer(r, conf, *url);
    if (balancer == nullptr) return DECLINED;
    const StickyConfig* const config = sticky_config(r, *balancer);
    return config != nullptr ? show_route(r, *balancer, *config, *url) : DECLINED;
  });
}

// The first thing that happens when mod_proxy_balancer has chosen.
int on_canon(request_rec* r, char*) {
  return guarded(r, "canon_handler", DECLINED, [&] {
    show_own(r);
    return DECLINED;
  });
}

// ---- when one is chosen

bool is_https(const request_rec* r) {
  const std::string_view scheme = scheme_of_client(r);
  return protocol::equal_ignoring_case(protocol::trim(scheme.substr(0, scheme.find(','))), "https");
}

bool is_secure(const request_rec* r, const StickyConfig& config) {
  return config.secure == SecureCookie::on ||
         (config.secure == SecureCookie::automatic && is_https(r));
}

void take_away(request_rec* r, const StickyConfig& config) {
  const std::string start = config.cookie + "=";
  std::vector<const char*> others;
  bool is_there = false;
  const apr_array_header_t* const fields = apr_table_elts(r->err_headers_out);
  for (int i = 0; i < fields->nelts; ++i) {
    const auto& field = APR_ARRAY_IDX(fields, i, apr_table_entry_t);
    if (!protocol::equal_ignoring_case(field.key, kSetCookie)) continue;
    if (std::string_view(field.val).starts_with(start)) {
      is_there = true;
    } else {
      others.push_back(field.val);
    }
  }
  if (!is_there) return;
  apr_table_unset(r->err_headers_out, kSetCookie);
  for (const char* value : others) apr_table_addn(r->err_headers_out, kSetCookie, value);
}

// What the cookie is called, not what it was called between two hooks.
void tell_name(request_rec* r, const StickyConfig& config) {
  const StickyRequest* const sticky = find(r);
  if (sticky == nullptr || sticky->route == nullptr) return;
  apr_table_setn(r->subprocess_env, "BALANCER_SESSION_STICKY", config.cookie.c_str());
  apr_table_setn(r->notes, "session-sticky", config.cookie.c_str());
}

// Of a member, and not of ours: also where the page is httpd's (ProxyErrorOverride).
bool is_answered(const request_rec* r, int status) {
  return status == OK || status == DONE ||
         (apr_table_get(r->notes, "proxy-error-override") != nullptr && !is_own_refusal(r));
}

// Where no member has answered, nobody need come back to it.
int on_request_status(int* status, request_rec* r) {
  return guarded(r, "request_status", DECLINED, [&] {
    show_own(r);
    const StickyRequest* const sticky = find(r);
    if (sticky != nullptr && sticky->was_set_by != nullptr && !is_answered(r, *status)) {
      take_away(r, *sticky->was_set_by);
    }
    return DECLINED;
  });
}

}  // namespace

bool prepare_sticky_balancers(server_rec* main_server) {
  bool has_found = false;
  for (const server_rec* server = main_server; server != nullptr; server = server->next) {
    const auto* proxy =
        static_cast<proxy_server_conf*>(ap_get_module_config(server->module_config, &proxy_module));
    const ElementsOf<proxy_balancer> balancers(proxy->balancers);
    for (int i = 0; i < proxy->balancers->nelts; ++i) {
      const BalancerConfig* const config = find_balancer_config(server, balancers[i]);
      if (config == nullptr || !config->sticky) {
        forget(balancers[i]);
        continue;
      }
      prepare(balancers[i], *config->sticky);
      has_found = true;
    }
  }
  return has_found;
}

void settle_route(request_rec* r, const proxy_balancer* balancer, proxy_worker& worker) {
  show_own(r);
  if (balancer == nullptr) return;
  if (const StickyConfig* const config = sticky_config(r, *balancer)) tell_name(r, *config);
  set_route_cookie(r, *balancer, worker);
}

void set_route_cookie(request_rec* r, const proxy_balancer& balancer, proxy_worker& worker) {
  const StickyConfig* const config = sticky_config(r, balancer);
  if (config == nullptr) return;
  const StickyConfig& sticky = *config;
  take_away(r, sticky);
  name_route(*worker.s);
  const std::string_view route = worker.s->route;
  StickyRequest& request = find_or_make(r);
  const bool is_known = request.route != nullptr && request.route == route;
  if (!is_known) apr_table_setn(r->subprocess_env, "BALANCER_ROUTE_CHANGED", "1");
  if ((is_known && request.is_current) || !balance::is_route(route)) return;
  const std::string text = balance::set_cookie_text(
      sticky.cookie, balance::make_route_cookie(route, balancer.s->name, sticky.keys),
      sticky.attributes, is_secure(r, sticky));
  apr_table_addn(r->err_headers_out, kSetCookie, apr_pstrmemdup(r->pool, text.data(), text.size()));
  request.was_set_by = &sticky;
}

void register_sticky_hooks() {
  // After others that look at the client's fields (WSBalanceHashKey).
  proxy_hook_pre_request(on_pre_request, nullptr, nullptr, APR_HOOK_REALLY_FIRST + 1);
  proxy_hook_canon_handler(on_canon, nullptr, nullptr, APR_HOOK_REALLY_FIRST);
  APR_OPTIONAL_HOOK(proxy, request_status, on_request_status, nullptr, nullptr,
                    APR_HOOK_REALLY_FIRST);
}

}  // namespace wsbalance::httpd
