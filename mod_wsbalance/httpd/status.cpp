#include "httpd/status.h"

#include "httpd/config.h"
#include "httpd/guard.h"
#include "httpd/module_state.h"
#include "httpd/shared_rows.h"

namespace wsbalance::httpd {
namespace {

// With ?auto the keys are for machines and stay as they are (docs/status.md).
int show_status(request_rec* r, int flags) {
  const ModuleState* state = server_config(r->server).state;
  if (state == nullptr) return DECLINED;
  const Totals totals = state->rows->totals();
  const char* format = (flags & AP_STATUS_SHORT) != 0
                           ? "WSBalanceTunnels: %u\nWSBalanceHandshakes: %u\n"
                           : "<hr />\n<h2>WebSocket tunnels</h2>\n"
                             "<dl><dt>Open tunnels: %u</dt>\n"
                             "<dt>Handshakes waiting for a member: %u</dt></dl>\n";
  ap_rprintf(r, format, totals.open_tunnels, totals.waiting_handshakes);
  return OK;
}

int on_status(request_rec* r, int flags) {
  return guarded(r, "status_hook", OK, [&] { return show_status(r, flags); });
}

}  // namespace

void register_status_hooks() {
  APR_OPTIONAL_HOOK(ap, status_hook, on_status, nullptr, nullptr, APR_HOOK_MIDDLE);
}

}  // namespace wsbalance::httpd
