#include "httpd/next_member.h"

#include <algorithm>
#include <span>
#include <string_view>

#include "httpd/config.h"
#include "httpd/guard.h"
#include "httpd/older_httpd.h"
#include "httpd/refusal.h"
#include "httpd/request_view.h"
#include "httpd/url_scheme.h"

namespace wsbalance::httpd {
namespace {

// What mod_proxy_balancer was asked for: "balancer://name/path", as it was before it chose.
constexpr const char* kAskedFor = "wsbalance-balancer-url";

std::span<proxy_worker*> members_of(const proxy_balancer* balancer) {
  return {reinterpret_cast<proxy_worker**>(balancer->workers->elts),
          static_cast<std::size_t>(balancer->workers->nelts)};
}

class BalancerLock {
 public:
  explicit BalancerLock(proxy_balancer* balancer)
      : balancer_(balancer), is_held_(PROXY_THREAD_LOCK(balancer) == APR_SUCCESS) {}
  BalancerLock(const BalancerLock&) = delete;
  BalancerLock& operator=(const BalancerLock&) = delete;
  ~BalancerLock() {
    if (is_held_) PROXY_THREAD_UNLOCK(balancer_);
  }
  explicit operator bool() const { return is_held_; }

 private:
  proxy_balancer* balancer_;
  bool is_held_;
};

// Looks like the member, but nobody will choose it. mod_proxy would take an error away by itself.
proxy_worker* stopped_copy(apr_pool_t* pool, const proxy_worker* worker) {
  proxy_worker* const copy = copy_of(pool, *worker);
  copy->s = copy_of(pool, *worker->s);
  copy->s->status |= PROXY_WORKER_STOPPED;
  return copy;
}

// What was left of an attempt that failed (ap_proxyerror()).
void forget_error(request_rec* r) {
  r->status = HTTP_OK;
  r->status_line = nullptr;
  for (const char* note : {"error-notes", "verbose-error-to"}) apr_table_unset(r->notes, note);
}

}  // namespace

proxy_balancer* balancer_of(const request_rec* r, const MemberRoute& route) {
  if (route.worker->balancer == nullptr) return nullptr;
  // That may be a copy that mod_proxy has forgotten: of it only the name is right.
  const char* const name = apr_table_get(r->subprocess_env, "BALANCER_NAME");
  if (name == nullptr) return nullptr;
  const proxy_server_conf* const conf = route.conf;
  const ElementsOf<proxy_balancer> balancers(conf->balancers);
  for (int i = 0; i < conf->balancers->nelts; ++i) {
    if (std::string_view(balancers[i].s->name) == name) return &balancers[i];
  }
  return nullptr;
}

bool NextMember::is_left_out(const proxy_worker* worker) const {
  return std::find(left_out_.begin(), left_out_.end(), worker) != left_out_.end();
}

bool NextMember::may_serve(const proxy_worker* worker) const {
  static constexpr const char* kSchemes[] = {"ws", "wss", "http", "https"};
  return std::any_of(std::begin(kSchemes), std::end(kSchemes),
                     [worker](const char* scheme) {
                       return ap_cstr_casecmp(worker->s->scheme, scheme) == 0;
                     }) &&
         !is_left_alone(r_, worker);
}

bool NextMember::is_bound() const {
  const char* const route = apr_table_get(r_->notes, "session-route");
  if (route == nullptr || !balancer_->s->sticky_force) return false;
  const auto members = members_of(balancer_);
  return std::any_of(members.begin(), members.end(), [route](const proxy_worker* member) {
    return std::string_view(member->s->route) == route;
  });
}

// mod_proxy_balancer.c, find_route_worker(): members of the session's route, then of the one that
// they redirect to.
proxy_worker* NextMember::find_of_session() const {
  const char* route = apr_table_get(r_->notes, "session-route");
  const auto members = members_of(balancer_);
  for (std::size_t step = 0; route != nullptr && step < members.size(); ++step) {
    const char* redirect = nullptr;
    proxy_worker* standby = nullptr;
    for (proxy_worker* const member : members) {
      if (std::string_view(member->s->route) != route) continue;
      if (*member->s->redirect != '\0') redirect = member->s->redirect;
      if (is_left_out(member) || !PROXY_WORKER_IS_USABLE(member)) continue;
      if (!PROXY_WORKER_IS_STANDBY(member)) return member;
      standby = member;
    }
    if (standby != nullptr) return standby;
    route = redirect;
  }
  return nullptr;
}

// The caller holds the balancer's lock: its members may change at run time.
proxy_worker* NextMember::ask_method() {
  proxy_balancer& copy = *copy_of(r_->pool, *balancer_);
  copy.workers = apr_array_copy(r_->pool, balancer_->workers);
  for (proxy_worker*& member : members_of(&copy)) {
    if (is_left_out(member)) member = stopped_copy(r_->pool, member);
  }
  proxy_worker* const chosen = copy.lbmethod->finder(&copy, r_);
  const auto members = members_of(balancer_);
  const bool is_member = std::find(members.begin(), members.end(), chosen) != members.end();
  return is_member && !is_left_out(chosen) ? chosen : nullptr;
}

proxy_worker* NextMember::choose() {
  const BalancerLock lock(balancer_);
  if (!lock) return nullptr;
  for (;;) {
    proxy_worker* chosen = find_of_session();
    if (chosen == nullptr && !is_bound()) chosen = ask_method();
    if (chosen == nullptr) return nullptr;
    if (may_serve(chosen)) {
      ++chosen->s->elected;
      return chosen;
    }
    leave_out(chosen);
  }
}

std::optional<MemberRoute> NextMember::route_to(proxy_worker* worker, const MemberRoute& first) {
  const char* const asked = apr_table_get(r_->notes, kAskedFor);
  const char* const host = asked != nullptr ? strstr(asked, "://") : nullptr;
  if (host == nullptr) return std::nullopt;
  const char* const path = strchr(host + 3, '/');
  forget_error(r_);
  char* url = apr_pstrcat(r_->pool, full_name(*worker->s), path != nullptr ? path : "", nullptr);
  r_->filename = apr_pstrcat(r_->pool, "proxy:", url, nullptr);
  // In an older httpd the balancer's canon_handler has done it for all members.
  if (ap_proxy_canon_url != nullptr) {
    if (ap_proxy_canon_url(r_) != OK) return std::nullopt;
    url = apr_pstrdup(r_->pool, r_->filename + std::string_view("proxy:").size());
  }
  // As proxy_handler() does it with each member of a balancer.
  ap_proxy_initialize_worker(worker, r_->server, first.conf->pool);

  apr_table_t* const variables = r_->subprocess_env;
  apr_table_setn(variables, "BALANCER_WORKER_NAME", full_name(*worker->s));
  apr_table_setn(variables, "BALANCER_WORKER_ROUTE", worker->s->route);
  if (*balancer_->s->sticky != '\0') apr_table_setn(variables, "BALANCER_ROUTE_CHANGED", "1");
  return MemberRoute{worker, first.conf, url, first.proxy_name, first.proxy_port};
}

namespace {

// The first member's URL replaces this one.
int remember_url(request_rec* r, char* const* url) {
  if (has_scheme(*url, "balancer") && wants_websocket(r)) {
    apr_table_setn(r->notes, kAskedFor, apr_pstrdup(r->pool, *url));
  }
  return DECLINED;
}

int on_pre_request(proxy_worker**, proxy_balancer**, request_rec* r, proxy_server_conf*,
                   char** url) {
  return guarded(r, "pre_request", DECLINED, [&] { return remember_url(r, url); });
}

// mod_proxy_balancer has found no member at all: its URL is still the balancer's.
int tell_when_to_come_again(const int* status, request_rec* r) {
  static constexpr const char* kPrefix = "proxy:";
  if (*status == HTTP_SERVICE_UNAVAILABLE && r->filename != nullptr &&
      strncmp(r->filename, kPrefix, strlen(kPrefix)) == 0 &&
      has_scheme(r->filename + strlen(kPrefix), "balancer") && is_enabled(r) &&
      wants_websocket(r)) {
    add_retry_after(r);
  }
  return DECLINED;
}

int on_request_status(int* status, request_rec* r) {
  return guarded(r, "request_status", DECLINED, [&] { return tell_when_to_come_again(status, r); });
}

}  // namespace

void register_next_member_hooks() {
  proxy_hook_pre_request(on_pre_request, nullptr, nullptr, APR_HOOK_REALLY_FIRST);
  APR_OPTIONAL_HOOK(proxy, request_status, on_request_status, nullptr, nullptr, APR_HOOK_MIDDLE);
}

}  // namespace wsbalance::httpd
