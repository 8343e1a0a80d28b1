// The reader's map. One turn of the loop, from top to bottom of turn():
//
// - epoll names descriptors by tags: a tunnel and a side. Tunnel::on_ready() does at most one read
//   and one write for each.
// - The wake descriptor says that other threads have put tunnels into the inbox with submit(), or
//   have requested something: the only places where they meet this one. take_in() begins the
//   tunnels.
// - Timers that are due call Tunnel::on_timer().
// - Once all tunnels are to be closed, close_due() does it to those whose turn it is
//   (close_plan.h).
// - Once tunnels of some groups are to be closed, look_at_groups() looks at all of them, a part in
//   each turn (group_orders.h).
// - Tunnels that are over have moved to ended_ meanwhile. They are reported and freed last, because
//   a later event of the same turn may still name them.
//
// A pause (request_pause) ends run() between two turns. Nothing has to be kept for it: epoll is
// level-triggered, so what comes meanwhile is told by the first wait of the next run(), which may
// be in a forked process. That one has the same files under the same numbers, which is what epoll
// knows them by: so it can use and change the registrations as this one could, and a new epoll set
// would only cost a system call for each descriptor. What must not be is that both use them.
// Therefore abandon() leaves this process nothing but close(2), and while the other one has a file
// open, that neither reports nor removes anything; nor does the end of the process.
//
// What a tunnel does with a descriptor is in tunnel.cpp (who ends when), direction.cpp (what is
// read, kept, written) and endpoint.cpp (the system calls).

#include "relay/relay_loop.h"

#include <algorithm>
#include <random>
#include <utility>

#include "relay/tunnel.h"

namespace wsbalance::relay {

RelayLoop::RelayLoop(BufferBudget& budget, GroupOrders& group_orders, TunnelObserver& observer,
                     std::atomic<std::uint32_t>& open_tunnels, const TimeSource& time)
    : group_orders_(group_orders),
      observer_(observer),
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
  tunnels_.take_all(closing_);
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
      return count_closed(1);
  }
}

std::size_t RelayLoop::turn(std::chrono::milliseconds wait_max) noexcept {
  const auto events = poller_.wait(events_, time_to_wait(wait_max));
  if (must_leave()) return 0;  // No report and no memory from here.
  carry(events);
  timers_.advance(services_.now, [this](TimerNode& node) {
    Tunnel& tunnel = static_cast<TunnelTimer&>(node).tunnel();
    tunnel.on_timer(services_);
    move_if_over(tunnel);
  });
  close_due();
  look_at_groups();
  report_ended();
  return events.size();
}

void RelayLoop::run() noexcept {
  services_.now = time_.now();
  catch_up();
  for (;;) {
    while (!must_leave()) turn(std::chrono::milliseconds(-1));
    Order seen = Order::pause;
    if (order_.compare_exchange_strong(seen, Order::left)) return;
    if (seen == Order::stop) return close_all();
  }
}

void RelayLoop::request_stop() noexcept {
  order_.store(Order::stop, std::memory_order_release);
  poller_.wake();
}

void RelayLoop::request_pause() noexcept {
  Order seen = Order::run;
  if (order_.compare_exchange_strong(seen, Order::pause)) poller_.wake();
}

bool RelayLoop::resume() noexcept {
  Order seen = Order::pause;
  if (order_.compare_exchange_strong(seen, Order::run) || seen == Order::run) return true;
  if (seen == Order::left) order_.compare_exchange_strong(seen, Order::run);
  return false;
}

void RelayLoop::request_close(const CloseOrder& order) noexcept {
  close_order_.store(order.packed(), std::memory_order_release);
  poller_.wake();
}

void RelayLoop::request_close_bound(const CloseOrder& order) noexcept {
  close_bound_order_.store(order.packed(), std::memory_order_release);
  poller_.wake();
}

void RelayLoop::request_look_at_groups() noexcept {
  must_look_at_groups_.store(true, std::memory_order_release);
  poller_.wake();
}

void RelayLoop::close_all() noexcept {
  if (!std::exchange(is_closed_, true)) count_closed(close_descriptors());
}

void RelayLoop::turn_paused(std::chrono::milliseconds wait_max) noexcept {
  Order seen = Order::left;
  if (!order_.compare_exchange_strong(seen, Order::run) && seen != Order::run) return;
  services_.now = time_.now();
  turn(wait_max);
  seen = Order::run;
  order_.compare_exchange_strong(seen, Order::left);
}

void RelayLoop::list_descriptors(std::vector<int>& found) {
  services_.now = time_.now();
  inbox_.take_all([this](Tunnel& tunnel) { take_in(tunnel); });
  poller_.list_descriptors(found);
  for (const ListNode* const list : {&tunnels_, &closing_}) {
    for (const ListNode* node = list->next(); node != list; node = node->next()) {
      static_cast<const Tunnel&>(*node).list_descriptors(found);
    }
  }
}

void RelayLoop::abandon() noexcept {
  order_.store(Order::stop);
  poller_.close();
  if (!std::exchange(is_closed_, true)) close_descriptors();
  load_.store(0, std::memory_order_relaxed);
}

// While nothing ran nobody was heard: all that has come is read before a timer takes that for
// silence. What one wait has no room for, the next ones bring.
void RelayLoop::catch_up() noexcept {
  constexpr std::size_t kEndsPerWait = Poller::kEventsMax;
  for (std::size_t waits = 2 * std::size_t{load()} / kEndsPerWait + 1; waits > 0; --waits) {
    const auto events = poller_.wait(events_, std::chrono::milliseconds(0));
    if (must_leave()) return;
    carry(events);
    report_ended();
    if (events.size() < kEndsPerWait) return;
  }
}

void RelayLoop::carry(std::span<const PollEvent> events) noexcept {
  services_.now = time_.now();
  for (const PollEvent& event : events) {
    if (event.tag == Poller::kWakeTag) {
      on_wake();
      continue;
    }
    const auto [tunnel, side] = Tunnel::from_tag(event.tag);
    if (tunnel->is_over()) continue;
    tunnel->on_ready(side, event.ready, services_);
    move_if_over(*tunnel);
  }
}

std::chrono::milliseconds RelayLoop::time_to_wait(std::chrono::milliseconds wait_max) noexcept {
  if (looked_at_ != nullptr) return std::chrono::milliseconds(0);
  constexpr auto kNever = Clock::time_point::max();
  const Clock::time_point next = std::min(timers_.next_look().value_or(kNever), plan_.next_turn());
  if (next == kNever) return wait_max;
  // Rounded up: a wait that ends too early would be repeated until the time has come.
  const auto until_next =
      std::max(std::chrono::milliseconds(0),
               std::chrono::ceil<std::chrono::milliseconds>(next - services_.now));
  return wait_max.count() < 0 ? until_next : std::min(wait_max, until_next);
}

void RelayLoop::on_wake() noexcept {
  poller_.clear_wake();
  const std::uint64_t close_order = close_order_.exchange(0, std::memory_order_acquire);
  if (close_order != 0) begin_close(CloseOrder::unpacked(close_order));
  inbox_.take_all([this](Tunnel& tunnel) { take_in(tunnel); });
  const std::uint64_t bound_order = close_bound_order_.exchange(0, std::memory_order_acquire);
  if (bound_order != 0) close_bound(CloseOrder::unpacked(bound_order));
  if (looked_at_ == nullptr && must_look_at_groups_.exchange(false)) looked_at_ = tunnels_.next();
}

void RelayLoop::take_in(Tunnel& tunnel) noexcept {
  tunnels_.push_back(tunnel);
  tunnel.waits_for_turn_ = true;
  plan_.add();
  tunnel.begin(services_);
  move_if_over(tunnel);
}

// Those that had their turn before get another one, first: the new limit holds for them too.
void RelayLoop::begin_close(const CloseOrder& order) noexcept {
  for (ListNode* node = closing_.next(); node != &closing_; node = node->next()) {
    static_cast<Tunnel&>(*node).waits_for_turn_ = true;
    plan_.add();
  }
  closing_.take_all(tunnels_);
  tunnels_.take_all(closing_);
  plan_.begin(order, services_.now);
}

void RelayLoop::close_due() noexcept {
  for (int closes = 0; closes < kClosesPerTurn && plan_.next_turn() <= services_.now; ++closes) {
    close(static_cast<Tunnel&>(*tunnels_.next()), plan_.order());
  }
}

// An order that comes meanwhile holds for those that are still to be looked at; then all are looked
// at once more.
void RelayLoop::look_at_groups() noexcept {
  int closes = 0;
  for (int looks = 0; looked_at_ != nullptr && looks < kLooksPerTurn && closes < kClosesPerTurn;
       ++looks) {
    if (looked_at_ == &tunnels_) {
      looked_at_ = must_look_at_groups_.exchange(false) ? tunnels_.next() : nullptr;
    } else {
      auto& tunnel = static_cast<Tunnel&>(*looked_at_);
      looked_at_ = tunnel.next();
      if (has_left_by_order(tunnel)) ++closes;
    }
  }
}

bool RelayLoop::has_left_by_order(Tunnel& tunnel) noexcept {
  if (tunnel.has_end_begun()) return false;
  const auto reason = group_orders_.take(tunnel.group_, tunnel.began_);
  if (!reason) return false;
  observer_.tunnel_leaves(tunnel.context_.get());
  tunnel.leave(*reason, services_);
  move_if_over(tunnel);
  return true;
}

// There are few of them: each holds a thread.
void RelayLoop::close_bound(const CloseOrder& order) noexcept {
  for (ListNode* node = tunnels_.next(); node != &tunnels_;) {
    auto& tunnel = static_cast<Tunnel&>(*node);
    node = node->next();
    if (tunnel.is_bound_) close(tunnel, order);
  }
}

void RelayLoop::close(Tunnel& tunnel, const CloseOrder& order) noexcept {
  unlink(tunnel);
  closing_.push_back(tunnel);
  tunnel.waits_for_turn_ = false;
  plan_.take();
  tunnel.close_within(order.close_timeout, order.reason, services_);
  move_if_over(tunnel);
}

void RelayLoop::move_if_over(Tunnel& tunnel) noexcept {
  if (!tunnel.is_over()) return;
  if (std::exchange(tunnel.waits_for_turn_, false)) plan_.take();
  unlink(tunnel);
  ended_.push_back(tunnel);
}

void RelayLoop::unlink(Tunnel& tunnel) noexcept {
  if (looked_at_ == &tunnel) looked_at_ = tunnel.next();
  tunnel.unlink();
}

void RelayLoop::report_ended() noexcept {
  while (ended_.is_linked()) {
    auto* const tunnel = static_cast<Tunnel*>(ended_.next());
    observer_.tunnel_ended(tunnel->summary(), tunnel->take_context());
    delete tunnel;
    count_closed(1);
  }
}

// Of all tunnels, those in the inbox too, which takes no more. Returns how many they were.
std::uint32_t RelayLoop::close_descriptors() noexcept {
  inbox_.close([this](Tunnel& tunnel) { tunnels_.push_back(tunnel); });
  tunnels_.take_all(closing_);
  std::uint32_t tunnels = 0;
  for (ListNode* node = tunnels_.next(); node != &tunnels_; node = node->next()) {
    static_cast<Tunnel&>(*node).close_descriptors();
    ++tunnels;
  }
  return tunnels;
}

void RelayLoop::count_closed(std::uint32_t tunnels) noexcept {
  load_.fetch_sub(tunnels, std::memory_order_relaxed);
  open_tunnels_.fetch_sub(tunnels, std::memory_order_release);
}

}  // namespace wsbalance::relay
