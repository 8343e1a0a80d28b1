#include "httpd/checked_members.h"

#include <algorithm>
#include <atomic>
#include <set>

#include "httpd/config.h"
#include "httpd/failure_ring.h"
#include "httpd/members.h"
#include "httpd/older_httpd.h"
#include "httpd/shared_clock.h"
#include "httpd/url_scheme.h"

namespace wsbalance::httpd {
namespace {

using std::chrono::milliseconds;

proxy_server_conf* proxy_config(const server_rec* server) {
  return static_cast<proxy_server_conf*>(
      ap_get_module_config(server->module_config, &proxy_module));
}

bool is_used(const BalancerConfig* config) {
  return config != nullptr &&
         ((config->health && config->health->is_on) || (config->eject && config->eject->failures));
}

bool is_http_or_ws(const proxy_worker_shared& record) {
  const std::string_view scheme(record.scheme);
  return protocol::equal_ignoring_case(scheme, "ws") ||
         protocol::equal_ignoring_case(scheme, "wss") ||
         protocol::equal_ignoring_case(scheme, "http") ||
         protocol::equal_ignoring_case(scheme, "https");
}

// Would mod_proxy_balancer give it a handshake?
bool is_usable(const proxy_worker_shared& record) {
  return (record.status & (PROXY_WORKER_NOT_USABLE_BITMAP | PROXY_WORKER_DRAIN)) == 0 &&
         (record.status & PROXY_WORKER_INITIALIZED) != 0;
}

// mod_proxy changes other bits of it without an atomic operation; what is lost by that comes again
// with the next turn.
std::atomic_ref<unsigned int> status_of(proxy_worker_shared& record) {
  return std::atomic_ref<unsigned int>(record.status);
}

}  // namespace

bool CheckedMember::is_checkable(const char** why_not) const {
  const auto no = [why_not](const char* why) {
    if (why_not != nullptr) *why_not = why;
    return false;
  };
  if (!config->health || !config->health->is_on) return false;
  if (record->method != NONE) return no("mod_proxy_hcheck checks it already (hcmethod=)");
  if (config->health->method != CheckMethod::tcp && !is_http_or_ws(*record)) {
    return no("it is reached by neither HTTP nor WebSocket");
  }
  return true;
}

bool CheckedMember::is_wanted() const {
  return is_there() && is_checkable() &&
         (record->status & (PROXY_WORKER_DISABLED | PROXY_WORKER_STOPPED)) == 0;
}

CheckedMembers::CheckedMembers(server_rec* main_server, const ModuleState& state) : state_(state) {
  for (server_rec* server = main_server; server != nullptr; server = server->next) {
    const proxy_server_conf& proxy = *proxy_config(server);
    const ElementsOf<proxy_balancer> balancers(proxy.balancers);
    for (int i = 0; i < proxy.balancers->nelts; ++i) {
      const BalancerConfig* const config = find_balancer_config(server, balancers[i]);
      if (is_used(config)) add_balancer(server, balancers[i], *config);
    }
  }
}

// What a virtual host inherits has the records of the main server's.
bool CheckedMembers::has(const proxy_worker_shared* record) const {
  return std::any_of(members_.begin(), members_.end(),
                     [record](const CheckedMember& member) { return member.record == record; });
}

void CheckedMembers::add_balancer(server_rec* server, proxy_balancer& balancer,
                                  const BalancerConfig& config) {
  const CheckedMember made{.server = server, .balancer = &balancer, .config = &config};
  auto* const* workers = reinterpret_cast<proxy_worker**>(balancer.workers->elts);
  std::set<unsigned> known;  // By their hash, as mod_proxy knows them.
  for (int i = 0; i < balancer.workers->nelts; ++i) {
    known.insert(workers[i]->s->hash.def);
    if (!has(workers[i]->s)) add(made, *workers[i]);
  }
  if (balancer.storage == nullptr || balancer.wslot == nullptr) return;
  for (int i = 0; i < balancer.max_workers; ++i) {
    void* slot = nullptr;
    if (balancer.storage->dptr(balancer.wslot, static_cast<unsigned>(i), &slot) != APR_SUCCESS) {
      continue;
    }
    auto* const record = static_cast<proxy_worker_shared*>(slot);
    if ((record->hash.def != 0 && known.count(record->hash.def) != 0) || has(record)) continue;
    members_.push_back(made);
    members_.back().record = record;
  }
}

void CheckedMembers::add(CheckedMember member, const proxy_worker& worker) {
  member.record = worker.s;
  const MemberRef found = state_.members->of(member.server, worker);
  if (found.row == SharedRows::kOtherMember) return;  // WSB0026 has been said.
  member.row = &state_.rows->member_row(found.row);
  members_.push_back(member);
}

void CheckedMembers::find_added() {
  for (CheckedMember& member : members_) {
    if (member.is_there() || member.record->hash.def == 0 || member.record->hash.fnv == 0 ||
        (member.record->status & PROXY_WORKER_INITIALIZED) == 0) {
      continue;
    }
    // All that Members looks at.
    proxy_worker worker{};
    worker.s = member.record;
    worker.balancer = member.balancer;
    const MemberRef found = state_.members->of(member.server, worker);
    if (found.row != SharedRows::kOtherMember) member.row = &state_.rows->member_row(found.row);
  }
}

void CheckedMembers::eject(std::int64_t now_ms) {
  for (std::size_t begin = 0; begin < members_.size();) {
    std::size_t end = begin;
    while (end < members_.size() && members_[end].balancer == members_[begin].balancer) ++end;
    if (members_[begin].is_ejectable()) {
      eject_of(std::span(members_).subspan(begin, end - begin), now_ms);
    }
    begin = end;
  }
}

namespace {

balance::BalancerCounts count(std::span<const CheckedMember> members) {
  balance::BalancerCounts counts;
  for (const CheckedMember& member : members) {
    if (!member.is_there()) continue;
    ++counts.members;
    if (member.row->ejected_until_ms != 0) ++counts.ejected;
    if (is_usable(*member.record)) ++counts.usable;
  }
  return counts;
}

void bring_back(const CheckedMember& member) {
  // What failed since belongs to the time before.
  member.row->failures.clear();
  member.row->ejected_until_ms = 0;
  apply(member);
  ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, member.server,
               "WSB0536: member %s of %s may be used again: its time out is over (WSBalanceEject)",
               full_name(*member.record), member.balancer->s->name);
}

void take_out(const CheckedMember& member, const balance::FailureCount& failed,
              std::int64_t now_ms) {
  const balance::EjectRule& rule = *member.config->eject;
  member.row->failures.clear();
  member.row->ejections.fetch_add(1, std::memory_order_relaxed);
  member.row->ejected_until_ms = now_ms + rule.out_for.count();
  apply(member);
  ap_log_error(
      APLOG_MARK, APLOG_WARNING, 0, member.server,
      "WSB0535: member %s of %s is taken out for %" APR_INT64_T_FMT
      " ms: it failed %u times, for %u clients, within %" APR_INT64_T_FMT " ms (WSBalanceEject)",
      full_name(*member.record), member.balancer->s->name, apr_int64_t{rule.out_for.count()},
      failed.failures, failed.clients, apr_int64_t{rule.in.count()});
}

}  // namespace

void CheckedMembers::eject_of(std::span<CheckedMember> members, std::int64_t now_ms) {
  for (CheckedMember& member : members) {
    if (!member.is_there()) continue;
    const std::int64_t until = member.row->ejected_until_ms;
    if (until != 0 && now_ms >= until) bring_back(member);
    if (until != 0) continue;
    FailureRing::List list;
    const std::size_t size = member.row->failures.read(list);
    const balance::FailureCount failed = balance::count_recent(
        std::span(list).first(size), milliseconds(now_ms), *member.config->eject);
    if (!balance::is_too_much(failed, *member.config->eject)) {
      member.was_told = false;
      continue;
    }
    if (balance::may_eject(count(members), is_usable(*member.record),
                           member.config->eject_percent_max)) {
      take_out(member, failed, now_ms);
    } else if (!member.was_told) {
      member.was_told = true;
      ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, member.server,
                   "WSB0537: member %s of %s failed %u times, for %u clients, and stays: no other "
                   "one is usable, or as many are out as WSBalanceEjectMax allows",
                   full_name(*member.record), member.balancer->s->name, failed.failures,
                   failed.clients);
    }
  }
}

void apply(const CheckedMember& member) {
  const bool is_ejected = member.row->ejected_until_ms != 0;
  const bool is_out =
      is_ejected || (member.is_checkable() && balance::Health::unpack(member.row->health).is_down);
  const bool is_said = (member.record->status & PROXY_WORKER_HC_FAIL) != 0;
  if (is_out == is_said) return;
  if (is_out) {
    status_of(*member.record).fetch_or(PROXY_WORKER_HC_FAIL);
  } else if (member.record->method == NONE) {
    // With mod_proxy_hcheck it is that who says so, by its next checks.
    status_of(*member.record).fetch_and(~static_cast<unsigned int>(PROXY_WORKER_HC_FAIL));
  }
}

void CheckedMembers::apply() {
  for (const CheckedMember& member : members_) {
    if (member.is_there()) httpd::apply(member);
  }
}

void restore_health(server_rec* main_server, const ModuleState& state) {
  CheckedMembers checked(main_server, state);
  std::set<const MemberRow*> with_checks;
  std::set<const MemberRow*> with_ejection;
  for (const CheckedMember& member : checked.all()) {
    if (!member.is_there()) continue;
    if (member.is_ejectable()) with_ejection.insert(member.row);
    const char* why_not = nullptr;
    if (member.is_checkable(&why_not)) {
      with_checks.insert(member.row);
    } else if (why_not != nullptr) {
      ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, member.server,
                   "WSB0534: member %s of %s is not checked by WSBalanceHealthCheck: %s",
                   full_name(*member.record), member.balancer->s->name, why_not);
    }
  }
  for (MemberRow& row : state.rows->members()) {
    if (with_checks.count(&row) == 0) {
      row.health = 0;
      row.check_due_ms = 0;
    }
    if (with_ejection.count(&row) == 0) row.ejected_until_ms = 0;
  }
  checked.apply();
}

}  // namespace wsbalance::httpd
