#include "httpd/row_keeper.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "httpd/members.h"
#include "httpd/shared_clock.h"

namespace wsbalance::httpd {
namespace {

constexpr std::chrono::milliseconds kFailedStartLimit{1000};

}  // namespace

RowKeeper::RowKeeper(const SharedRows& rows, std::uint32_t epoch, const server_rec* server,
                     OrderFollower& orders)
    : rows_(rows),
      epoch_(epoch),
      self_(process_id_of(::getpid())),
      stop_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      totals_(rows.numbers().members),
      sums_(rows.numbers().members),
      watch_(rows, epoch, server),
      orders_(orders) {
  if (!stop_fd_) throw std::system_error(errno, std::generic_category(), "eventfd");
}

RowKeeper::~RowKeeper() { stop(kFailedStartLimit); }

void RowKeeper::start() {
  if (const int error = thread_.start("wsb-rows")) {
    throw std::system_error(error, std::generic_category(), "pthread_create");
  }
}

bool RowKeeper::stop(std::chrono::milliseconds limit) noexcept {
  if (!thread_.is_started()) return true;
  const int saved_errno = errno;
  must_stop_.store(true, std::memory_order_release);
  (void)::eventfd_write(stop_fd_.get(), 1);
  const bool is_done = thread_.wait_gone(std::chrono::steady_clock::now() + limit);
  errno = saved_errno;
  return is_done;
}

void RowKeeper::run(void* self) noexcept { static_cast<RowKeeper*>(self)->keep_until_stop(); }

void RowKeeper::keep_until_stop() noexcept {
  while (!must_stop_.load(std::memory_order_acquire)) {
    const std::int64_t now_ms = shared_clock_ms();
    if (rows_.epoch() == epoch_ && rows_.take_turn(now_ms, kTurnMs)) keep(now_ms);
    const bool is_under_way = orders_.look(shared_clock_ms());
    pollfd stopped{stop_fd_.get(), POLLIN, 0};
    ::poll(&stopped, 1, is_under_way ? OrderFollower::kSoonMs : kTurnMs);
  }
}

void RowKeeper::keep(std::int64_t now_ms) noexcept {
  rows_.clear_dead(self_);
  rows_.read_totals(totals_);
  rows_.sum_members(sums_);
  rows_.correct_totals(totals_, sums_);
  const std::span<MemberRow> members = rows_.members();
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (members[i].is_used.load(std::memory_order_relaxed) == 0) continue;
    void* const address = RecordAddress::unpack(members[i].record.load(), epoch_);
    if (address == nullptr) continue;
    const MemberRecord record = fields_of(*static_cast<proxy_worker_shared*>(address));
    feed(members[i], epoch_, sums_[i].tunnels, record);
    correct_drift(members[i], sums_[i], record);
  }
  watch_.look(std::span(sums_).first(members.size()), now_ms);
  rows_.free_unnamed(sums_, self_);
}

}  // namespace wsbalance::httpd
