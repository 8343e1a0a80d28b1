#include "httpd/members.h"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "httpd/balancer_config.h"
#include "httpd/member_watch.h"
#include "httpd/older_httpd.h"

namespace wsbalance::httpd {
namespace {

proxy_server_conf* proxy_config(const server_rec* server) {
  return static_cast<proxy_server_conf*>(
      ap_get_module_config(server->module_config, &proxy_module));
}

template <typename Visit>
void for_each_member(const server_rec* server, Visit&& visit) {
  const proxy_server_conf* config = proxy_config(server);
  const ElementsOf<proxy_worker> workers(config->workers);
  for (int i = 0; i < config->workers->nelts; ++i) visit(workers[i]);
  const ElementsOf<proxy_balancer> balancers(config->balancers);
  for (int i = 0; i < config->balancers->nelts; ++i) {
    auto* const* members = reinterpret_cast<proxy_worker**>(balancers[i].workers->elts);
    for (int j = 0; j < balancers[i].workers->nelts; ++j) visit(*members[j]);
  }
}

std::string own_name_of(const server_rec* server) {
  std::string name = server->server_hostname != nullptr ? server->server_hostname : "";
  const unsigned port = server->addrs != nullptr && server->addrs->host_port != 0
                            ? server->addrs->host_port
                            : server->port;
  if (port != 0) name += ":" + std::to_string(port);
  return name;
}

// Virtual hosts are known by their names: where two have the same one, by their order too.
std::span<const Members::ServerName> name_servers(apr_pool_t* pool, const server_rec* main_server) {
  std::map<std::string, int> seen;
  std::vector<Members::ServerName> names;
  for (const server_rec* server = main_server; server != nullptr; server = server->next) {
    std::string name = own_name_of(server);
    const int number = ++seen[name];
    if (number > 1) name += "#" + std::to_string(number);
    names.push_back({server, apr_pstrdup(pool, name.c_str())});
  }
  auto* copies = static_cast<Members::ServerName*>(
      apr_pmemdup(pool, names.data(), names.size() * sizeof(names[0])));
  return {copies, names.size()};
}

// What the parent's first configuration is in the rows' count.
constexpr std::uint32_t kFirstEpoch = 1;

// mod_proxy's name of the worker for URLs that no ProxyPass has.
constexpr const char* kGenericName = "proxy:reverse";

bool is_generic(const proxy_worker& worker) { return worker.s->status & PROXY_WORKER_GENERIC; }

std::size_t hash_of_address(const void* address) {
  return static_cast<std::size_t>(
      reinterpret_cast<std::uintptr_t>(address) * std::uint64_t{0x9e3779b97f4a7c15} >> 20);
}

}  // namespace

Members::Members(const SharedRows& rows, std::uint32_t epoch,
                 std::span<const ServerName> server_names,
                 std::span<std::atomic<std::uint64_t>> known)
    : rows_(rows), epoch_(epoch), server_names_(server_names), known_(known) {}

std::size_t Members::count(const server_rec* main_server) {
  std::set<const proxy_worker_shared*> found;
  for (const server_rec* server = main_server; server != nullptr; server = server->next) {
    for_each_member(server, [&](const proxy_worker& worker) { found.insert(worker.s); });
  }
  return found.size();
}

Members* Members::make(apr_pool_t* pool, server_rec* main_server, const SharedRows& rows,
                       std::uint32_t epoch) {
  // Never more than half full by members that have rows.
  const std::size_t size = std::bit_ceil(std::size_t{rows.numbers().members} * 2);
  auto* known = static_cast<std::atomic<std::uint64_t>*>(
      apr_pcalloc(pool, size * sizeof(std::atomic<std::uint64_t>)));
  auto* members = new (apr_palloc(pool, sizeof(Members)))
      Members(rows, epoch, name_servers(pool, main_server), {known, size});
  for (server_rec* server = main_server; server != nullptr; server = server->next) {
    members->add_all(server);
  }
  for (server_rec* server = main_server; server != nullptr; server = server->next) {
    members->set_rules_of_removed(server);
  }
  // Of each child that one is another, made later.
  rows.member({.server = "", .balancer = "", .worker = kGenericName}, epoch,
              process_id_of(::getpid()));
  return members;
}

// What a virtual host inherits (BalancerInherit, ProxyPassInherit) has the records of the main
// server's, which comes first.
void Members::add_all(server_rec* server) {
  for_each_member(server, [&](const proxy_worker& worker) {
    if (find(worker.s) < 0) add(server, worker);
  });
}

void Members::add(const server_rec* server, const proxy_worker& worker) {
  const std::uint16_t number = row_of(server, worker);
  remember(worker.s, number);
  MemberRow& row = rows_.member_row(number);
  if (worker.balancer == nullptr || number == SharedRows::kOtherMember ||
      RecordAddress::unpack(row.record.load(), epoch_) != nullptr) {
    return;
  }
  seed(row, epoch_, rows_.open_of(number), fields_of(*worker.s));
  follow(row, server, worker, epoch_ == kFirstEpoch);
  row.record = RecordAddress::pack(worker.s, epoch_);
}

// Before its record is known: what is known is looked at.
void Members::follow(MemberRow& row, const server_rec* server, const proxy_worker& worker,
                     bool is_first_start) {
  set_move_rules(row.moves, balancer_config(server, worker.balancer));
  note_member(row, *worker.s, is_first_start);
}

// Members that this configuration does not name any more, but their balancer, may have tunnels.
void Members::set_rules_of_removed(const server_rec* server) {
  const proxy_server_conf* config = proxy_config(server);
  const ElementsOf<proxy_balancer> balancers(config->balancers);
  for (MemberRow& row : rows_.members()) {
    if (row.is_used == 0 || row.moves.is_followed == 0 || row.named_in >= epoch_) continue;
    if (std::strcmp(row.server.data(), name_of(server)) != 0) continue;
    for (int i = 0; i < config->balancers->nelts; ++i) {
      if (std::strcmp(row.balancer.data(), balancers[i].s->name) != 0) continue;
      set_move_rules(row.moves, balancer_config(server, &balancers[i]));
    }
  }
}

std::uint16_t Members::row_of(const server_rec* server, const proxy_worker& worker) {
  const proxy_worker_shared& shared = *worker.s;
  std::string name = full_name(shared);
  if (*shared.uds_path != '\0') name = std::string("unix:") + shared.uds_path + "|" + name;
  const MemberNames names{.server = is_generic(worker) ? "" : name_of(server),
                          .balancer = worker.balancer != nullptr ? worker.balancer->s->name : "",
                          .worker = name};
  const std::uint16_t row = rows_.member(names, epoch_, process_id_of(::getpid()));
  if (row == SharedRows::kOtherMember && rows_.should_tell_full()) {
    ap_log_error(
        APLOG_MARK, APLOG_WARNING, 0, server,
        "WSB0026: no shared row left for member %s: it is counted together with others, as "
        "\"other\", until the server is stopped and started",
        name.c_str());
  }
  return row;
}

const char* Members::name_of(const server_rec* server) const {
  const auto found =
      std::find_if(server_names_.begin(), server_names_.end(),
                   [server](const ServerName& name) { return name.server == server; });
  return found != server_names_.end() ? found->name : "";
}

MemberRef Members::of(const server_rec* server, const proxy_worker& worker) {
  proxy_worker_shared* const record = worker.balancer != nullptr ? worker.s : nullptr;
  if (const int row = find(worker.s); row >= 0) return {static_cast<std::uint16_t>(row), record};
  const std::uint16_t number = row_of(server, worker);
  remember(worker.s, number);
  if (record != nullptr && number != SharedRows::kOtherMember && rows_.epoch() == epoch_) {
    // For the process that feeds records: mod_slotmem_shm's memory was mapped before this child was
    // forked, so it stands at the same place in all of this configuration.
    follow(rows_.member_row(number), server, worker, false);
    rows_.member_row(number).record = RecordAddress::pack(record, epoch_);
  }
  return {number, record};
}

// Row, or -1.
int Members::find(const proxy_worker_shared* record) const {
  const auto address = reinterpret_cast<std::uintptr_t>(record);
  std::size_t at = hash_of_address(record);
  for (std::size_t looks = 0; looks < known_.size(); ++looks, ++at) {
    const std::uint64_t word = known_[at & (known_.size() - 1)].load(std::memory_order_relaxed);
    if (word == 0) return -1;
    if (word >> 16 == address) return static_cast<int>(word & 0xffff);
  }
  return -1;
}

void Members::remember(const proxy_worker_shared* record, std::uint16_t row) {
  const std::uint64_t word = RecordAddress::pack(record, row);
  if (word == 0) return;  // Asked for by name each time.
  std::size_t at = hash_of_address(record);
  for (std::size_t looks = 0; looks < known_.size() / 2; ++looks, ++at) {
    std::uint64_t there = 0;
    if (known_[at & (known_.size() - 1)].compare_exchange_strong(there, word)) return;
    if (there == word) return;
  }
}

}  // namespace wsbalance::httpd
