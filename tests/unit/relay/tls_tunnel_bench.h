// tls_tunnel_bench.h - tunnels with TLS on any of their ends, and TLS peers at the far ends.
#pragma once

#include <memory>
#include <string_view>
#include <utility>

#include "support/catch.h"
#include "unit/relay/bench.h"
#include "unit/relay/tls_peer.h"

namespace wsbalance::relay {

// Which ends have TLS.
struct TlsOn {
  bool client = true;
  bool member = true;
  int version = TLS1_3_VERSION;
};

inline TlsOn any_tls() {
  constexpr std::array<TlsOn, 4> kAll{{{.client = true, .member = false},
                                       {.client = false, .member = true},
                                       {.client = true, .member = true},
                                       {.version = TLS1_2_VERSION}}};
  return kAll[GENERATE(range(std::size_t{0}, std::size_t{4}))];
}

struct TlsEnds {
  TlsPeer client;
  TlsPeer member;
};

inline TlsPeer make_end(UniqueFd far, const TlsPlan& plan, std::unique_ptr<TlsStream>& near) {
  TlsPair pair = make_tls_pair(std::move(far), plan);
  near = pair.make_stream();
  return std::move(pair.peer);
}

// Takes the far ends of `plan`, and gives the near ones TLS. Tickets come on both sides, as they
// do.
inline TlsEnds make_tls_ends(TlsOn on, TunnelPlan& plan) {
  const auto far_end = [&](bool has_tls, TlsRole role, SocketPair& pair,
                           std::unique_ptr<TlsStream>& near) {
    if (!has_tls) return TlsPeer(std::move(pair.far));
    return make_end(std::move(pair.far), {.peer = role, .version = on.version, .tickets = 2}, near);
  };
  TlsPeer client = far_end(on.client, TlsRole::client, plan.client, plan.client_tls);
  TlsPeer member = far_end(on.member, TlsRole::server, plan.member, plan.member_tls);
  return {std::move(client), std::move(member)};
}

inline TlsEnds start_tls(Bench& bench, TlsOn on, TunnelPlan plan = {}) {
  TlsEnds ends = make_tls_ends(on, plan);
  bench.start(std::move(plan));
  return ends;
}

// Turns until that peer has got so much. Nobody else sends or takes anything.
inline bool run_until_got(Bench& bench, TlsPeer& peer, std::string_view expected) {
  const bool has_come = bench.run_until([&] {
    peer.take();
    return peer.received().size() >= expected.size();
  });
  return has_come && peer.received() == expected;
}

inline bool run_until_ended(Bench& bench, TlsPeer& peer) {
  return bench.run_until([&] {
    peer.take();
    return peer.has_ended();
  });
}

// For what must not wait for another event or for the close timeout. Once a peer has seen its end,
// the kernel may need a moment to hear that the last bytes have arrived; the close timer's first look
// comes soon. Until then the clock stands still.
inline bool ends_at_once(Bench& bench, TlsEnds& ends) {
  const auto latest = bench.time.now() + std::chrono::milliseconds(200);
  return bench.run_until([&] {
    bool has_peer_ended = false;
    for (TlsPeer* peer : {&ends.client, &ends.member}) {
      if (peer->fd() < 0) continue;
      peer->take();
      has_peer_ended = has_peer_ended || peer->has_ended();
    }
    if (has_peer_ended && bench.time.now() < latest) bench.advance(std::chrono::milliseconds(1));
    return bench.has_ended();
  });
}

}  // namespace wsbalance::relay
