#include "httpd/lb_methods.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <vector>

#include "balance/least_load.h"
#include "balance/rendezvous.h"
#include "balance/slow_start.h"
#include "balance/two_choices.h"
#include "httpd/balancer_config.h"
#include "httpd/child.h"
#include "httpd/config.h"
#include "httpd/guard.h"
#include "httpd/hash_key.h"
#include "httpd/in_flight.h"
#include "httpd/members.h"
#include "httpd/older_httpd.h"
#include "httpd/request_view.h"
#include "httpd/shared_clock.h"

namespace wsbalance::httpd {
namespace {

using balance::Candidate;
using std::chrono::milliseconds;

constexpr int kTurnMost = 1 << 30;

// What a member has to do. A tunnel is work for as long as it is open, a plain request for a moment:
// neither is measured by the other, or a member that has one tunnel less would get all plain
// requests.
enum class Work { tunnels, plain };

std::uint64_t count_of(const std::atomic<std::uint32_t>& number) {
  // A process that has died may have left it below 0 for a moment (SharedRows::correct_totals()).
  const auto count = static_cast<std::int32_t>(number.load(std::memory_order_relaxed));
  return static_cast<std::uint64_t>(std::max(count, 0));
}

std::uint64_t load_of(const MemberCell& all, Work work) {
  return work == Work::tunnels ? count_of(all.tunnels) + count_of(all.handshakes)
                               : count_of(all.plain);
}

// Of its share that a member is to have by now.
double part_of(const MemberRow& row, milliseconds slow_start) {
  const std::int64_t up_since = row.up_since_ms.load(std::memory_order_relaxed);
  if (slow_start == milliseconds::zero() || up_since == 0) return 1;
  return balance::slow_start_part(milliseconds(shared_clock_ms() - up_since), slow_start);
}

const char* identity_of(request_rec* r, const proxy_worker_shared& worker) {
  if (*worker.uds_path == '\0') return full_name(worker);
  return apr_pstrcat(r->pool, "unix:", worker.uds_path, "|", full_name(worker), nullptr);
}

// All that mod_proxy would let one choose now, in the order of its walk.
class Choice {
 public:
  Choice(proxy_balancer& balancer, request_rec* r)
      : request_(r),
        state_(*server_config(r->server).state),
        config_(balancer_config(r->server, &balancer)) {
    workers_.reserve(static_cast<std::size_t>(balancer.workers->nelts));
    // It asks for each whether it is better than the best so far; what it finds is of no interest.
    ap_proxy_balancer_get_best_worker(&balancer, r, &Choice::collect, this);
  }

  void weigh(Work work) {
    candidates_.reserve(workers_.size());
    for (proxy_worker* const worker : workers_) {
      const MemberRow& row = state_.rows->member_row(state_.members->of(request_, worker).row);
      candidates_.push_back(
          {.name = identity_of(request_, *worker->s),
           .load = load_of(row.all, work),
           .weight = balance::weight_of(worker->s->lbfactor, part_of(row, config_.slow_start))});
    }
  }

  proxy_worker* take(std::size_t chosen) {
    proxy_worker* const worker = workers_[chosen];
    if (state_.child != nullptr) {
      count_in_flight(request_, *state_.child, state_.members->of(request_, worker));
    }
    return worker;
  }

  // Equals have their turns in all processes together, and another one may choose now: so what is
  // kept is what a turn has changed by.
  template <typename Choose>
  std::size_t in_turn(Choose&& choose) {
    for (std::size_t i = 0; i < workers_.size(); ++i) {
      // Another method may have left anything there.
      candidates_[i].turn = std::clamp(turn_of(i).load(), -kTurnMost, kTurnMost);
    }
    const std::vector<Candidate> before = candidates_;
    const std::size_t chosen = choose(candidates_);
    for (std::size_t i = 0; i < workers_.size(); ++i) {
      const int change = candidates_[i].turn - before[i].turn;
      if (change != 0) turn_of(i).fetch_add(change);
    }
    return chosen;
  }

  bool is_empty() const { return workers_.empty(); }
  const std::vector<Candidate>& candidates() const { return candidates_; }
  const BalancerConfig& config() const { return config_; }

 private:
  static int collect(proxy_worker* current, proxy_worker* best, void* choice) noexcept {
    std::vector<proxy_worker*>& workers = static_cast<Choice*>(choice)->workers_;
    if (workers.size() < workers.capacity()) workers.push_back(current);
    return best == nullptr;
  }

  std::atomic_ref<int> turn_of(std::size_t i) const {
    return std::atomic_ref<int>(workers_[i]->s->lbstatus);
  }

  request_rec* const request_;
  ModuleState& state_;
  const BalancerConfig& config_;
  std::vector<proxy_worker*> workers_;
  std::vector<Candidate> candidates_;
};

// ---- the methods

Work work_of(const request_rec* r) { return wants_websocket(r) ? Work::tunnels : Work::plain; }

std::size_t choose_by_tunnels(Choice& choice, request_rec* r) {
  choice.weigh(work_of(r));
  return choice.in_turn(balance::choose_least);
}

std::size_t choose_by_p2c(Choice& choice, request_rec* r) {
  choice.weigh(work_of(r));
  std::array<std::uint32_t, 2> random{};
  ap_random_insecure_bytes(random.data(), sizeof(random));
  return balance::choose_of_two(choice.candidates(), random);
}

std::size_t choose_by_hash(Choice& choice, request_rec* r) {
  // Whatever is asked: the plain requests of a client are to meet the member of its tunnel.
  choice.weigh(Work::tunnels);
  const BalancerConfig& config = choice.config();
  return balance::choose_by_key(hash_key(r, config), choice.candidates(),
                                config.hash_bound_percent);
}

template <std::size_t (*choose)(Choice&, request_rec*)>
proxy_worker* find(proxy_balancer* balancer, request_rec* r) {
  proxy_worker* found = nullptr;
  guarded(r, "lbmethod", DECLINED, [&] {
    end_in_flight(r);
    Choice choice(*balancer, r);
    if (!choice.is_empty()) found = choice.take(choose(choice, r));
    return OK;
  });
  return found;
}

apr_status_t reset(proxy_balancer* balancer, server_rec*) {
  auto* const* const workers = reinterpret_cast<proxy_worker**>(balancer->workers->elts);
  for (int i = 0; i < balancer->workers->nelts; ++i) workers[i]->s->lbstatus = 0;
  return APR_SUCCESS;
}

apr_status_t age(proxy_balancer*, server_rec*) { return APR_SUCCESS; }

// A sticky request is counted as any other. Without this mod_proxy_balancer would change the turns
// by what never adds up to 0.
apr_status_t note_sticky(proxy_balancer*, proxy_worker*, server_rec*) { return APR_SUCCESS; }

constexpr proxy_balancer_method kByTunnels{
    "bytunnels", &find<choose_by_tunnels>, nullptr, &reset, &age, &note_sticky};
constexpr proxy_balancer_method kByP2c{"byp2c", &find<choose_by_p2c>, nullptr, &reset,
                                       &age,    &note_sticky};
constexpr proxy_balancer_method kByHash{"byhash", &find<choose_by_hash>, nullptr, &reset,
                                        &age,     &note_sticky};

int prepare_key(request_rec* r, const proxy_balancer* known, proxy_server_conf* conf, char* url) {
  if (ap_cstr_casecmpn(url, BALANCER_PREFIX, sizeof(BALANCER_PREFIX) - 1) != 0) return DECLINED;
  const proxy_balancer* const balancer =
      known != nullptr ? known : ap_proxy_get_balancer(r->pool, conf, url, 1);
  if (balancer != nullptr && balancer->lbmethod != nullptr &&
      balancer->lbmethod->finder == kByHash.finder) {
    prepare_hash_key(r, balancer_config(r->server, balancer));
  }
  return DECLINED;
}

int on_pre_request(proxy_worker**, proxy_balancer** balancer, request_rec* r,
                   proxy_server_conf* conf, char** url) {
  return guarded(r, "pre_request", DECLINED, [&] { return prepare_key(r, *balancer, conf, *url); });
}

}  // namespace

void register_lb_methods(apr_pool_t* pool) {
  for (const proxy_balancer_method* method : {&kByTunnels, &kByP2c, &kByHash}) {
    ap_register_provider(pool, PROXY_LBMETHOD, method->name, "0", method);
  }
  proxy_hook_pre_request(on_pre_request, nullptr, nullptr, APR_HOOK_REALLY_FIRST);
}

}  // namespace wsbalance::httpd
