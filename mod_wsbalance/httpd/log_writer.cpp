#include "httpd/log_writer.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>
#include <system_error>
#include <utility>

#include "httpd/tunnel_log.h"

namespace wsbalance::httpd {
namespace {

using std::chrono::milliseconds;

// Lines hardly ever need more; then the buffer grows for good.
constexpr std::size_t kLineBytes = 32 * 1024;

// For a program that does not read: the other logs wait as long. After it that log's lines are
// lost until it reads. Shorter than what stop() may take.
constexpr milliseconds kPatience{500};

constexpr std::int64_t kTellLostEveryMs = 1000;

constexpr milliseconds kFailedStartLimit{1000};

// From where the thread looks whether it is paused to its end.
constexpr milliseconds kPauseSeenLimit{50};

std::int64_t now_ms() noexcept {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<milliseconds>(now).count();
}

relay::UniqueFd make_wake() {
  const int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
  return relay::UniqueFd(fd);
}

std::uint16_t all_broken_rules(const TunnelInfo& info) noexcept {
  return info.summary.to_member.broken_rules | info.summary.to_client.broken_rules;
}

// Calls tell(text) for each rule of the set.
template <typename Tell>
void for_each_rule(std::uint16_t rules, Tell&& tell) {
  for (unsigned number = 0; number < protocol::kFrameRules; ++number) {
    const auto rule = static_cast<protocol::FrameRule>(number);
    if (rules & protocol::rule_bit(rule)) tell(protocol::rule_text(rule));
  }
}

}  // namespace

LogWriter::LogWriter(server_rec* main_server, const ModuleState& state)
    : wake_(make_wake()), output_(main_server, state), told_lost_ms_(now_ms() - kTellLostEveryMs) {
  line_.reserve(kLineBytes);
}

LogWriter::~LogWriter() {
  stop(kFailedStartLimit);
  for (TunnelInfo* info = newest_.load(); info != nullptr;) delete std::exchange(info, info->next);
}

void LogWriter::start() {
  is_paused_.store(false, std::memory_order_release);
  if (thread_.is_started()) {
    // pause() was not called or gave up. The thread may have seen it all the same.
    if (!thread_.wait_gone(std::chrono::steady_clock::now() + kPauseSeenLimit)) return;
    thread_.join();
  }
  if (const int error = thread_.start("wsb-log")) {
    is_paused_.store(true, std::memory_order_release);  // stop() writes what waits.
    throw std::system_error(error, std::generic_category(), "pthread_create");
  }
}

bool LogWriter::is_wanted(const TunnelInfo& info) const noexcept {
  return tunnel_log_of(info.server()) != nullptr || APLOG_IS_LEVEL(info.server(), APLOG_INFO) ||
         all_broken_rules(info) != 0 || info.summary.reason == relay::EndReason::resources ||
         resources_.is_on();
}

void LogWriter::push(std::unique_ptr<TunnelInfo> info) noexcept {
  if (!is_wanted(*info)) return;
  if (waiting_.fetch_add(1, std::memory_order_relaxed) >= kWaitingMax) {
    waiting_.fetch_sub(1, std::memory_order_relaxed);
    lost_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  TunnelInfo* const added = info.release();
  TunnelInfo* before = newest_.load(std::memory_order_relaxed);
  do {
    added->next = before;
  } while (!newest_.compare_exchange_weak(before, added, std::memory_order_release,
                                          std::memory_order_relaxed));
  // From here on `added` may be gone.
  if (before == nullptr) (void)::eventfd_write(wake_.get(), 1);
}

bool LogWriter::pause(milliseconds limit) noexcept {
  is_paused_.store(true, std::memory_order_release);
  (void)::eventfd_write(wake_.get(), 1);
  if (!thread_.wait_gone(std::chrono::steady_clock::now() + limit)) return false;
  thread_.join();
  return true;
}

void LogWriter::list_descriptors(std::vector<int>& found) const {
  found.push_back(wake_.get());
  output_.list_descriptors(found);
}

bool LogWriter::stop(milliseconds limit) noexcept {
  const bool was_paused = is_paused_.exchange(false);
  if (!thread_.is_started() && !was_paused) return true;
  const int saved_errno = errno;
  const auto deadline = std::chrono::steady_clock::now() + limit;
  stop_at_.store(now_ms() + limit.count(), std::memory_order_release);
  if (!thread_.is_started()) {
    write_until_stop();
    return true;
  }
  (void)::eventfd_write(wake_.get(), 1);
  const bool is_done = thread_.wait_gone(deadline);
  errno = saved_errno;
  return is_done;
}

void LogWriter::run(void* self) noexcept { static_cast<LogWriter*>(self)->write_until_stop(); }

void LogWriter::write_until_stop() noexcept {
  for (;;) {
    const bool was_stopping = is_stopping();  // Asked first: what came before that is written.
    TunnelInfo* info = take_all();
    if (info == nullptr && was_stopping) break;
    while (info != nullptr && patience().count() > 0) {
      TunnelInfo* const next = info->next;
      write(*info);
      waiting_.fetch_sub(1, std::memory_order_relaxed);
      if (!is_stopping()) delete info;
      info = next;
      tell_lost();
    }
    if (info != nullptr) break;  // No time is left.
    if (!was_stopping) wait();
    if (is_paused_.load(std::memory_order_acquire)) return;
    tell_lost();
  }
  lost_.fetch_add(waiting_.load(std::memory_order_relaxed), std::memory_order_relaxed);
  told_lost_ms_ = 0;
  tell_lost();
}

// All that waits, the oldest first.
TunnelInfo* LogWriter::take_all() noexcept {
  TunnelInfo* oldest = nullptr;
  TunnelInfo* info = newest_.exchange(nullptr, std::memory_order_acquire);
  while (info != nullptr) {
    TunnelInfo* const before = std::exchange(info->next, oldest);
    oldest = std::exchange(info, before);
  }
  return oldest;
}

void LogWriter::wait() noexcept {
  int wait_ms = -1;
  if (lost_.load(std::memory_order_relaxed) != 0) {
    wait_ms = static_cast<int>(
        std::clamp<std::int64_t>(told_lost_ms_ + kTellLostEveryMs - now_ms(), 0, kTellLostEveryMs));
  }
  std::array<pollfd, 2> woken = {pollfd{wake_.get(), POLLIN, 0},
                                 pollfd{output_.forwarded_fd(), POLLIN, 0}};
  ::poll(woken.data(), woken.size(), wait_ms);
  eventfd_t count = 0;
  if (woken[0].revents != 0) (void)::eventfd_read(wake_.get(), &count);
  if (woken[1].revents != 0 && !is_stopping()) {
    lost_.fetch_add(output_.write_forwarded(patience()), std::memory_order_relaxed);
  }
}

// How long a log may make the thread wait now.
milliseconds LogWriter::patience() const noexcept {
  if (!is_stopping()) return kPatience;
  const std::int64_t left = stop_at_.load(std::memory_order_relaxed) - now_ms();
  return std::clamp(milliseconds(left / 2), milliseconds(0), kPatience);
}

void LogWriter::write(const TunnelInfo& info) noexcept {
  try {
    // It has to remember names, and there may be no memory at a stop.
    if (all_broken_rules(info) != 0 && !is_stopping()) tell_broken_rules(info);
    tell_resources(info);
    write_error_log(info);
    write_tunnel_log(info);
  } catch (const std::bad_alloc&) {
    lost_.fetch_add(1, std::memory_order_relaxed);
  }
}

void LogWriter::write_tunnel_log(const TunnelInfo& info) {
  const TunnelLog* const log = tunnel_log_of(info.server());
  if (log == nullptr) return;
  line_.clear();
  const char* const name = info.server()->server_hostname;
  log->line.append(line_, info, name != nullptr ? name : "");
  if (!output_.write_tunnel_log(info.server(), line_, patience())) {
    lost_.fetch_add(1, std::memory_order_relaxed);
  }
}

void LogWriter::write_error_log(const TunnelInfo& info) noexcept {
  const relay::TunnelSummary& summary = info.summary;
  const char* const closer = name_of(summary.closer);
  output_.write_error_log(
      APLOG_INFO, 0, info.server(),
      "WSB0301: tunnel ended: client=%s:%u member=%s tunnel=%016" APR_UINT64_T_HEX_FMT
      " reason=%s close_code=%u closer=%s duration_ms=%" APR_INT64_T_FMT
      " "
      "to_member: bytes=%" APR_UINT64_T_FMT " messages=%" APR_UINT64_T_FMT
      " to_client: bytes=%" APR_UINT64_T_FMT " messages=%" APR_UINT64_T_FMT "%s",
      info.client().data(), unsigned{info.client_port()}, info.member().data(),
      apr_uint64_t{info.id()}, name_of(summary.reason), unsigned{summary.close_code},
      *closer != '\0' ? closer : "-", apr_int64_t{summary.duration.count()},
      apr_uint64_t{summary.to_member.bytes}, apr_uint64_t{summary.to_member.messages},
      apr_uint64_t{summary.to_client.bytes}, apr_uint64_t{summary.to_client.messages},
      summary.is_truncated ? " tls=truncated" : "");
}

void LogWriter::tell_broken_rules(const TunnelInfo& info) {
  const relay::TunnelSummary& summary = info.summary;
  const char* const member = info.member().data();
  for_each_rule(
      broken_rules_.take_new(info.member(), relay::Side::member, summary.to_client.broken_rules),
      [&](const protocol::FrameRuleText& rule) {
        output_.write_error_log(APLOG_WARNING, 0, info.server(),
                                "WSB0302: member %s broke %s: %s; further cases are counted in the "
                                "tunnel log only",
                                member, rule.reference, rule.text);
      });
  for_each_rule(
      broken_rules_.take_new(info.member(), relay::Side::client, summary.to_member.broken_rules),
      [&](const protocol::FrameRuleText& rule) {
        output_.write_error_log(APLOG_INFO, 0, info.server(),
                                "WSB0303: client %s of member %s broke %s: %s; further cases are "
                                "counted in the tunnel log only",
                                info.client().data(), member, rule.reference, rule.text);
      });
}

void LogWriter::tell_resources(const TunnelInfo& info) noexcept {
  if (info.summary.reason == relay::EndReason::resources) {
    if (!resources_.refuse(now_ms())) return;
    output_.write_error_log(
        APLOG_ERR, 0, info.server(),
        "WSB0311: the system refuses memory, or something else that open tunnels need: "
        "tunnels of this child end with reason=resources");
  } else if (const std::uint64_t ended = resources_.grant(now_ms())) {
    output_.write_error_log(
        APLOG_NOTICE, 0, info.server(),
        "WSB0312: tunnels of this child have what they need again; %" APR_UINT64_T_FMT
        " ended with reason=resources",
        apr_uint64_t{ended});
  }
}

void LogWriter::tell_lost() noexcept {
  if (lost_.load(std::memory_order_relaxed) == 0) return;
  const std::int64_t now = now_ms();
  if (now - told_lost_ms_ < kTellLostEveryMs) return;
  told_lost_ms_ = now;
  output_.write_error_log(APLOG_WARNING, 0, nullptr,
                          "WSB0304: %" APR_UINT64_T_FMT
                          " lines of the tunnel log lost: the log does not take them",
                          apr_uint64_t{lost_.exchange(0, std::memory_order_relaxed)});
}

}  // namespace wsbalance::httpd
