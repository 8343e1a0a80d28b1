#include "httpd/shortages.h"

#include <chrono>

#include "httpd/child.h"
#include "httpd/config.h"
#include "httpd/refusal.h"

namespace wsbalance::httpd {
namespace {

std::int64_t now_ms() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

}  // namespace

int refuse_without_descriptors(request_rec* r, Shortages& shortages) {
  if (shortages.descriptors.refuse(now_ms())) {
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                  "WSB0221: no descriptor left for a tunnel in this child: handshakes get 503 "
                  "until tunnels end (raise the limit of open files)");
  }
  return refuse_busy(r);
}

int refuse_without_memory(request_rec* r) {
  // It may have come while the 101 was made.
  r->status = HTTP_OK;
  r->status_line = nullptr;
  Child* const child = server_config(r->server).state->child;
  if (child != nullptr && child->shortages().memory.refuse(now_ms())) {
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                  "WSB0231: no memory for a tunnel in this child: handshakes get 503");
  }
  return refuse_busy(r);
}

void note_enough(const request_rec* r, Shortages& shortages) {
  if (shortages.descriptors.is_on()) {
    if (const std::uint64_t refused = shortages.descriptors.grant(now_ms())) {
      ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, r,
                    "WSB0229: this child has descriptors for tunnels again; %" APR_UINT64_T_FMT
                    " handshakes got 503",
                    apr_uint64_t{refused});
    }
  }
  if (shortages.memory.is_on()) {
    if (const std::uint64_t refused = shortages.memory.grant(now_ms())) {
      ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, r,
                    "WSB0232: this child has memory for tunnels again; %" APR_UINT64_T_FMT
                    " handshakes got 503",
                    apr_uint64_t{refused});
    }
  }
}

}  // namespace wsbalance::httpd
