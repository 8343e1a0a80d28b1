#include "relay/relay.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <system_error>
#include <utility>

#include "relay/buffer_budget.h"
#include "relay/group_orders.h"
#include "relay/relay_thread.h"
#include "relay/time_source.h"
#include "relay/tunnel.h"

namespace wsbalance::relay {
namespace {

constexpr unsigned kThreadsMax = 64;

// For threads to pause that have begun just now.
constexpr std::chrono::milliseconds kFailedStartLimit{1000};

}  // namespace

Relay::Relay(const RelaySettings& settings, TunnelObserver& observer,
             std::atomic<std::uint32_t>& open_tunnels)
    : budget_(std::make_unique<BufferBudget>(settings.buffer_total_bytes_max)),
      group_orders_(std::make_unique<GroupOrders>(settings.groups)),
      time_(std::make_unique<SteadyTime>()) {
  const unsigned count = std::clamp(settings.threads, 1u, kThreadsMax);
  for (unsigned number = 0; number < count; ++number) {
    threads_.push_back(std::make_unique<RelayThread>(number, *budget_, *group_orders_, observer,
                                                     open_tunnels, *time_));
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
  (void)group_orders_.release();
  (void)time_.release();
}

void Relay::start() {
  for (auto& thread : threads_) {
    const bool goes_on = thread->loop().resume();
    if (thread->is_started()) {
      if (goes_on) continue;  // A pause() that failed; the thread had not seen it yet.
      thread->join();
    }
    const int error = thread->start();
    if (error == 0) continue;
    pause(kFailedStartLimit);
    throw std::system_error(error, std::generic_category(), "pthread_create");
  }
}

bool Relay::pause(std::chrono::milliseconds limit) noexcept {
  const auto until = time_->now() + limit;
  for (auto& thread : threads_) {
    if (thread->is_started()) thread->loop().request_pause();
  }
  bool all_gone = true;
  for (auto& thread : threads_) {
    if (!thread->is_started()) continue;
    if (thread->wait_gone(until)) {
      thread->join();
    } else {
      all_gone = false;
    }
  }
  return all_gone;
}

bool Relay::turn_here(std::chrono::milliseconds wait_max) noexcept {
  const bool has_threads = std::any_of(threads_.begin(), threads_.end(),
                                       [](const auto& thread) { return thread->is_started(); });
  if (has_threads) return false;
  for (auto& thread : threads_) thread->loop().turn_paused(wait_max);
  return true;
}

void Relay::list_descriptors(std::vector<int>& found) {
  for (auto& thread : threads_) thread->loop().list_descriptors(found);
}

void Relay::abandon() noexcept {
  for (auto& thread : threads_) {
    assert(!thread->is_started());
    thread->loop().abandon();
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

  bool all_done = true;
  for (auto& thread : threads_) {
    if (!thread->is_started()) continue;
    if (thread->wait_gone(deadline)) {
      thread->loop().close_all();  // Where it had left its loop for a pause.
    } else {
      all_done = false;
    }
  }
  errno = saved_errno;
  return all_done;
}

void Relay::close_tunnels(EndReason reason, std::chrono::milliseconds over,
                          std::chrono::milliseconds close_timeout) noexcept {
  const CloseOrder order{.reason = reason, .over = over, .close_timeout = close_timeout};
  for (auto& thread : threads_) thread->loop().request_close(order);
}

void Relay::close_bound_tunnels(EndReason reason,
                                std::chrono::milliseconds close_timeout) noexcept {
  const CloseOrder order{.reason = reason, .over = {}, .close_timeout = close_timeout};
  for (auto& thread : threads_) thread->loop().request_close_bound(order);
}

// The first loop that looks may take all of it.
void Relay::close_group(std::uint16_t group, const GroupOrder& order) noexcept {
  group_orders_->give(group, order);
  const std::size_t first = first_asked_.fetch_add(1, std::memory_order_relaxed);
  for (std::size_t i = 0; i < threads_.size(); ++i) {
    threads_[(first + i) % threads_.size()]->loop().request_look_at_groups();
  }
}

std::uint32_t Relay::take_back_order(std::uint16_t group) noexcept {
  return group_orders_->take_back(group);
}

std::uint32_t Relay::load() const noexcept {
  std::uint32_t tunnels = 0;
  for (const auto& thread : threads_) tunnels += thread->loop().load();
  return tunnels;
}

RelayThread& Relay::least_loaded() noexcept {
  const auto least = std::min_element(threads_.begin(), threads_.end(), [](auto& a, auto& b) {
    return a->loop().load() < b->loop().load();
  });
  return **least;
}

}  // namespace wsbalance::relay
