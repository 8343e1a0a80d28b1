#include "httpd/route.h"

#include <string_view>

#include "httpd/config.h"
#include "httpd/guard.h"
#include "httpd/older_httpd.h"
#include "httpd/request_view.h"
#include "httpd/url_scheme.h"
#include "protocol/field.h"

namespace wsbalance::httpd {
namespace {

constexpr const char* kRouteSkipped = "wsbalance-route-skipped";

bool is_websocket_scheme(const char* url) {
  return has_scheme(url, "ws") || has_scheme(url, "wss");
}

proxy_server_conf* proxy_config(const request_rec* r) {
  return static_cast<proxy_server_conf*>(
      ap_get_module_config(r->server->module_config, &proxy_module));
}

// Does a balancer have members for WebSockets only?
bool is_websocket_balancer(request_rec* r, const char* url) {
  const proxy_balancer* balancer = ap_proxy_get_balancer(r->pool, proxy_config(r), url, 0);
  if (balancer == nullptr || balancer->workers->nelts == 0) return false;
  auto* const* members = reinterpret_cast<proxy_worker**>(balancer->workers->elts);
  for (int i = 0; i < balancer->workers->nelts; ++i) {
    const std::string_view scheme(members[i]->s->scheme);
    if (!protocol::equal_ignoring_case(scheme, "ws") &&
        !protocol::equal_ignoring_case(scheme, "wss")) {
      return false;
    }
  }
  return true;
}

// mod_proxy asks while it maps a URL: OK takes the route, DECLINED leaves the question to others,
// anything else makes it look for the next matching ProxyPass.
int check_trans(request_rec* r, const char* url) {
  if (!is_enabled(r)) return DECLINED;
  if (!is_websocket_scheme(url) &&
      !(has_scheme(url, "balancer") && is_websocket_balancer(r, url))) {
    return DECLINED;
  }
  if (wants_websocket(r)) return OK;
  const proxy_worker* worker = ap_proxy_get_worker(r->pool, nullptr, proxy_config(r), url);
  if (worker != nullptr && is_left_alone(r, worker)) return DECLINED;
  apr_table_setn(r->notes, kRouteSkipped, "1");
  return HTTP_UPGRADE_REQUIRED;
}

// No other ProxyPass, and no handler of the configuration, wanted a request that a ws:// route
// did not take. Files below the route's path stay hidden behind it, as behind any ProxyPass.
int require_upgrade(request_rec* r) {
  if (r->proxyreq != PROXYREQ_NONE || r->handler != nullptr ||
      apr_table_get(r->notes, kRouteSkipped) == nullptr) {
    return DECLINED;
  }
  if (r->prev != nullptr && ap_is_HTTP_ERROR(r->prev->status)) return DECLINED;  // ErrorDocument
  apr_table_setn(r->err_headers_out, "Upgrade", "websocket");
  apr_table_setn(r->err_headers_out, "Connection", "Upgrade");
  ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                "WSB0211: %s is a WebSocket route and this request is no upgrade: 426", r->uri);
  return HTTP_UPGRADE_REQUIRED;
}

// Brings the URL of a ws or wss route into the form that goes to the member. Runs only where
// neither mod_proxy_http nor mod_proxy_wstunnel did, and keeps their rules: the path is encoded
// anew, and nothing that could break the request line gets through.
int canon(request_rec* r, char* url) {
  const bool http = has_scheme(url, "http") || has_scheme(url, "https");
  if (!is_enabled(r) || !(is_websocket_scheme(url) || (http && wants_websocket(r)))) {
    return DECLINED;
  }
  char* rest = strchr(url, ':');
  const char* scheme = apr_pstrmemdup(r->pool, url, static_cast<apr_size_t>(rest - url));
  ++rest;
  const apr_port_t default_port = ap_proxy_port_of_scheme(scheme);
  apr_port_t port = default_port;
  char* host = nullptr;
  if (const char* error = ap_proxy_canon_netloc(r->pool, &rest, nullptr, nullptr, &host, &port)) {
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "WSB0212: error parsing URL %s: %s", url, error);
    return HTTP_BAD_REQUEST;
  }

  const char* path = rest;
  const char* search = nullptr;
  if (apr_table_get(r->notes, "proxy-nocanon") == nullptr) {
    search = r->args;
    if (apr_table_get(r->notes, "proxy-noencode") == nullptr) {
      const auto* core =
          static_cast<core_dir_config*>(ap_get_core_module_config(r->per_dir_config));
      path = encode_path(r, rest, core->allow_encoded_slashes && !core->decode_encoded_slashes);
      if (path == nullptr) return HTTP_BAD_REQUEST;
    }
  }
  if (*ap_scan_vchar_obstext(path) != '\0' ||
      (search != nullptr && *ap_scan_vchar_obstext(search) != '\0')) {
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                  "WSB0213: the path or query for the member has control characters or spaces");
    return HTTP_FORBIDDEN;
  }

  if (strchr(host, ':') != nullptr) host = apr_pstrcat(r->pool, "[", host, "]", nullptr);
  const char* port_text = port == default_port ? "" : apr_psprintf(r->pool, ":%d", port);
  r->filename = apr_pstrcat(r->pool, "proxy:", scheme, "://", host, port_text, "/", path,
                            search != nullptr ? "?" : "", search != nullptr ? search : "", nullptr);
  return OK;
}

int on_check_trans(request_rec* r, const char* url) {
  return guarded(r, "check_trans", DECLINED, [&] { return check_trans(r, url); });
}

int on_fixups(request_rec* r) {
  return guarded(r, "fixups", HTTP_INTERNAL_SERVER_ERROR, [&] { return require_upgrade(r); });
}

int on_canon(request_rec* r, char* url) {
  return guarded(r, "canon_handler", HTTP_INTERNAL_SERVER_ERROR, [&] { return canon(r, url); });
}

}  // namespace

void register_route_hooks() {
  // After mod_rewrite's per-directory rules, which may still proxy the request, and before mod_dir,
  // which would redirect it into the file system.
  static const char* const kBefore[] = {"mod_dir.c", nullptr};
  proxy_hook_check_trans(on_check_trans, nullptr, nullptr, APR_HOOK_REALLY_FIRST);
  proxy_hook_canon_handler(on_canon, nullptr, nullptr, APR_HOOK_REALLY_LAST);
  ap_hook_fixups(on_fixups, nullptr, kBefore, APR_HOOK_LAST);
}

}  // namespace wsbalance::httpd
