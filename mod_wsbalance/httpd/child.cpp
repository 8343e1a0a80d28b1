#include "httpd/child.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <chrono>
#include <system_error>
#include <utility>

#include "httpd/ejection.h"
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
      relay_(state.relay, *this, row_.row->open_tunnels),
      order_follower_(*state.rows, row_, relay_),
      row_keeper_(*state.rows, state.epoch, server, order_follower_),
      health_checker_(server, state) {}

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
  child->health_checker_.start();
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

// Only where this process has a row.
Counter Child::counter(CellNumber number, std::uint16_t member) const {
  return {number, row_.cells[member], state_.rows->member_row(member).all};
}

void Child::count_opened(const MemberRef& member) noexcept {
  MemberRow& counts = state_.rows->member_row(member.row);
  counts.opened.fetch_add(1, std::memory_order_relaxed);
  if (row_.cells == nullptr) return;
  counter(&MemberCell::tunnels, member.row).add_one();
  if (member.record != nullptr) feed_opened(counts, state_.epoch, member.record->busy);
}

InFlight Child::in_flight(const MemberRef& member, bool is_handshake) noexcept {
  if (row_.cells == nullptr) return {};
  const CellNumber number = is_handshake ? &MemberCell::handshakes : &MemberCell::plain;
  return {counter(number, member.row), has_left_row_};
}

void Child::tunnel_leaves(relay::TunnelContext* context) noexcept {
  auto& info = *static_cast<TunnelInfo*>(context);
  MemberCell* const own = cell(info.member_row());
  if (own == nullptr) return;
  info.mark_leaving();
  own->leaving.fetch_add(1, std::memory_order_relaxed);
}

// Of the relay's: nothing here may wait or be slow.
void Child::tunnel_ended(const relay::TunnelSummary& summary,
                         std::unique_ptr<relay::TunnelContext> context) noexcept {
  std::unique_ptr<TunnelInfo> info(static_cast<TunnelInfo*>(context.release()));
  state_.rows->ends().count(summary);
  state_.rows->member_row(info->member_row()).count_end(summary);
  if (is_cut_at_start(summary)) {
    note_member_failure(*state_.rows, info->member_row(), info->client().data());
  }
  if (MemberCell* const own = cell(info->member_row())) {
    own->seats.fetch_sub(1);  // First: where nobody sees the tunnel any more there is room.
    counter(&MemberCell::tunnels, info->member_row()).subtract_one();
    if (info->is_leaving()) own->leaving.fetch_sub(1, std::memory_order_relaxed);
  }
  info->summary = summary;
  info->ended_us = apr_time_now();
  log_writer_.push(std::move(info));
}

}  // namespace wsbalance::httpd
