// Many tunnels in any order of sends, reads and ends: what the other tests do, mixed.

#include <random>
#include <string>
#include <utility>

#include "unit/relay/random_flow.h"

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

TEST_CASE("in whatever order sides send, read and end, all bytes arrive", "[relay]") {
  check_random_flow(GENERATE(range(1u, 9u)), 12, [](Bench& bench, std::minstd_rand& random) {
    Ends ends = bench.start(random_plan(random));
    return Match<Player>{{std::move(ends.client), pattern(random() % 200'000)},
                         {std::move(ends.member), pattern(random() % 200'000)}};
  });
}

}  // namespace
}  // namespace wsbalance::relay
