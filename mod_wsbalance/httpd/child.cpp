#include "httpd/child.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <system_error>
#include <utility>

#include "httpd/queries.h"

namespace wsbalance::httpd {
namespace {

// Closing descriptors takes no longer; the parent gives a child 3 seconds before it signals again.
constexpr std::chrono::milliseconds kStopLimit{1000};

// For the log lines that wait then.
constexpr std::chrono::milliseconds kLogStopLimit{1000};

void count_end(EndCounts& counts, const relay::TunnelSummary& summary) noexcept {
  const auto add = [](std::atomic<std::uint64_t>& count, std::uint64_t value) {
    if (value != 0) count.fetch_add(value, std::memory_order_relaxed);
  };
  add(counts.ended[static_cast<std::size_t>(summary.reason)], 1);
  add(counts.throttled, summary.to_member.throttled + summary.to_client.throttled);
  add(counts.violations, summary.to_member.violations + summary.to_client.violations);
}

relay::UniqueFd opened(int fd, const char* what) {
  if (fd < 0) throw std::system_error(errno, std::generic_category(), what);
  return relay::UniqueFd(fd);
}

std::uint64_t random_number() {
  std::uint64_t number = 0;
  if (::getentropy(&number, sizeof(number)) != 0) {
    throw std::system_error(errno, std::generic_category(), "getentropy");
  }
  return number;
}

// Different for different numbers, and neighbours do not look like it (the last step of splitmix64).
std::uint64_t mixed(std::uint64_t number) {
  number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9u;
  number = (number ^ (number >> 27)) * 0x94d049bb133111ebu;
  return number ^ (number >> 31);
}

}  // namespace

Child::Child(server_rec* server, ModuleState& state)
    : state_(state),
      row_(state.rows->claim(getpid())),
      is_threaded_(ask_mpm(AP_MPMQ_IS_THREADED) != AP_MPMQ_NOT_SUPPORTED),
      generation_(ask_mpm(AP_MPMQ_GENERATION)),
      inert_(opened(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket")),
      stopping_fd_(opened(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")),
      first_tunnel_id_(random_number()),
      log_writer_(server),
      relay_(state.relay, *this, (row_ ? row_ : &own_row_)->open_tunnels) {
  if (row_ != nullptr) return;
  row_ = &own_row_;
  ap_log_error(APLOG_MARK, APLOG_WARNING, 0, server,
               "WSB0201: no shared row left for child %" APR_PID_T_FMT
               ": its tunnels and handshakes are counted for itself only",
               getpid());
}

Child* Child::start(apr_pool_t* pool, server_rec* server, ModuleState& state) {
  auto child = std::unique_ptr<Child>(new Child(server, state));
  child->log_writer_.start();
  child->relay_.start();
  apr_pool_cleanup_register(pool, child.get(), &Child::stop, apr_pool_cleanup_null);
  return child.release();
}

apr_status_t Child::stop(void* data) {
  auto& child = *static_cast<Child*>(data);
  child.relay_.stop(kStopLimit);
  child.log_writer_.stop(kLogStopLimit);
  child.state_.child = nullptr;
  child.state_.rows->release(getpid());
  return APR_SUCCESS;
}

bool Child::is_stopping() const {
  if (is_stopping_.load(std::memory_order_relaxed)) return true;
  return !is_threaded_ && ap_get_scoreboard_global()->running_generation != generation_;
}

void Child::begin_stop() {
  is_stopping_.store(true, std::memory_order_relaxed);
  (void)::eventfd_write(stopping_fd_.get(), 1);
}

bool Child::should_warn_of_waiting() {
  const apr_time_t now = apr_time_now();
  apr_time_t last = warned_of_waiting_.load(std::memory_order_relaxed);
  return now - last >= apr_time_from_sec(1) &&
         warned_of_waiting_.compare_exchange_strong(last, now, std::memory_order_relaxed);
}

std::uint64_t Child::next_tunnel_id() {
  return mixed(first_tunnel_id_ + tunnel_ids_.fetch_add(1, std::memory_order_relaxed));
}

relay::UniqueFd Child::make_inert() const {
  return relay::UniqueFd(::fcntl(inert_.get(), F_DUPFD_CLOEXEC, 3));
}

// Of the relay's: nothing here may wait or be slow.
void Child::tunnel_ended(const relay::TunnelSummary& summary,
                         std::unique_ptr<relay::TunnelContext> context) noexcept {
  count_end(state_.rows->ends(), summary);
  std::unique_ptr<TunnelInfo> info(static_cast<TunnelInfo*>(context.release()));
  info->summary = summary;
  info->ended_us = apr_time_now();
  log_writer_.push(std::move(info));
}

}  // namespace wsbalance::httpd
