#include "httpd/cache_bypass.h"

#include "httpd/config.h"
#include "httpd/guard.h"
#include "httpd/request_view.h"

namespace wsbalance::httpd {
namespace {

constexpr const char* kHidden = "wsbalance-hidden-from-cache";

// mod_cache lets a request pass that is neither GET nor one that changes what it keeps. It has no
// other switch for a single request that works before the request is mapped, and with
// CacheIgnoreCacheControl.
int hide(request_rec* r) {
  if (r->method_number == M_GET && is_enabled(r) && wants_websocket(r)) {
    apr_table_setn(r->notes, kHidden, "1");
    r->method_number = M_INVALID;
  }
  return DECLINED;
}

int show(request_rec* r) {
  if (r->method_number == M_INVALID && apr_table_get(r->notes, kHidden) != nullptr) {
    apr_table_unset(r->notes, kHidden);
    r->method_number = M_GET;
  }
  return DECLINED;
}

int before_quick_handler(request_rec* r, int) {
  return guarded(r, "quick_handler", DECLINED, [&] { return hide(r); });
}
int after_quick_handler(request_rec* r, int) { return show(r); }

int before_handler(request_rec* r) {
  return guarded(r, "handler", DECLINED, [&] { return hide(r); });
}
int after_handler(request_rec* r) { return show(r); }

}  // namespace

// Each pair stands around mod_cache: only modules that want to run at the same moment as that see the
// method as it is not.
void register_cache_hooks() {
  static const char* const kCache[] = {"mod_cache.c", nullptr};
  ap_hook_quick_handler(before_quick_handler, nullptr, kCache, APR_HOOK_FIRST - 1);
  ap_hook_quick_handler(after_quick_handler, kCache, nullptr, APR_HOOK_FIRST + 1);
  ap_hook_handler(before_handler, nullptr, kCache, APR_HOOK_REALLY_FIRST - 1);
  ap_hook_handler(after_handler, kCache, nullptr, APR_HOOK_REALLY_FIRST + 1);
}

}  // namespace wsbalance::httpd
