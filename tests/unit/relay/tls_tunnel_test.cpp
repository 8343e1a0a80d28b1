// Tunnels with TLS: what they carry.

#include <string>

#include "unit/relay/tls_tunnel_bench.h"

namespace wsbalance::relay {
namespace {

using namespace std::chrono_literals;

constexpr TcpBuffers kNarrow{.near_sends = 8192, .far_receives = 8192};

TunnelPlan any_sockets() { return GENERATE(false, true) ? tcp_plan() : TunnelPlan{}; }

TEST_CASE("what one side sends over TLS the other one gets", "[relay][tls]") {
  Bench bench;
  TlsEnds ends = start_tls(bench, any_tls(), any_sockets());
  ends.client.say("from the client");
  CHECK(run_until_got(bench, ends.member, "from the client"));
  ends.member.say("from the member");
  CHECK(run_until_got(bench, ends.client, "from the member"));
  CHECK(bench.run_until_quiet());
  CHECK_FALSE(bench.has_ended());
}

TEST_CASE("bytes that came with the handshake go first over TLS", "[relay][tls]") {
  Bench bench;
  TunnelPlan plan = any_sockets();
  plan.from_client = "first from the client, ";
  plan.from_member = "first from the member, ";
  TlsEnds ends = start_tls(bench, any_tls(), std::move(plan));
  ends.client.say("then this");
  ends.member.say("then that");
  CHECK(run_until_got(bench, ends.member, "first from the client, then this"));
  CHECK(run_until_got(bench, ends.client, "first from the member, then that"));
}

TEST_CASE("both ways carry large amounts over TLS at once", "[relay][tls]") {
  Bench bench;
  TlsEnds ends = start_tls(bench, any_tls(), any_sockets());
  const std::string up = pattern(1'000'000, 1);
  const std::string down = pattern(1'000'000, 2);
  ends.client.encrypt(up, GENERATE(16'384u, 3'000u));
  ends.member.encrypt(down);
  CHECK(bench.run_until([&] {
    ends.client.send();
    ends.member.send();
    ends.client.take(50'000);
    ends.member.take(70'000);
    return ends.client.received().size() == down.size() &&
           ends.member.received().size() == up.size();
  }));
  CHECK(is_same(ends.client.received(), down));
  CHECK(is_same(ends.member.received(), up));
  CHECK(bench.budget.bytes_held() == 0);
}

TEST_CASE("records that drip through a tunnel arrive", "[relay][tls]") {
  Bench bench(GENERATE(0u, 1'000'000u));
  TlsEnds ends = start_tls(bench, any_tls());
  const std::string data = pattern(700);
  ends.client.encrypt(data, 300);
  while (!ends.client.outbox().empty()) {
    ends.client.send(7);
    bench.loop.turn(0ms);
  }
  CHECK(run_until_got(bench, ends.member, data));
}

// The rest of a record stands in OpenSSL, where no event tells of it.
TEST_CASE("a record that fits nowhere at once arrives without another event", "[relay][tls]") {
  const std::size_t budget = GENERATE(0u, 10'000'000u);
  Bench bench(budget);
  TunnelPlan plan = tcp_plan(kNarrow);
  plan.settings.buffer_bytes_max = GENERATE(100u, 5'000u, 128u * 1024);
  if (GENERATE(false, true)) set_send_buffer(plan.member.near.get(), 4096);
  TlsEnds ends = start_tls(bench, any_tls(), std::move(plan));
  const std::string data = pattern(16'000);
  ends.client.say(data);
  ends.member.say(data);
  REQUIRE(ends.client.outbox().empty());
  CHECK(run_until_got(bench, ends.member, data));
  CHECK(run_until_got(bench, ends.client, data));
  CHECK(bench.run_until_quiet());
  CHECK(bench.budget.bytes_held() == 0);
}

TEST_CASE("a side over TLS that takes nothing stops the other one", "[relay][tls]") {
  const std::size_t budget = GENERATE(0u, 40'000u, 10'000'000u);
  Bench bench(budget);
  TunnelPlan plan = tcp_plan(kNarrow);
  constexpr std::size_t kBufferMax = 20'000;
  plan.settings.buffer_bytes_max = kBufferMax;
  set_send_buffer(plan.member.far.get(), 256 * 1024);  // Or a generous kernel takes all of it.
  TlsEnds ends = start_tls(bench, any_tls(), std::move(plan));
  const std::string data = pattern(8'000'000);
  ends.member.encrypt(data);
  CHECK(bench.run_until([&] {
    return ends.member.send() == 0 && bench.run_until_quiet() && ends.member.send() == 0;
  }));
  CHECK_FALSE(ends.member.outbox().empty());
  CHECK(bench.budget.bytes_held() <= std::min(budget, kBufferMax));
  // The other way is not stopped by it.
  ends.client.say("from the client");
  CHECK(run_until_got(bench, ends.member, "from the client"));
  CHECK(bench.run_until([&] {
    ends.member.send();
    ends.client.take();
    return ends.client.received().size() == data.size();
  }));
  CHECK(is_same(ends.client.received(), data));
  CHECK(bench.budget.bytes_held() == 0);
}

TEST_CASE("a message of TLS's own that comes in parts holds up writes only", "[relay][tls]") {
  const std::size_t budget = GENERATE(0u, 10'000'000u);
  CAPTURE(budget);
  Bench bench(budget);
  TunnelPlan plan;
  TlsPeer member = make_end(std::move(plan.member.far), {.tickets = 1, .has_long_tickets = true},
                            plan.member_tls);
  TlsPeer client(std::move(plan.client.far));
  bench.start(std::move(plan));
  member.send(700);
  bench.loop.turn(0ms);
  client.say("waits for the ticket");
  CHECK(bench.run_until_quiet());
  member.take();
  CHECK(member.received().empty());
  const bool is_full = GENERATE(false, true);
  if (is_full) {
    client.say(", and more");
    CHECK(bench.run_until_quiet());
  }
  member.say("behind the ticket");
  CHECK(run_until_got(bench, client, "behind the ticket"));
  CHECK(run_until_got(bench, member,
                      is_full ? "waits for the ticket, and more" : "waits for the ticket"));
}

// As without TLS, one read and one write: or a fast sender keeps all other tunnels waiting.
TEST_CASE("one turn carries no more over TLS than a few reads", "[relay][tls]") {
  const std::size_t budget = GENERATE(0u, 10'000'000u);
  const std::size_t buffer_bytes_max = GENERATE(10'000u, 128u * 1024);
  CAPTURE(budget, buffer_bytes_max);
  Bench bench(budget);
  TunnelPlan plan = tcp_plan();
  plan.settings.buffer_bytes_max = buffer_bytes_max;
  const int much = 4'000'000;  // The kernel has more than one read takes.
  ::setsockopt(plan.client.near.get(), SOL_SOCKET, SO_RCVBUF, &much, sizeof much);
  const UniqueFd source(::dup(plan.client.near.get()));
  const UniqueFd destination(::dup(plan.member.near.get()));
  TlsEnds ends = start_tls(bench, {.member = false}, std::move(plan));
  ends.client.encrypt(pattern(3'000'000), 10'001);  // No read ends where a record does.
  CHECK(ends.client.send() > 300'000);
  for (int turn = 0; turn < 4; ++turn) {
    REQUIRE(wait_readable(source.get()));
    const std::size_t before = ends.member.received().size();
    bench.loop.turn(0ms);
    CHECK(wait_until([&] {  // All of this turn, and not with the next one's.
      ends.member.take();
      return unacknowledged_bytes(destination.get()) == 0;
    }));
    ends.member.take();
    CHECK(ends.member.received().size() - before <= 256 * 1024);
  }
}

TEST_CASE("key updates pass no data by", "[relay][tls]") {
  Bench bench;
  TunnelPlan plan = tcp_plan(kNarrow);
  plan.settings.buffer_bytes_max = 3'000;
  TlsEnds ends = start_tls(bench, {}, std::move(plan));
  const std::string data = pattern(300'000);
  for (std::size_t at = 0; at < data.size(); at += 3'000) {
    ends.client.encrypt(std::string_view(data).substr(at, 3'000));
    ends.member.encrypt(std::string_view(data).substr(at, 3'000));
    ends.client.key_update(at % 2'000 == 0);
    ends.member.key_update(at % 2'000 == 0);
  }
  CHECK(bench.run_until([&] {
    ends.client.send();
    ends.member.send();
    ends.client.take(5'000);
    ends.member.take(9'000);
    return ends.client.received().size() == data.size() &&
           ends.member.received().size() == data.size();
  }));
  CHECK(is_same(ends.client.received(), data));
  CHECK(is_same(ends.member.received(), data));
  CHECK_FALSE(ends.client.has_failed());
  CHECK_FALSE(bench.has_ended());
}

}  // namespace
}  // namespace wsbalance::relay
