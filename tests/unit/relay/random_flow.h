// random_flow.h - many tunnels whose sides send, read and end in any order, and what must come of it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <random>
#include <vector>

#include "support/catch.h"
#include "unit/relay/bench.h"

namespace wsbalance::relay {

// A Player is one side as the test plays it: a `peer`, the bytes `to_send`, and play(random), which
// takes one step and at some time has sent and ended all.
template <typename Player>
struct Match {
  Player client;
  Player member;
};

// Sockets and limits of any size.
inline TunnelPlan random_plan(std::minstd_rand& random) {
  TunnelPlan plan =
      random() % 2 == 0 ? tcp_plan({.near_sends = 8192, .far_receives = 8192}) : TunnelPlan{};
  plan.settings.buffer_bytes_max = random() % 2 == 0 ? 128 * 1024 : random() % 5000 + 200;
  if (random() % 2 == 0) set_send_buffer(plan.member.near.get(), 4096);
  return plan;
}

// `start(bench, random)` makes a Match<Player>.
template <typename Start>
void check_random_flow(unsigned seed, int count, Start&& start) {
  const std::size_t budget = GENERATE(0u, 40'000u, 10'000'000u);
  CAPTURE(seed, budget);
  std::minstd_rand random(seed);
  Bench bench(budget);
  std::vector<decltype(start(bench, random))> matches;
  for (int i = 0; i < count; ++i) matches.push_back(start(bench, random));

  std::size_t held_max = 0;
  REQUIRE(bench.run_until([&] {
    for (auto& match : matches) {
      match.client.play(random);
      match.member.play(random);
    }
    held_max = std::max(held_max, bench.budget.bytes_held());
    return bench.open_tunnels == 0;
  }));
  CHECK(held_max <= budget);
  CHECK(bench.budget.bytes_held() == 0);
  for (auto& [client, member] : matches) {
    // What the tunnel has left to the kernel comes when the kernel gets to it.
    CHECK(bench.run_until([&client = client.peer, &member = member.peer] {
      client.take();
      member.take();
      return client.saw_end() && member.saw_end();
    }));
    CHECK(is_same(client.peer.received(), member.to_send));
    CHECK(is_same(member.peer.received(), client.to_send));
  }
  for (const TunnelSummary& summary : bench.ended.summaries) {
    CHECK((summary.reason == EndReason::client_eof || summary.reason == EndReason::member_eof));
    CHECK_FALSE(summary.is_truncated);
  }
}

}  // namespace wsbalance::relay
