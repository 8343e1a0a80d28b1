// The reader's map. One turn of the loop, from top to bottom of turn():
//
// - epoll names descriptors by tags: a tunnel and a side. Tunnel::on_ready() does at most one read
//   and one write for each.
// - The wake descriptor says that other threads have put tunnels into the inbox with submit(), the
//   only place where they meet this one. take_in() begins them.
// - Timers that are due call Tunnel::on_timer().
// - Tunnels that are over have moved to ended_ meanwhile. They are reported and freed last, because
//   a later event of the same turn may still name them.
//
// What a tunnel does with a descriptor is in tunnel.cpp (who ends when), direction.cpp (what is
// read, kept, written) and endpoint.cpp (the system calls).

#include "relay/relay_loop.h"

#include <algorithm>
#include <random>
#include <utility>

#include "relay/tunnel.h"

namespace wsbalance::relay {

RelayLoop::RelayLoop(BufferBudget& budget, TunnelObserver& observer,
                     std::atomic<std::uint32_t>& open_tunnels, const TimeSource& time)
    : observer_(observer),
      open_tunnels_(open_tunnels),
      time_(time),
      read_buffer_(std::make_unique_for_overwrite<std::byte[]>(kReadBufferBytes)),
      timers_(time.now()),
      services_{.poller = poller_,
                .timers = timers_,
                .budget = budget,
                .read_buffer = {read_buffer_.get(), kReadBufferBytes},
                .now = time.now(),
                .random_state = std::random_device()()} {}

RelayLoop::~RelayLoop() {
  while (tunnels_.is_linked()) delete static_cast<Tunnel*>(tunnels_.next());
}

void RelayLoop::submit(std::unique_ptr<Tunnel> tunnel) noexcept {
  // Before the push: the tunnel may have ended when it returns.
  load_.fetch_add(1, std::memory_order_relaxed);
  open_tunnels_.fetch_add(1, std::memory_order_relaxed);
  switch (inbox_.push(tunnel)) {
    case TunnelInbox::Push::first:
      return poller_.wake();
    case TunnelInbox::Push::more:
      return;
    case TunnelInbox::Push::closed:
      return count_closed();
  }
}

std::size_t RelayLoop::turn(std::chrono::milliseconds wait_max) noexcept {
  const auto events = poller_.wait(events_, time_to_wait(wait_max));
  if (must_stop_.load(std::memory_order_acquire)) return 0;  // No report and no memory from here.
  services_.now = time_.now();

  for (const PollEvent& event : events) {
    if (event.tag == Poller::kWakeTag) {
      poller_.clear_wake();
      inbox_.take_all([this](Tunnel& tunnel) { take_in(tunnel); });
      continue;
    }
    const auto [tunnel, side] = Tunnel::from_tag(event.tag);
    if (tunnel->is_over()) continue;
    tunnel->on_ready(side, event.ready, services_);
    move_if_over(*tunnel);
  }
  timers_.advance(services_.now, [this](TimerNode& node) {
    Tunnel& tunnel = static_cast<TunnelTimer&>(node).tunnel();
    tunnel.on_timer(services_);
    move_if_over(tunnel);
  });
  report_ended();
  return events.size();
}

void RelayLoop::run() noexcept {
  while (!must_stop_.load(std::memory_order_acquire)) turn(std::chrono::milliseconds(-1));
  close_all();
}

void RelayLoop::request_stop() noexcept {
  must_stop_.store(true, std::memory_order_release);
  poller_.wake();
}

void RelayLoop::close_all() noexcept {
  if (std::exchange(is_closed_, true)) return;
  inbox_.close([this](Tunnel& tunnel) { tunnels_.push_back(tunnel); });
  for (ListNode* node = tunnels_.next(); node != &tunnels_; node = node->next()) {
    static_cast<Tunnel&>(*node).close_descriptors();
    count_closed();
  }
}

std::chrono::milliseconds RelayLoop::time_to_wait(std::chrono::milliseconds wait_max) noexcept {
  const auto next_look = timers_.next_look();
  if (!next_look) return wait_max;
  // Rounded up: a wait that ends too early would be repeated until the time has come.
  const auto until_look =
      std::max(std::chrono::milliseconds(0),
               std::chrono::ceil<std::chrono::milliseconds>(*next_look - services_.now));
  return wait_max.count() < 0 ? until_look : std::min(wait_max, until_look);
}

void RelayLoop::take_in(Tunnel& tunnel) noexcept {
  tunnels_.push_back(tunnel);
  tunnel.begin(services_);
  move_if_over(tunnel);
}

void RelayLoop::move_if_over(Tunnel& tunnel) noexcept {
  if (!tunnel.is_over()) return;
  tunnel.unlink();
  ended_.push_back(tunnel);
}

void RelayLoop::report_ended() noexcept {
  while (ended_.is_linked()) {
    auto* const tunnel = static_cast<Tunnel*>(ended_.next());
    observer_.tunnel_ended(tunnel->summary(), tunnel->take_context());
    delete tunnel;
    count_closed();
  }
}

void RelayLoop::count_closed() noexcept {
  load_.fetch_sub(1, std::memory_order_relaxed);
  open_tunnels_.fetch_sub(1, std::memory_order_release);
}

}  // namespace wsbalance::relay
