// As random_flow_test.cpp, with TLS on any of the ends.

#include <random>
#include <string>
#include <utility>

#include "unit/relay/random_flow.h"
#include "unit/relay/tls_tunnel_bench.h"

namespace wsbalance::relay {
namespace {

struct TlsPlayer {
  TlsPeer peer;
  std::string to_send;
  bool has_key_updates;
  std::size_t encrypted = 0;
  bool has_ended = false;

  void play(std::minstd_rand& random) {
    switch (random() % 6) {
      case 0:
        peer.take(random() % 30'000 + 1);
        break;
      case 1:
        encrypt(random() % 30'000 + 1, random() % 16'384 + 1);
        break;
      case 2:
        encrypt(random() % 50 + 1, 5);
        break;
      case 3:
        peer.send();
        break;
      case 4:
        peer.send(random() % 20'000 + 1);
        if (has_key_updates && !has_ended && random() % 8 == 0) peer.key_update(random() % 2);
        break;
      default:
        peer.send();
        end(random);
    }
  }

  void encrypt(std::size_t bytes, std::size_t record_bytes) {
    const auto data = std::string_view(to_send).substr(encrypted, bytes);
    peer.encrypt(data, record_bytes);
    encrypted += data.size();
  }

  void end(std::minstd_rand& random) {
    const bool is_all_sent = encrypted == to_send.size() && peer.outbox().empty();
    if (!is_all_sent || has_ended || random() % 4 != 0) return;
    peer.end_writing();
    has_ended = true;
  }
};

Match<TlsPlayer> start_match(Bench& bench, std::minstd_rand& random) {
  TunnelPlan plan = random_plan(random);
  const auto sides = random() % 3;
  const bool is_new = random() % 2 == 0;
  const TlsOn on{.client = sides != 0,
                 .member = sides != 1,
                 .version = is_new ? TLS1_3_VERSION : TLS1_2_VERSION};
  TlsEnds ends = start_tls(bench, on, std::move(plan));
  return {{std::move(ends.client), pattern(random() % 120'000), is_new && on.client},
          {std::move(ends.member), pattern(random() % 120'000), is_new && on.member}};
}

TEST_CASE("over TLS too, in whatever order sides act, all bytes arrive", "[relay][tls]") {
  check_random_flow(GENERATE(range(1u, 7u)), 8, start_match);
}

}  // namespace
}  // namespace wsbalance::relay
