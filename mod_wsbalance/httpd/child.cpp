#include "httpd/child.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <chrono>
#include <system_error>

#include "httpd/queries.h"

namespace wsbalance::httpd {
namespace {

// Closing descriptors takes no longer; the parent gives a child 3 seconds before it signals again.
constexpr std::chrono::milliseconds kStopLimit{1000};

relay::UniqueFd opened(int fd, const char* what) {
  if (fd < 0) throw std::system_error(errno, std::generic_category(), what);
  return relay::UniqueFd(fd);
}

}  // namespace

Child::Child(server_rec* server, ModuleState& state)
    : state_(state),
      row_(state.rows->claim(getpid())),
      is_threaded_(ask_mpm(AP_MPMQ_IS_THREADED) != AP_MPMQ_NOT_SUPPORTED),
      generation_(ask_mpm(AP_MPMQ_GENERATION)),
      inert_(opened(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket")),
      stopping_fd_(opened(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")),
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
  child->relay_.start();
  apr_pool_cleanup_register(pool, child.get(), &Child::stop, apr_pool_cleanup_null);
  return child.release();
}

apr_status_t Child::stop(void* data) {
  auto& child = *static_cast<Child*>(data);
  child.relay_.stop(kStopLimit);
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

relay::UniqueFd Child::make_inert() const {
  return relay::UniqueFd(::fcntl(inert_.get(), F_DUPFD_CLOEXEC, 3));
}

void Child::tunnel_ended(const relay::TunnelSummary& summary,
                         relay::TunnelContext* context) noexcept {
  const auto& info = static_cast<const TunnelInfo&>(*context);
  ap_log_error(APLOG_MARK, APLOG_INFO, 0, info.server,
               "WSB0301: tunnel ended: client=%s member=%s reason=%s close_code=%u "
               "duration_ms=%" APR_INT64_T_FMT
               " "
               "to_member: bytes=%" APR_UINT64_T_FMT " messages=%" APR_UINT64_T_FMT
               " to_client: bytes=%" APR_UINT64_T_FMT " messages=%" APR_UINT64_T_FMT "%s",
               info.client.c_str(), info.member.c_str(), relay::name_of(summary.reason),
               summary.close_code, apr_int64_t{summary.duration.count()},
               apr_uint64_t{summary.to_member.bytes}, apr_uint64_t{summary.to_member.messages},
               apr_uint64_t{summary.to_client.bytes}, apr_uint64_t{summary.to_client.messages},
               summary.is_truncated ? " tls=truncated" : "");
}

}  // namespace wsbalance::httpd
