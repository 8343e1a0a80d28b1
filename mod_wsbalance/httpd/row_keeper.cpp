#include "httpd/row_keeper.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "httpd/members.h"

namespace wsbalance::httpd {
namespace {

constexpr std::chrono::milliseconds kFailedStartLimit{1000};

std::int64_t now_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

}  // namespace

RowKeeper::RowKeeper(const SharedRows& rows, std::uint32_t epoch)
    : rows_(rows),
      epoch_(epoch),
      self_(process_id_of(::getpid())),
      stop_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      sums_(rows.numbers().members) {
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
    const bool is_current = rows_.epoch() == epoch_;
    if (is_current && rows_.take_turn(now_ms(), kTurnMs)) keep();
    pollfd stopped{stop_fd_.get(), POLLIN, 0};
    ::poll(&stopped, 1, is_current ? kTurnMs : -1);
  }
}

void RowKeeper::keep() noexcept {
  rows_.clear_dead(self_);
  rows_.sum_members(sums_);
  const std::span<MemberRow> members = rows_.members();
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (members[i].is_used.load(std::memory_order_relaxed) == 0) continue;
    void* const address = RecordAddress::unpack(members[i].record.load(), epoch_);
    if (address == nullptr) continue;
    const MemberRecord record = fields_of(*static_cast<proxy_worker_shared*>(address));
    feed(members[i], epoch_, sums_[i].tunnels, record);
    correct_drift(members[i], sums_[i], record);
  }
  rows_.free_unnamed(sums_, self_);
}

}  // namespace wsbalance::httpd
