// Many tunnels in any order of sends, reads and ends: what the other tests do, mixed.

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "support/catch.h"
#include "unit/relay/bench.h"

namespace wsbalance::relay {
namespace {

// One side of a tunnel as the test plays it.
struct Player {
  Peer peer;
  std::string to_send;
  std::size_t sent = 0;
  bool has_ended = false;

  void play(std::minstd_rand& random) {
    switch (random() % 4) {
      case 0:
        peer.take(random() % 30'000 + 1);
        break;
      case 1:
        sent += peer.send(std::string_view(to_send).substr(sent, random() % 30'000 + 1));
        break;
      case 2:
        sent += peer.send(std::string_view(to_send).substr(sent, 1));
        break;
      default:
        if (sent < to_send.size() || has_ended || random() % 4 != 0) return;
        peer.end_writing();
        has_ended = true;
    }
  }
};

struct Match {
  Player client;
  Player member;
};

TEST_CASE("in whatever order sides send, read and end, all bytes arrive", "[relay]") {
  const auto seed = GENERATE(range(1u, 9u));
  const std::size_t budget = GENERATE(0u, 40'000u, 10'000'000u);
  std::minstd_rand random(seed);
  Bench bench(budget);
  std::vector<Match> matches;
  for (int i = 0; i < 12; ++i) {
    TunnelPlan plan =
        random() % 2 == 0 ? tcp_plan({.near_sends = 8192, .far_receives = 8192}) : TunnelPlan{};
    plan.settings.buffer_bytes_max = random() % 2 == 0 ? 128 * 1024 : random() % 5000 + 200;
    if (random() % 2 == 0) set_send_buffer(plan.member.near.get(), 4096);
    Ends ends = bench.start(std::move(plan));
    matches.push_back({{std::move(ends.client), pattern(random() % 200'000)},
                       {std::move(ends.member), pattern(random() % 200'000)}});
  }

  std::size_t held_max = 0;
  REQUIRE(bench.run_until([&] {
    for (Match& match : matches) {
      match.client.play(random);
      match.member.play(random);
    }
    held_max = std::max(held_max, bench.budget.bytes_held());
    return bench.open_tunnels == 0;
  }));
  CHECK(held_max <= budget);
  CHECK(bench.budget.bytes_held() == 0);
  for (Match& match : matches) {
    match.client.peer.take();
    match.member.peer.take();
    CHECK(match.client.peer.saw_end());
    CHECK(match.member.peer.saw_end());
    CHECK(is_same(match.client.peer.received(), match.member.to_send));
    CHECK(is_same(match.member.peer.received(), match.client.to_send));
  }
  for (const TunnelSummary& summary : bench.ended.summaries) {
    CHECK((summary.reason == EndReason::client_eof || summary.reason == EndReason::member_eof));
  }
}

}  // namespace
}  // namespace wsbalance::relay
