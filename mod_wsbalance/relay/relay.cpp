#include "relay/relay.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "relay/buffer_budget.h"
#include "relay/relay_thread.h"
#include "relay/time_source.h"
#include "relay/tunnel.h"

namespace wsbalance::relay {
namespace {

// The only place of the relay that asks what time it is.
class SteadyTime : public TimeSource {
 public:
  Clock::time_point now() const noexcept override { return Clock::now(); }
};

constexpr unsigned kThreadsMax = 64;

// From the last thing that a thread does to where the kernel has no such thread any more.
constexpr std::chrono::milliseconds kThreadEndLimit{200};

// For threads without a tunnel to stop.
constexpr std::chrono::milliseconds kFailedStartLimit{1000};

}  // namespace

Relay::Relay(const RelaySettings& settings, TunnelObserver& observer,
             std::atomic<std::uint32_t>& open_tunnels)
    : budget_(std::make_unique<BufferBudget>(settings.buffer_total_bytes_max)),
      time_(std::make_unique<SteadyTime>()) {
  const unsigned count = std::clamp(settings.threads, 1u, kThreadsMax);
  for (unsigned number = 0; number < count; ++number) {
    threads_.push_back(
        std::make_unique<RelayThread>(number, *budget_, observer, open_tunnels, *time_));
  }
}

Relay::~Relay() {
  const bool all_done = std::all_of(threads_.begin(), threads_.end(), [](const auto& thread) {
    return !thread->is_started() || thread->is_done();
  });
  if (all_done) return;
  // Better that this memory is never freed than that it is freed under a thread.
  for (auto& thread : threads_) (void)thread.release();
  (void)budget_.release();
  (void)time_.release();
}

void Relay::start() {
  for (auto& thread : threads_) {
    const int error = thread->start();
    if (error == 0) continue;
    stop(kFailedStartLimit);
    throw std::system_error(error, std::generic_category(), "pthread_create");
  }
}

void Relay::submit(std::unique_ptr<Tunnel> tunnel) noexcept {
  least_loaded().loop().submit(std::move(tunnel));
}

bool Relay::stop(std::chrono::milliseconds limit) noexcept {
  const int saved_errno = errno;
  const auto deadline = time_->now() + limit;
  for (auto& thread : threads_) {
    if (thread->is_started()) {
      thread->loop().request_stop();
    } else {
      thread->loop().close_all();
    }
  }

  const auto wait_for_all = [this](auto&& test, Clock::time_point until) {
    for (;;) {
      const bool all = std::all_of(threads_.begin(), threads_.end(), [&test](const auto& thread) {
        return !thread->is_started() || test(*thread);
      });
      if (all || time_->now() >= until) return all;
      ::poll(nullptr, 0, 1);
    }
  };
  const bool all_done =
      wait_for_all([](const RelayThread& thread) { return thread.is_done(); }, deadline);
  // The end of a thread frees what the heap keeps for it, so it may have to wait for a lock.
  if (all_done) {
    wait_for_all([](const RelayThread& thread) { return thread.is_gone(); },
                 std::min(deadline, time_->now() + kThreadEndLimit));
  }
  errno = saved_errno;
  return all_done;
}

RelayThread& Relay::least_loaded() noexcept {
  const auto least = std::min_element(threads_.begin(), threads_.end(), [](auto& a, auto& b) {
    return a->loop().load() < b->loop().load();
  });
  return **least;
}

}  // namespace wsbalance::relay
