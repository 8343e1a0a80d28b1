#include "httpd/child.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <chrono>
#include <system_error>
#include <utility>

#include "httpd/lineage.h"
#include "httpd/pool.h"
#include "httpd/queries.h"

namespace wsbalance::httpd {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

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
      server_(server),
      process_(process_id_of(::getpid())),
      end_{.is_threaded_mpm = ask_mpm(AP_MPMQ_IS_THREADED) != AP_MPMQ_NOT_SUPPORTED},
      generation_(ask_mpm(AP_MPMQ_GENERATION)),
      row_(claim_row(server)),
      inert_(state.descriptors.line),
      stopping_fd_(opened(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")),
      first_tunnel_id_(random_number()),
      log_writer_(server, state),
      row_keeper_(*state.rows, state.epoch),
      relay_(state.relay, *this, row_.row->open_tunnels) {}

OwnRow Child::claim_row(const server_rec* server) {
  const auto claim = [this] {
    return state_.rows->claim(process_, state_.epoch, static_cast<std::uint32_t>(generation_));
  };
  if (const OwnRow row = claim()) return row;
  state_.rows->clear_dead(process_);
  if (const OwnRow row = claim()) return row;
  ap_log_error(APLOG_MARK, APLOG_WARNING, 0, server,
               "WSB0201: no shared row left for child %" APR_PID_T_FMT
               ": its tunnels and handshakes are counted for itself only",
               process_.pid);
  return {&private_row_, nullptr};
}

Child* Child::start(apr_pool_t* pool, server_rec* server, ModuleState& state) {
  auto child = std::unique_ptr<Child>(new Child(server, state));
  child->log_writer_.start();
  child->row_keeper_.start();
  child->relay_.start();
  apr_pool_cleanup_register(pool, child.get(), &Child::end, apr_pool_cleanup_null);
  return child.release();
}

bool Child::is_stopping() const {
  if (is_stopping_.load(std::memory_order_relaxed)) return true;
  return !end_.is_threaded_mpm && ap_get_scoreboard_global()->running_generation != generation_;
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

void Child::count_opened(const MemberRef& member) noexcept {
  MemberRow& counts = state_.rows->member_row(member.row);
  counts.opened.fetch_add(1, std::memory_order_relaxed);
  if (row_.cells == nullptr) return;
  row_.cells[member.row].tunnels.fetch_add(1, std::memory_order_relaxed);
  if (member.record != nullptr) feed_opened(counts, state_.epoch, member.record->busy);
}

namespace {

struct CountedRequest {
  std::atomic<std::uint32_t>& count;
  const std::atomic<bool>& has_left_row;
};

}  // namespace

void Child::count_request(request_rec* r, const MemberRef& member) {
  if (row_.cells == nullptr || member.record == nullptr) return;
  std::atomic<std::uint32_t>& count = row_.cells[member.row].requests;
  count.fetch_add(1, std::memory_order_relaxed);
  // mod_proxy_balancer has registered its own before, which therefore comes after this one.
  apr_pool_cleanup_register(r->pool,
                            pool_new<CountedRequest>(r->pool, CountedRequest{count, has_left_row_}),
                            on_request_gone, apr_pool_cleanup_null);
}

apr_status_t Child::on_request_gone(void* data) noexcept {
  auto& request = *static_cast<CountedRequest*>(data);
  // At the end of a process pools go after us, and the row may be another's by then.
  if (!request.has_left_row) request.count.fetch_sub(1, std::memory_order_relaxed);
  return APR_SUCCESS;
}

// Of the relay's: nothing here may wait or be slow.
void Child::tunnel_ended(const relay::TunnelSummary& summary,
                         std::unique_ptr<relay::TunnelContext> context) noexcept {
  std::unique_ptr<TunnelInfo> info(static_cast<TunnelInfo*>(context.release()));
  state_.rows->ends().count(summary);
  state_.rows->member_row(info->member_row()).count_end(summary);
  if (row_.cells != nullptr) {
    row_.cells[info->member_row()].tunnels.fetch_sub(1, std::memory_order_relaxed);
  }
  info->summary = summary;
  info->ended_us = apr_time_now();
  log_writer_.push(std::move(info));
}

}  // namespace wsbalance::httpd
