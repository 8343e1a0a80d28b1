// bench.h - a relay loop with a clock that stands still and sockets whose far ends a test holds.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include "relay/buffer_budget.h"
#include "relay/group_orders.h"
#include "relay/relay_loop.h"
#include "relay/tunnel.h"
#include "support/fake_clock.h"
#include "unit/relay/frames.h"
#include "unit/relay/peer.h"

namespace wsbalance::relay {

inline std::size_t open_descriptors() {
  using std::filesystem::directory_iterator;
  return static_cast<std::size_t>(std::distance(directory_iterator("/proc/self/fd"), {}));
}

struct EndedTunnels : TunnelObserver {
  void tunnel_ended(const TunnelSummary& summary,
                    std::unique_ptr<TunnelContext> context) noexcept override {
    summaries.push_back(summary);
    contexts.push_back(context.get());
  }
  void tunnel_leaves(TunnelContext*) noexcept override { ++leaves; }
  int leaves = 0;
  std::vector<TunnelSummary> summaries;
  std::vector<TunnelContext*> contexts;  // Only to compare: they are gone.
};

// What the test holds of one tunnel.
struct Ends {
  Peer client;
  Peer member;
};

struct TunnelPlan {
  SocketPair client = make_unix_pair();
  SocketPair member = make_unix_pair();
  // Most tests send bytes that break the rules of frames.
  TunnelSettings settings = settings_with(protocol::Strictness::lenient);
  std::string_view from_client{};
  std::string_view from_member{};
  std::unique_ptr<TunnelContext> context{};
  std::unique_ptr<TlsStream> client_tls{};  // Null: no TLS.
  std::unique_ptr<TlsStream> member_tls{};
  std::uint16_t group = 0;
};

inline TunnelPlan tcp_plan(TcpBuffers to_client = {}) {
  return {.client = make_tcp_pair(to_client), .member = make_tcp_pair()};
}

inline std::unique_ptr<Tunnel> make_tunnel(TunnelPlan& plan) {
  auto tunnel = std::make_unique<Tunnel>(shared(plan.settings), std::move(plan.context));
  tunnel->set_group(plan.group);
  tunnel->adopt({std::move(plan.client.near), std::move(plan.client_tls)},
                {std::move(plan.member.near), std::move(plan.member_tls)},
                as_bytes(plan.from_client), as_bytes(plan.from_member));
  return tunnel;
}

class Bench {
 public:
  explicit Bench(std::size_t buffer_total_bytes_max = 64 * 1024 * 1024)
      : budget(buffer_total_bytes_max) {}

  Ends start(TunnelPlan plan = {}) {
    loop.submit(make_tunnel(plan));
    loop.turn(std::chrono::milliseconds(0));
    return {Peer(std::move(plan.client.far)), Peer(std::move(plan.member.far))};
  }

  // Turns until `reached()`. Waits for the kernel only where nothing is there at once. The deadline
  // is one of real time: a number of turns says nothing about what the kernel's timers had time for.
  template <typename Reached>
  bool run_until(Reached&& reached) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    for (int turn = 0; std::chrono::steady_clock::now() < deadline; ++turn) {
      if (reached()) return true;
      loop.turn(std::chrono::milliseconds(turn < 10 ? 0 : 5));
    }
    return reached();
  }

  bool run_until_received(Peer& peer, std::string_view expected) {
    return run_until([&] {
             peer.take();
             return peer.received().size() >= expected.size();
           }) &&
           peer.received() == expected;
  }

  // Turns until the kernel has brought all that this TCP peer sent, and nothing happens any more.
  template <typename AnyPeer>
  bool run_until_arrived(const AnyPeer& peer) {
    return run_until([&] { return unacknowledged_bytes(peer.fd()) == 0; }) && run_until_quiet();
  }

  // Turns until a far end that reads nothing has no more room. `near`: a copy of the tunnel's socket.
  bool run_until_stalled(const UniqueFd& near) {
    const auto is_still = [&] { return bytes_under_way(near.get()) == 0; };
    return run_until([&] { return is_still() && run_until_quiet() && is_still(); });
  }

  // Turns until nothing happens any more. False if events come without end. What is under way over
  // TCP may come later: only unix sockets are as fast as the one who writes.
  bool run_until_quiet() {
    constexpr int kTurnsMax = 20'000;  // More than any test's bytes need.
    for (int turn = 0, quiet = 0; turn < kTurnsMax; ++turn) {
      quiet = loop.turn(std::chrono::milliseconds(1)) == 0 ? quiet + 1 : 0;
      if (quiet == 5) return true;
    }
    return false;
  }

  // Moves the clock in steps as a real one does, so that timers come in their order.
  void advance(Clock::duration by) {
    for (const auto step = std::chrono::milliseconds(100); by > Clock::duration::zero();) {
      const auto now = by < step ? by : Clock::duration(step);
      time.advance(now);
      loop.turn(std::chrono::milliseconds(0));
      by -= now;
    }
  }

  bool has_ended() const { return !ended.summaries.empty(); }
  const TunnelSummary& summary() const { return ended.summaries.back(); }
  EndReason reason() const { return has_ended() ? summary().reason : EndReason::none; }

  FakeTime time;
  BufferBudget budget;
  GroupOrders group_orders{8};
  EndedTunnels ended;
  std::atomic<std::uint32_t> open_tunnels{0};
  RelayLoop loop{budget, group_orders, ended, open_tunnels, time};
};

}  // namespace wsbalance::relay
