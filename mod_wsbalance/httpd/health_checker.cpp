#include "httpd/health_checker.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include "httpd/guard.h"
#include "httpd/older_httpd.h"
#include "httpd/shared_clock.h"
#include "httpd/url_scheme.h"

namespace wsbalance::httpd {
namespace {

using std::chrono::milliseconds;

// How often who has the lease looks at everything, and the others at the lease.
constexpr milliseconds kTurn{200};
constexpr milliseconds kLookAtLease{500};
// For one that hangs; one that has ended is seen at the next look.
constexpr std::int64_t kLeaseMs = 2000;

constexpr milliseconds kFailedStartLimit{1000};

milliseconds now_ms() { return milliseconds(shared_clock_ms()); }

relay::UniqueFd event_fd() {
  relay::UniqueFd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd) throw std::system_error(errno, std::generic_category(), "eventfd");
  return fd;
}

MemberPlace place_of(const proxy_worker_shared& record) {
  return {.host = record.hostname_ex, .port = record.port, .unix_path = record.uds_path};
}

CheckPlan plan_for(const CheckedMember& member) {
  proxy_worker_shared& record = *member.record;
  return {.server = member.server,
          .config = &*member.config->health,
          .section = member.balancer->section_config,
          .place = place_of(record),
          .has_tls = protocol::equal_ignoring_case(record.scheme, "wss") ||
                     protocol::equal_ignoring_case(record.scheme, "https"),
          .is_default_port = record.port == ap_proxy_port_of_scheme(record.scheme),
          .addresses = {}};
}

}  // namespace

// One that is under way, or a place for one.
class HealthChecker::RunningCheck {
 public:
  RunningCheck(int stop_fd, int done_fd) : stop_fd_(stop_fd), done_fd_(done_fd) {}

  // Returns an errno value, or 0.
  int start() {
    has_result_ = false;
    const int error = thread_.start("wsb-check");
    is_busy = error == 0;
    return error;
  }

  bool has_result() const { return is_busy && has_result_.load(std::memory_order_acquire); }

  void join() noexcept {
    thread_.join();
    is_busy = false;
  }

  bool is_busy = false;
  std::size_t member = 0;
  milliseconds began{0};
  milliseconds claimed_until{0};
  CheckPlan plan;
  CheckResult result;

 private:
  static void run(void* self) noexcept {
    auto& check = *static_cast<RunningCheck*>(self);
    check.result = {CheckEnd::unable, "no memory"};
    guarded(check.plan.server, "health check", 0, [&] {
      check.result = check_member(check.plan, check.stop_fd_);
      return 0;
    });
    check.has_result_.store(true, std::memory_order_release);
    (void)::eventfd_write(check.done_fd_, 1);
  }

  const int stop_fd_;
  const int done_fd_;
  std::atomic<bool> has_result_{false};
  relay::QuietThread thread_{run, this};
};

HealthChecker::HealthChecker(server_rec* main_server, const ModuleState& state)
    : server_(main_server),
      state_(state),
      self_(process_id_of(::getpid())),
      stop_fd_(event_fd()),
      done_fd_(event_fd()),
      members_(main_server, state),
      addresses_(members_.all().size()) {}

HealthChecker::~HealthChecker() { stop(kFailedStartLimit); }

void HealthChecker::start() {
  if (members_.is_empty()) return;
  if (const int error = thread_.start("wsb-health")) {
    throw std::system_error(error, std::generic_category(), "pthread_create");
  }
}

bool HealthChecker::stop(milliseconds limit) noexcept {
  if (!thread_.is_started()) return true;
  const int saved_errno = errno;
  must_stop_.store(true, std::memory_order_release);
  (void)::eventfd_write(stop_fd_.get(), 1);
  const bool is_done = thread_.wait_gone(std::chrono::steady_clock::now() + limit);
  errno = saved_errno;
  return is_done;
}

void HealthChecker::run(void* self) noexcept {
  static_cast<HealthChecker*>(self)->work_until_stop();
}

void HealthChecker::work_until_stop() noexcept {
  while (!must_stop_.load(std::memory_order_acquire)) {
    wait_ = kLookAtLease;
    guarded(server_, "health", 0, [this] {
      turn(now_ms());
      return 0;
    });
    pollfd events[] = {{stop_fd_.get(), POLLIN, 0}, {done_fd_.get(), POLLIN, 0}};
    ::poll(events, 2, static_cast<int>(wait_.count()));
    eventfd_t results = 0;
    if (events[1].revents != 0) (void)::eventfd_read(done_fd_.get(), &results);
  }
  state_.rows->release_checks(self_);
  end_checks();
}

void HealthChecker::turn(milliseconds now) {
  const bool was_holding = is_holding_;
  const bool is_current = state_.rows->epoch() == state_.epoch;
  is_holding_ = is_current && state_.rows->hold_checks(self_, now.count(), kLeaseMs);
  take_results(now);
  if (!is_current) {
    // From here on only what is under way comes to its end.
    if (was_holding) state_.rows->release_checks(self_);
    wait_ = milliseconds(-1);
  }
  if (!is_holding_) return;
  if (!was_holding) {
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, server_,
                 "WSB0539: child %" APR_PID_T_FMT " looks after the health of members", self_.pid);
  }
  members_.find_added();
  members_.eject(now.count());
  members_.apply();
  wait_ = std::min(kTurn, begin_checks(now));
}

// Returns how long until the next one is due.
milliseconds HealthChecker::begin_checks(milliseconds now) {
  const std::span<CheckedMember> members = members_.all();
  const auto count = static_cast<std::size_t>(
      std::count_if(members.begin(), members.end(),
                    [](const CheckedMember& member) { return member.is_wanted(); }));
  milliseconds next = kTurn;
  std::size_t index = 0;
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (!members[i].is_wanted()) continue;
    const balance::CheckTimes& times = members[i].config->health->times;
    std::atomic<std::int64_t>& due = members[i].row->check_due_ms;
    const std::int64_t said = due;
    const milliseconds at = balance::due_at(milliseconds(said), now, times, index++, count);
    std::int64_t expected = said;
    if (at > now) {
      if (at.count() != said) due.compare_exchange_strong(expected, at.count());
      next = std::min(next, at - now);
    } else if (due.compare_exchange_strong(expected, (now + balance::claim_for(times)).count())) {
      begin_check(i, now);
    }
  }
  return next;
}

HealthChecker::RunningCheck* HealthChecker::idle_check() {
  for (std::unique_ptr<RunningCheck>& check : checks_) {
    if (check == nullptr) {
      check = std::make_unique<RunningCheck>(stop_fd_.get(), done_fd_.get());
    }
    if (!check->is_busy) return check.get();
  }
  return nullptr;
}

// It is claimed.
void HealthChecker::begin_check(std::size_t index, milliseconds now) {
  const CheckedMember& member = members_.all()[index];
  const balance::CheckTimes& times = member.config->health->times;
  RunningCheck* const check = idle_check();
  if (check != nullptr) {
    check->member = index;
    check->began = now;
    check->claimed_until = now + balance::claim_for(times);
    check->plan = plan_for(member);
    check->plan.addresses = addresses_[index];
    const int error = check->start();
    if (error == 0) return;
    tell_unable(member, std::generic_category().message(error).c_str());
  } else {
    tell_unable(member, "too many checks are under way");
  }
  member.row->check_due_ms = (now + std::min(times.interval, kTurn)).count();
}

void HealthChecker::take_results(milliseconds now) {
  for (const std::unique_ptr<RunningCheck>& check : checks_) {
    if (check == nullptr || !check->has_result()) continue;
    check->join();
    take_result(*check, now);
  }
}

void HealthChecker::take_result(RunningCheck& check, milliseconds now) {
  const CheckedMember& member = members_.all()[check.member];
  const HealthConfig& config = *member.config->health;
  MemberRow& row = *member.row;
  addresses_[check.member] = std::move(check.plan.addresses);
  std::int64_t claimed = check.claimed_until.count();
  const std::int64_t next = balance::due_after(check.began, now, config.times).count();
  // If not, the configuration has changed, or this came so late that another process has taken it.
  if (!row.check_due_ms.compare_exchange_strong(claimed, next)) return;
  if (check.result.end == CheckEnd::stopped) return;
  if (check.result.end == CheckEnd::unable) return tell_unable(member, check.result.why.c_str());

  was_unable_ = false;
  const bool was_good = check.result.end == CheckEnd::good;
  row.checks.fetch_add(1, std::memory_order_relaxed);
  if (!was_good) {
    row.checks_failed.fetch_add(1, std::memory_order_relaxed);
    ap_log_error(APLOG_MARK, APLOG_DEBUG, 0, member.server,
                 "WSB0533: a check of member %s of %s failed: %s", full_name(*member.record),
                 member.balancer->s->name, check.result.why.c_str());
  }
  balance::Health health = balance::Health::unpack(row.health);
  const balance::HealthChange change = balance::take_check(health, was_good, config.rule);
  row.health = health.pack();
  if (change == balance::HealthChange::went_down) {
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, member.server,
                 "WSB0531: member %s of %s is down: %u checks in a row failed, the last one: %s "
                 "(WSBalanceHealthCheck)",
                 full_name(*member.record), member.balancer->s->name, unsigned{config.rule.fall},
                 check.result.why.c_str());
  } else if (change == balance::HealthChange::came_back) {
    // As mod_proxy_hcheck does: it is there again, and retry= need not be waited for.
    std::atomic_ref<unsigned int>(member.record->status)
        .fetch_and(~static_cast<unsigned int>(PROXY_WORKER_IN_ERROR));
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, member.server,
                 "WSB0532: member %s of %s is up again: %u checks in a row were good",
                 full_name(*member.record), member.balancer->s->name, unsigned{config.rule.rise});
  }
  apply(member);
}

// Once, until checks can be made again.
void HealthChecker::tell_unable(const CheckedMember& member, const char* why) {
  if (std::exchange(was_unable_, true)) return;
  ap_log_error(APLOG_MARK, APLOG_WARNING, 0, member.server,
               "WSB0538: member %s of %s cannot be checked, which says nothing about it: %s",
               full_name(*member.record), member.balancer->s->name, why);
}

// They see that they have to stop.
void HealthChecker::end_checks() noexcept {
  for (const std::unique_ptr<RunningCheck>& check : checks_) {
    if (check == nullptr || !check->is_busy) continue;
    check->join();
    // So that the next process need not wait for the claim to run out.
    const CheckedMember& member = members_.all()[check->member];
    std::int64_t claimed = check->claimed_until.count();
    member.row->check_due_ms.compare_exchange_strong(claimed, check->began.count());
  }
}

}  // namespace wsbalance::httpd
