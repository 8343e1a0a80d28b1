// guard.h - no exception leaves a function that httpd calls. The only catch in the tree.
//
// Layer:    httpd.
// Threads:  any.
// Errors:   an exception is logged and becomes the value that the caller names; for want of memory,
//           503 where that is an error.
#pragma once

#include <exception>
#include <new>

#include "httpd/httpd_api.h"
#include "httpd/shortages.h"

namespace wsbalance::httpd {

// Runs the body of a hook that has a request. `on_throw` is what httpd gets if it throws.
template <typename Body>
int guarded(request_rec* r, const char* hook, int on_throw, Body&& body) noexcept {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return ap_is_HTTP_ERROR(on_throw) ? refuse_without_memory(r) : on_throw;
  } catch (const std::exception& error) {
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "WSB0001: %s: unexpected: %s", hook, error.what());
  } catch (...) {
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "WSB0002: %s: unexpected exception", hook);
  }
  return on_throw;
}

// The same for a hook that has a server.
template <typename Body>
int guarded(server_rec* s, const char* hook, int on_throw, Body&& body) noexcept {
  try {
    return body();
  } catch (const std::exception& error) {
    ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s, "WSB0003: %s: unexpected: %s", hook, error.what());
  } catch (...) {
    ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s, "WSB0004: %s: unexpected exception", hook);
  }
  return on_throw;
}

}  // namespace wsbalance::httpd
