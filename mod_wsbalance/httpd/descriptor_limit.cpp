#include "httpd/descriptor_limit.h"

#include <dirent.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <set>
#include <type_traits>

#include "httpd/older_httpd.h"
#include "httpd/queries.h"

namespace wsbalance::httpd {
namespace {

// More than anybody has tunnels. Where the hard limit is a thousand times that (containers), a
// program that httpd starts may try to close each number up to its limit.
constexpr rlim_t kLimitMax = 1024 * 1024;

// Beside those that the parent has: what the MPM, the relay's surroundings and other modules open
// in a child, and two for each relay thread.
constexpr std::uint64_t kOpenedByChild = 10;
constexpr std::uint64_t kPerRelayThread = 2;

// H2MaxWorkers: mod_http2 has this many threads more than the MPM unless it is set.
constexpr double kHttp2WorkersFactor = 1.5;

// The soft limit, raised as far as it may be.
std::uint64_t raise_limit(server_rec* server, bool is_first) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return kLimitMax;
  const rlim_t wanted = std::min(limit.rlim_max, kLimitMax);
  if (limit.rlim_cur >= wanted) return limit.rlim_cur;
  const rlimit raised{wanted, limit.rlim_max};
  if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) return wanted;
  if (is_first) {
    ap_log_error(APLOG_MARK, APLOG_WARNING, errno, server,
                 "WSB0023: cannot raise the limit of open files from %" APR_UINT64_T_FMT
                 " to %" APR_UINT64_T_FMT,
                 apr_uint64_t{limit.rlim_cur}, apr_uint64_t{wanted});
  }
  return limit.rlim_cur;
}

std::uint64_t count_open() {
  DIR* directory = ::opendir("/proc/self/fd");
  if (directory == nullptr) return 0;
  std::uint64_t count = 0;
  while (const dirent* entry = ::readdir(directory)) count += entry->d_name[0] != '.';
  ::closedir(directory);
  return count - 1;  // That of the directory.
}

// Each once: a virtual host has those of the main server too.
std::uint64_t count_members(const server_rec* server) {
  std::set<const proxy_worker_shared*> members;
  for (; server != nullptr; server = server->next) {
    const auto* config =
        static_cast<proxy_server_conf*>(ap_get_module_config(server->module_config, &proxy_module));
    const ElementsOf<proxy_worker> workers(config->workers);
    for (int i = 0; i < config->workers->nelts; ++i) members.insert(workers[i].s);
    const ElementsOf<proxy_balancer> balancers(config->balancers);
    for (int i = 0; i < config->balancers->nelts; ++i) {
      const auto* own = reinterpret_cast<proxy_worker**>(balancers[i].workers->elts);
      for (int j = 0; j < balancers[i].workers->nelts; ++j) members.insert(own[j]->s);
    }
  }
  return members.size();
}

DescriptorNeeds find_needs(server_rec* server, unsigned relay_threads, std::uint64_t limit) {
  const auto workers = static_cast<std::uint64_t>(std::max(1, ask_mpm(AP_MPMQ_MAX_THREADS)));
  const bool is_async = ask_mpm(AP_MPMQ_IS_ASYNC) > 0;
  const bool has_http2 = ap_find_linked_module("mod_http2.c") != nullptr;
  const auto times = [workers](double factor) {
    return static_cast<std::uint64_t>(static_cast<double>(workers) * factor);
  };
  // Every worker has one, or waits for one that is accepted and queued; event has others without a
  // worker, which it counts only when they have had one.
  return {.limit = limit,
          .always = count_open() + kOpenedByChild + kPerRelayThread * relay_threads,
          .connections = is_async ? times(2 + async_request_worker_factor(server->process->pconf))
                                  : 2 * workers,
          .threads = workers + (has_http2 ? times(kHttp2WorkersFactor) : 0),
          .members = count_members(server)};
}

void log_plan(server_rec* server, const DescriptorNeeds& needs, const DescriptorPlan& plan) {
  const auto children = static_cast<std::uint64_t>(std::max(1, ask_mpm(AP_MPMQ_MAX_DAEMONS)));
  ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, server,
               "WSB0021: about %" APR_UINT64_T_FMT " tunnels fit into a child, %" APR_UINT64_T_FMT
               " into %" APR_UINT64_T_FMT " children: of %" APR_UINT64_T_FMT
               " descriptors a child %" APR_UINT64_T_FMT " are always open, %" APR_UINT64_T_FMT
               " are kept for the connections of httpd (%" APR_UINT64_T_FMT " threads)",
               apr_uint64_t{plan.tunnels}, apr_uint64_t{plan.tunnels * children},
               apr_uint64_t{children}, apr_uint64_t{needs.limit}, apr_uint64_t{needs.always},
               apr_uint64_t{plan.reserve}, apr_uint64_t{needs.threads});
  if (!plan.is_short) return;
  ap_log_error(APLOG_MARK, APLOG_WARNING, 0, server,
               "WSB0022: the limit of %" APR_UINT64_T_FMT
               " open files is too low for httpd itself: %" APR_UINT64_T_FMT
               " connections and %" APR_UINT64_T_FMT
               " threads a child may need more, and a child that has no descriptor left for a "
               "new connection ends",
               apr_uint64_t{needs.limit}, apr_uint64_t{needs.connections},
               apr_uint64_t{needs.threads});
}

// What was told at the last start or restart; lives as long as the parent.
DescriptorNeeds* retained_needs() {
  static_assert(std::is_trivially_copyable_v<DescriptorNeeds>);
  constexpr const char* kKey = "wsbalance-descriptor-needs";
  void* data = ap_retained_data_get(kKey);
  if (data == nullptr) data = ap_retained_data_create(kKey, sizeof(DescriptorNeeds));
  return static_cast<DescriptorNeeds*>(data);
}

}  // namespace

double async_request_worker_factor(apr_pool_t* pool) {
  double factor = 2;
  for (const ap_directive_t* line = ap_conftree; line != nullptr; line = line->next) {
    if (strcasecmp(line->directive, "AsyncRequestWorkerFactor") != 0) continue;
    const char* arguments = line->args;
    factor = std::clamp(std::strtod(ap_getword_conf(pool, &arguments), nullptr), 0.0, 1000.0);
  }
  return factor;
}

DescriptorPlan prepare_descriptors(server_rec* server, unsigned relay_threads) {
  DescriptorNeeds& told = *retained_needs();  // Zeros at first.
  const bool is_first = told.limit == 0;
  DescriptorNeeds needs = find_needs(server, relay_threads, raise_limit(server, is_first));
  const DescriptorPlan plan = plan_descriptors(needs);
  // At a restart the parent may have a descriptor more or less.
  const std::uint64_t always = needs.always;
  needs.always = told.always;
  const bool is_new = needs != told;
  needs.always = always;
  if (is_new) {
    told = needs;
    log_plan(server, needs, plan);
  }
  return plan;
}

}  // namespace wsbalance::httpd
