// running_relay.h - a relay with its threads, and what a test waits for at the far ends of its
// tunnels.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "relay/relay.h"
#include "unit/relay/bench.h"
#include "unit/relay/tls_tunnel_bench.h"

namespace wsbalance::relay {

struct CountingObserver : TunnelObserver {
  void tunnel_ended(const TunnelSummary& summary,
                    std::unique_ptr<TunnelContext>) noexcept override {
    messages += summary.to_member.messages;
    if (summary.reason == expected) ++as_expected;
    ++ends;
  }
  EndReason expected = EndReason::drain;
  std::atomic<std::uint64_t> messages{0};
  std::atomic<int> as_expected{0};
  std::atomic<int> ends{0};
};

struct RunningRelay {
  explicit RunningRelay(unsigned threads) : relay({.threads = threads}, observer, open_tunnels) {
    relay.start();
  }
  ~RunningRelay() { relay.stop(std::chrono::seconds(10)); }

  Ends submit(TunnelPlan plan = {}) {
    relay.submit(make_tunnel(plan));
    return {Peer(std::move(plan.client.far)), Peer(std::move(plan.member.far))};
  }

  TlsEnds submit(TlsOn on, TunnelPlan plan = {}) {
    TlsEnds ends = make_tls_ends(on, plan);
    relay.submit(make_tunnel(plan));
    return ends;
  }

  CountingObserver observer;
  std::atomic<std::uint32_t> open_tunnels{0};
  Relay relay;
};

// Waits in the kernel until all of it is there.
template <typename AnyPeer>
bool wait_received(AnyPeer& peer, std::string_view expected) {
  for (peer.take(); peer.received().size() < expected.size(); peer.take()) {
    if (has_ended(peer) || !wait_readable(peer.fd())) return false;
  }
  return is_same(peer.received(), expected);
}

template <typename AnyPeer>
bool wait_end(AnyPeer& peer) {
  for (peer.take(); !has_ended(peer); peer.take()) {
    if (!wait_readable(peer.fd())) return false;
  }
  return true;
}

// Threads of relays that the kernel has.
inline int relay_threads() {
  int found = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::getline(std::ifstream(task.path() / "comm"), name);
    if (name.rfind("wsb-relay-", 0) == 0) ++found;
  }
  return found;
}

}  // namespace wsbalance::relay
