#include "httpd/startup.h"

#include <unistd.h>

#include <algorithm>

#include "httpd/checked_members.h"
#include "httpd/child.h"
#include "httpd/config.h"
#include "httpd/descriptor_limit.h"
#include "httpd/guard.h"
#include "httpd/lineage.h"
#include "httpd/members.h"
#include "httpd/module_state.h"
#include "httpd/orphans.h"
#include "httpd/pool.h"
#include "httpd/queries.h"
#include "httpd/server_limits.h"
#include "httpd/server_stop.h"
#include "httpd/shared_segment.h"
#include "httpd/startup_lines.h"
#include "httpd/sticky_route.h"

namespace wsbalance::httpd {
namespace {

// Before any directive is run, so that this line comes before mod_proxy's missing directives.
int check_proxy(apr_pool_t*, apr_pool_t*, apr_pool_t*) {
  if (is_proxy_loaded()) return OK;
  if (ap_find_linked_module("mod_proxy.c") != nullptr) {
    ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_CRIT, 0, nullptr,
                 "WSB0011: mod_wsbalance is loaded before mod_proxy: put the LoadModule line of "
                 "proxy_module before that of wsbalance_module");
  } else {
    ap_log_error(APLOG_MARK, APLOG_STARTUP | APLOG_CRIT, 0, nullptr,
                 "WSB0012: mod_wsbalance needs mod_proxy: put a LoadModule line for proxy_module "
                 "before that of wsbalance_module (Debian: a2enmod proxy)");
  }
  return HTTP_INTERNAL_SERVER_ERROR;
}

// Twice as many rows as members, and more: old ones keep theirs while tunnels are open.
constexpr std::uint32_t kMemberRowsMin = 1024;
constexpr std::uint32_t kMemberRowsForEach = 4;

// False: said why.
bool open_rows(apr_pool_t* pool, server_rec* server, ModuleState& state) {
  const auto children =
      static_cast<std::uint32_t>(std::max(1, ask_mpm(AP_MPMQ_HARD_LIMIT_DAEMONS)));
  state.carriers_max = carriers_max(server_config(server));
  // Children, and carriers that are about to end because others take their place.
  const std::uint32_t rows_beside = 2 * children;
  const auto members = static_cast<std::uint32_t>(
      std::min<std::size_t>(Members::count(server), SharedRows::kMembersMax));
  apr_status_t rv = APR_SUCCESS;
  const auto rows =
      open_shared_rows(server,
                       {.processes = rows_beside + state.carriers_max,
                        .members = std::max(kMemberRowsMin, kMemberRowsForEach * members)},
                       &rv);
  if (!rows) {
    ap_log_error(APLOG_MARK, APLOG_CRIT, rv, server,
                 "WSB0013: no shared memory for the counters of %u children and %u members",
                 children, members);
    return false;
  }
  const std::uint32_t room =
      rows->numbers().processes - std::min(rows->numbers().processes, rows_beside);
  if (state.carriers_max > room) {
    ap_log_error(
        APLOG_MARK, APLOG_WARNING, 0, server,
        "WSB0024: WSBalanceMaxCarriers is %u and there is room for %u: for more of them the "
        "server must be stopped and started",
        state.carriers_max, room);
    state.carriers_max = room;
  }
  state.rows = pool_new<SharedRows>(pool, *rows);
  state.epoch = rows->begin_epoch();
  rows->clear_dead(process_id_of(::getpid()));
  state.orphans = pool_new<Orphans>(pool, pool, *state.rows);
  state.members = Members::make(pool, server, *rows, state.epoch);
  restore_health(server, state);
  return true;
}

int make_state(apr_pool_t* pool, apr_pool_t* log_pool, apr_pool_t* temporary_pool,
               server_rec* server) {
  const ServerConfig& config = server_config(server);
  auto* state = pool_new<ModuleState>(pool);
  state->parameters = config.parameters;
  state->lineage = Lineage::find_or_make();
  if (state->lineage == nullptr) {
    ap_log_error(APLOG_MARK, APLOG_CRIT, errno, server,
                 "WSB0017: no descriptors or shared memory for what processes share over restarts");
    return HTTP_INTERNAL_SERVER_ERROR;
  }
  state->drain_timeout = config.drain_timeout;
  if (!open_rows(pool, server, *state)) return HTTP_INTERNAL_SERVER_ERROR;
  state->has_sticky_balancers = prepare_sticky_balancers(server);
  state->waiting_handshakes_max = waiting_handshakes_max(config);
  state->relay.groups = state->rows->numbers().members;  // A group for each member's row.
  state->relay.threads = config.threads;
  state->relay.buffer_total_bytes_max = config.buffer_total_bytes_max;
  for (server_rec* s = server; s != nullptr; s = s->next) mutable_server_config(s).state = state;

  wait_for_carriers_at_stop(pool, log_pool, server, *state);
  log_startup(temporary_pool, server, *state);
  state->descriptors = prepare_descriptors(server, state->relay.threads);
  return OK;
}

int on_post_config(apr_pool_t* pool, apr_pool_t* log_pool, apr_pool_t* temporary_pool,
                   server_rec* server) {
  // httpd reads its configuration twice at start; nothing of the first reading stays.
  if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) return OK;
  return guarded(server, "post_config", HTTP_INTERNAL_SERVER_ERROR,
                 [&] { return make_state(pool, log_pool, temporary_pool, server); });
}

void on_child_init(apr_pool_t* pool, server_rec* server) {
  ModuleState& state = *server_config(server).state;
  guarded(server, "child_init", OK, [&] {
    state.child = Child::start(pool, server, state);
    return OK;
  });
  if (state.child != nullptr) return;
  ap_log_error(APLOG_MARK, APLOG_CRIT, 0, server,
               "WSB0202: child %" APR_PID_T_FMT
               " cannot carry tunnels, the line before this one says why: it refuses handshakes "
               "with 503 and serves everything else",
               getpid());
}

void on_child_started(apr_pool_t*, server_rec* server) {
  ModuleState& state = *server_config(server).state;
  const PumpLimits limits = pump_limits(server);  // mod_http2 may know its number only here.
  state.pumped_max = limits.workers;
  state.pumped_http2_max = limits.http2;
}

void on_child_stopping(apr_pool_t*, int is_graceful) {
  ModuleState* state = server_config(ap_server_conf).state;
  if (state != nullptr && state->child != nullptr) state->child->begin_stop(is_graceful != 0);
}

// In the parent. A child that ended in order has freed its row itself.
void on_child_status(server_rec* server, pid_t pid, ap_generation_t, int, mpm_child_status status) {
  if (status != MPM_CHILD_EXITED) return;
  if (const ModuleState* state = server_config(server).state) {
    state->rows->clear_ended(pid, process_id_of(::getpid()));
    state->orphans->know_carriers();
  }
}

}  // namespace

void register_startup_hooks() {
  ap_hook_pre_config(check_proxy, nullptr, nullptr, APR_HOOK_REALLY_FIRST);
  // Where it gives its members the records that children share.
  static const char* const kAfter[] = {"mod_proxy_balancer.c", nullptr};
  ap_hook_post_config(on_post_config, kAfter, nullptr, APR_HOOK_MIDDLE);
  // The first, so that the cleanup of what it starts is the last that the child does.
  ap_hook_child_init(on_child_init, nullptr, nullptr, APR_HOOK_REALLY_FIRST);
  ap_hook_child_init(on_child_started, nullptr, nullptr, APR_HOOK_MIDDLE);
  ap_hook_child_stopping(on_child_stopping, nullptr, nullptr, APR_HOOK_MIDDLE);
  ap_hook_child_status(on_child_status, nullptr, nullptr, APR_HOOK_MIDDLE);
}

}  // namespace wsbalance::httpd
