#include "httpd/status.h"

#include "httpd/config.h"
#include "httpd/guard.h"
#include "httpd/module_state.h"
#include "httpd/shared_rows.h"

namespace wsbalance::httpd {
namespace {

// With ?auto the keys are for machines and stay as they are (docs/status.md).
void show_for_machines(request_rec* r, const SharedRows& rows) {
  const Totals totals = rows.totals();
  const EndCounts& ends = rows.ends();
  ap_rprintf(r, "WSBalanceTunnels: %u\nWSBalanceHandshakes: %u\n", totals.open_tunnels,
             totals.waiting_handshakes);
  for (std::size_t reason = 1; reason < relay::kEndReasons; ++reason) {
    ap_rprintf(r, "WSBalanceEnded[%s]: %" APR_UINT64_T_FMT "\n",
               relay::name_of(static_cast<relay::EndReason>(reason)),
               apr_uint64_t{ends.ended[reason]});
  }
  ap_rprintf(
      r, "WSBalanceThrottled: %" APR_UINT64_T_FMT "\nWSBalanceViolations: %" APR_UINT64_T_FMT "\n",
      apr_uint64_t{ends.throttled}, apr_uint64_t{ends.violations});
}

void show_for_people(request_rec* r, const SharedRows& rows) {
  const Totals totals = rows.totals();
  const EndCounts& ends = rows.ends();
  ap_rprintf(r,
             "<hr />\n<h2>WebSocket tunnels</h2>\n<dl><dt>Open tunnels: %u</dt>\n"
             "<dt>Handshakes waiting for a member: %u</dt>\n",
             totals.open_tunnels, totals.waiting_handshakes);
  for (std::size_t reason = 1; reason < relay::kEndReasons; ++reason) {
    const std::uint64_t count = ends.ended[reason];
    if (count == 0) continue;
    ap_rprintf(r, "<dt>Ended by %s: %" APR_UINT64_T_FMT "</dt>\n",
               relay::name_of(static_cast<relay::EndReason>(reason)), apr_uint64_t{count});
  }
  ap_rputs("</dl>\n", r);
}

int show_status(request_rec* r, int flags) {
  const ModuleState* state = server_config(r->server).state;
  if (state == nullptr) return DECLINED;
  const bool is_for_machines = (flags & AP_STATUS_SHORT) != 0;
  (is_for_machines ? show_for_machines : show_for_people)(r, *state->rows);
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
