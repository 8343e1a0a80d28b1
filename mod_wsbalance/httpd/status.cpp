#include "httpd/status.h"

#include "balance/health.h"
#include "balance/member_state.h"
#include "httpd/config.h"
#include "httpd/guard.h"
#include "httpd/module_state.h"
#include "httpd/shared_clock.h"
#include "httpd/shared_rows.h"

namespace wsbalance::httpd {
namespace {

// With ?auto the keys are for machines and stay as they are (docs/status.md).
void print(request_rec* r, const char* key, std::uint64_t value) {
  ap_rprintf(r, "%s: %" APR_UINT64_T_FMT "\n", key, apr_uint64_t{value});
}

void print(request_rec* r, const char* key, const char* text) {
  ap_rprintf(r, "%s: %s\n", key, *text != '\0' ? ap_escape_logitem(r->pool, text) : "-");
}

// Calls visit(name, count) for each reason.
template <typename Visit>
void for_each_reason(const EndCounts& ends, Visit&& visit) {
  for (std::size_t reason = 1; reason < relay::kEndReasons; ++reason) {
    visit(relay::name_of(static_cast<relay::EndReason>(reason)),
          ends.ended[reason].load(std::memory_order_relaxed));
  }
}

// Rounded up.
std::uint64_t seconds_until(std::int64_t time_ms) {
  const std::int64_t left = time_ms - shared_clock_ms();
  return left > 0 ? static_cast<std::uint64_t>((left + 999) / 1000) : 0;
}

const char* health_text(const MemberRow& row) {
  const auto health = balance::Health::unpack(row.health);
  if (health.is_down) return "down";
  if (seconds_until(row.ejected_until_ms) > 0) return "ejected";
  return health.is_checked ? "up" : "-";
}

bool has_been_asked(const MemberRow& row) {
  return row.opened != 0 || row.handshakes_failed != 0 || row.checks != 0;
}

// Of a member of a balancer: what was seen of it last.
const char* text_of(const balance::MemberState& state) {
  if (state.is_down) return "down";
  switch (state.duty) {
    case balance::Duty::full:
      return "up";
    case balance::Duty::draining:
      return "draining";
    case balance::Duty::none:
      return "out";
  }
  return "";
}

// In seconds; -1: it takes none, or always did.
std::int64_t up_for(const MemberRow& row) {
  const std::int64_t since = row.up_since_ms;
  return since == 0 || since == MemberRow::kNotUp ? -1 : (shared_clock_ms() - since) / 1000;
}

// Calls visit(number, row) for each member.
template <typename Visit>
void for_each_member(const SharedRows& rows, Visit&& visit) {
  for (std::uint32_t number = 0; number < rows.members().size(); ++number) {
    const MemberRow& row = rows.member_row(number);
    if (row.is_used.load(std::memory_order_acquire) != 0) visit(number, row);
  }
}

void show_member_for_machines(request_rec* r, const SharedRows& rows, std::uint32_t epoch,
                              std::uint32_t number) {
  const MemberRow& row = rows.member_row(number);
  const auto key = [r, number](const char* what) {
    return apr_psprintf(r->pool, "WSBalanceMember[%u]%s", number, what);
  };
  print(r, key("Server"), row.server.data());
  print(r, key("Balancer"), row.balancer.data());
  print(r, key("Name"), row.worker.data());
  print(r, key("Configured"), row.named_in >= epoch || number == SharedRows::kOtherMember);
  if (const std::uint32_t state = row.moves.state; state != 0) {
    print(r, key("State"), text_of(balance::MemberState::unpacked(state)));
  }
  if (const std::int64_t seconds = up_for(row); seconds >= 0) {
    print(r, key("UpFor"), static_cast<std::uint64_t>(seconds));
  }
  const MemberSum sum = rows.sum_of(number);
  print(r, key("Tunnels"), sum.tunnels);
  print(r, key("Leaving"), sum.leaving);
  print(r, key("Opened"), row.opened);
  for_each_reason(row.ends, [&](const char* reason, std::uint64_t count) {
    if (count != 0) print(r, key(apr_psprintf(r->pool, "Ended[%s]", reason)), count);
  });
  print(r, key("Lost"), row.ends.lost);
  print(r, key("HandshakesFailed"), row.handshakes_failed);
  const auto health = balance::Health::unpack(row.health);
  print(r, key("Health"), !health.is_checked ? "" : health.is_down ? "down" : "up");
  print(r, key("Checks"), row.checks);
  print(r, key("ChecksFailed"), row.checks_failed);
  print(r, key("Ejections"), row.ejections);
  print(r, key("EjectedFor"), seconds_until(row.ejected_until_ms));
  print(r, key("BytesToMember"), row.bytes_to_member);
  print(r, key("BytesToClient"), row.bytes_to_client);
  print(r, key("MessagesToMember"), row.messages_to_member);
  print(r, key("MessagesToClient"), row.messages_to_client);
  print(r, key("Throttled"), row.ends.throttled);
  print(r, key("Violations"), row.ends.violations);
}

void show_for_machines(request_rec* r, const ModuleState& state) {
  const SharedRows& rows = *state.rows;
  const Totals totals = rows.totals();
  const EndCounts& ends = rows.ends();
  print(r, "WSBalanceTunnels", totals.open_tunnels);
  print(r, "WSBalanceHandshakes", totals.waiting_handshakes);
  print(r, "WSBalanceCarriers", totals.carriers);
  print(r, "WSBalanceCarrierTunnels", totals.carrier_tunnels);
  for_each_reason(ends, [r](const char* reason, std::uint64_t count) {
    print(r, apr_psprintf(r->pool, "WSBalanceEnded[%s]", reason), count);
  });
  print(r, "WSBalanceLost", ends.lost);
  print(r, "WSBalanceThrottled", ends.throttled);
  print(r, "WSBalanceViolations", ends.violations);
  for_each_member(rows, [&](std::uint32_t number, const MemberRow& row) {
    // "other" and "proxy:reverse" are always there.
    if (row.server[0] == '\0' && !has_been_asked(row)) return;
    show_member_for_machines(r, rows, state.epoch, number);
  });
}

void show_cell(request_rec* r, std::uint64_t value) {
  ap_rprintf(r, "<td>%" APR_UINT64_T_FMT "</td>", apr_uint64_t{value});
}

// "client-close 3, idle 1"
const char* ends_text(request_rec* r, const EndCounts& ends) {
  const char* text = "";
  const auto append = [&](const char* reason, std::uint64_t count) {
    if (count == 0) return;
    text = apr_psprintf(r->pool, "%s%s%s %" APR_UINT64_T_FMT, text, *text != '\0' ? ", " : "",
                        reason, apr_uint64_t{count});
  };
  for_each_reason(ends, append);
  append("lost", ends.lost);
  return text;
}

void show_member_for_people(request_rec* r, const SharedRows& rows, std::uint32_t epoch,
                            std::uint32_t number, const MemberRow& row) {
  const bool is_old = row.named_in < epoch && number != SharedRows::kOtherMember;
  ap_rprintf(r, "<tr><td>%s%s</td><td>%s</td><td>%s</td>",
             ap_escape_html(r->pool, row.worker.data()), is_old ? " (not configured)" : "",
             ap_escape_html(r->pool, row.balancer.data()),
             ap_escape_html(r->pool, row.server.data()));
  show_cell(r, rows.open_of(number));
  show_cell(r, row.opened);
  show_cell(r, row.handshakes_failed);
  ap_rprintf(r, "<td>%s</td>", health_text(row));
  show_cell(r, row.bytes_to_member);
  show_cell(r, row.bytes_to_client);
  show_cell(r, row.messages_to_member);
  show_cell(r, row.messages_to_client);
  ap_rprintf(r, "<td>%s</td></tr>\n", ends_text(r, row.ends));
}

void show_for_people(request_rec* r, const ModuleState& state) {
  const SharedRows& rows = *state.rows;
  const Totals totals = rows.totals();
  ap_rprintf(r,
             "<hr />\n<h2>WebSocket tunnels</h2>\n<dl><dt>Open tunnels: %u</dt>\n"
             "<dt>Of these in %u carrier processes: %u</dt>\n"
             "<dt>Handshakes waiting for a member: %u</dt>\n",
             totals.open_tunnels, totals.carriers, totals.carrier_tunnels,
             totals.waiting_handshakes);
  ap_rprintf(r, "<dt>Ended: %s</dt>\n</dl>\n", ends_text(r, rows.ends()));
  ap_rputs(
      "<table border=\"0\"><tr><th>Member</th><th>Balancer</th><th>Server</th><th>Open</th>"
      "<th>Opened</th><th>Handshakes failed</th><th>Health</th><th>Bytes to member</th><th>to "
      "client</th>"
      "<th>Messages to member</th><th>to client</th><th>Ended</th></tr>\n",
      r);
  // Members may be many that never saw a WebSocket.
  for_each_member(rows, [&](std::uint32_t number, const MemberRow& row) {
    if (has_been_asked(row)) show_member_for_people(r, rows, state.epoch, number, row);
  });
  ap_rputs("</table>\n", r);
}

int show_status(request_rec* r, int flags) {
  const ModuleState* state = server_config(r->server).state;
  if (state == nullptr) return DECLINED;
  const bool is_for_machines = (flags & AP_STATUS_SHORT) != 0;
  (is_for_machines ? show_for_machines : show_for_people)(r, *state);
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
