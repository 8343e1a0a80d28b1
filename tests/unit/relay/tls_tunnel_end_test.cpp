// How tunnels with TLS end.

#include <unistd.h>

#include <string>

#include "unit/relay/tls_tunnel_bench.h"

namespace wsbalance::relay {
namespace {

using namespace std::chrono_literals;

constexpr TcpBuffers kNarrow{.near_sends = 8192, .far_receives = 8192};

TunnelPlan any_sockets() { return GENERATE(false, true) ? tcp_plan() : TunnelPlan{}; }

EndReason error_of(bool is_client) {
  return is_client ? EndReason::client_error : EndReason::member_error;
}

TEST_CASE("the end of one side over TLS becomes a half-close", "[relay][tls]") {
  const bool client_first = GENERATE(true, false);
  Bench bench;
  TlsEnds ends = start_tls(bench, any_tls(), any_sockets());
  TlsPeer& first = client_first ? ends.client : ends.member;
  TlsPeer& second = client_first ? ends.member : ends.client;
  first.encrypt("last words");
  first.end_writing();
  REQUIRE(run_until_ended(bench, second));
  CHECK(second.saw_end());
  CHECK(second.received() == "last words");
  CHECK_FALSE(bench.has_ended());

  second.say("an answer");
  CHECK(run_until_got(bench, first, "an answer"));
  CHECK(bench.run_until_quiet());
  second.end_writing();
  REQUIRE(run_until_ended(bench, first));
  CHECK(first.saw_end());
  REQUIRE(bench.run_until([&] { return bench.has_ended(); }));
  CHECK(bench.reason() == (client_first ? EndReason::client_eof : EndReason::member_eof));
  CHECK_FALSE(bench.summary().is_truncated);
}

TEST_CASE("a close_notify alone is an end of file", "[relay][tls]") {
  Bench bench;
  TlsEnds ends = start_tls(bench, {});
  ends.client.close_notify();
  ends.client.send();
  REQUIRE(run_until_ended(bench, ends.member));
  CHECK(ends.member.saw_end());
  ends.member.say("an answer");
  CHECK(run_until_got(bench, ends.client, "an answer"));
  CHECK(bench.run_until_quiet());
  ends.member.close_notify();
  ends.member.send();
  REQUIRE(run_until_ended(bench, ends.client));
  CHECK(ends.client.saw_end());
  CHECK(bench.run_until([&] { return bench.has_ended(); }));
  CHECK(bench.reason() == EndReason::client_eof);
}

TEST_CASE("what is queued goes out over TLS before the half-close", "[relay][tls]") {
  Bench bench(GENERATE(0u, 10'000'000u));
  TunnelPlan plan = GENERATE(false, true) ? tcp_plan(kNarrow) : TunnelPlan{};
  set_send_buffer(plan.client.near.get(), 4096);
  plan.settings.buffer_bytes_max = GENERATE(1'000u, 128u * 1024);
  TlsEnds ends = start_tls(bench, any_tls(), std::move(plan));
  const std::string data = pattern(60'000);
  ends.member.encrypt(data);
  ends.member.end_writing();
  REQUIRE(ends.member.outbox().empty());
  CHECK(bench.run_until_quiet());
  REQUIRE(run_until_ended(bench, ends.client));
  CHECK(ends.client.saw_end());
  CHECK(is_same(ends.client.received(), data));
  ends.client.end_writing();
  CHECK(bench.run_until([&] { return bench.has_ended(); }));
  CHECK(bench.reason() == EndReason::member_eof);
  CHECK_FALSE(bench.summary().is_truncated);
  CHECK(bench.budget.bytes_held() == 0);
}

TEST_CASE("an end that was not announced is delivered and told", "[relay][tls]") {
  const bool is_client = GENERATE(true, false);
  const bool has_tls = GENERATE(true, false);
  const bool is_close_frame = GENERATE(false, true);
  const bool is_announced = GENERATE(false, true);
  Bench bench;
  TlsEnds ends =
      start_tls(bench, {.client = !is_client || has_tls, .member = is_client || has_tls});
  TlsPeer& first = is_client ? ends.client : ends.member;
  TlsPeer& second = is_client ? ends.member : ends.client;
  const std::string data = is_close_frame ? close_frame(1000) : text_frame("cut");
  first.encrypt(data);
  if (is_announced && has_tls) first.close_notify();
  first.send();
  first.send_fin();
  REQUIRE(run_until_ended(bench, second));
  CHECK(is_same(second.received(), data));
  CHECK(second.saw_end());
  second.end_writing();
  REQUIRE(bench.run_until([&] { return bench.has_ended(); }));
  CHECK(bench.summary().is_truncated == (has_tls && !is_announced && !is_close_frame));
}

TEST_CASE("a reset of one side ends an idle tunnel with TLS at once", "[relay][tls]") {
  const bool is_client = GENERATE(true, false);
  Bench bench;
  TlsEnds ends = start_tls(bench, any_tls(), tcp_plan());
  TlsPeer& alive = is_client ? ends.member : ends.client;
  bench.run_until_quiet();
  (is_client ? ends.client : ends.member).reset();
  CHECK(ends_at_once(bench, ends));
  CHECK(bench.reason() == error_of(is_client));
  alive.take();
  CHECK(alive.has_ended());
}

TEST_CASE("data that is followed by a reset arrives over TLS", "[relay][tls]") {
  Bench bench;
  TlsEnds ends = start_tls(bench, any_tls(), tcp_plan());
  const std::string data = pattern(30'000);
  ends.member.say(data);
  REQUIRE(ends.member.outbox().empty());
  REQUIRE(wait_until([&] { return unacknowledged_bytes(ends.member.fd()) == 0; }));
  ends.member.reset();
  REQUIRE(run_until_ended(bench, ends.client));
  CHECK(ends.client.saw_end());
  CHECK(is_same(ends.client.received(), data));
  ends.client.close();
  REQUIRE(bench.run_until([&] { return bench.has_ended(); }));
  CHECK(bench.reason() == EndReason::member_error);
}

// Makes what the tunnel gets from that peer useless.
void spoil(TlsPeer& peer, bool is_alert) {
  if (is_alert) {
    peer.fatal_alert();
  } else {
    peer.outbox() += "This is not TLS at all.";
  }
  peer.send();
}

TEST_CASE("garbage or a fatal alert ends a tunnel at once", "[relay][tls]") {
  const bool is_client = GENERATE(true, false);
  const bool is_alert = GENERATE(false, true);
  const bool is_other_plain = GENERATE(false, true);
  const bool is_tcp = GENERATE(false, true);
  const std::size_t budget = GENERATE(0u, 10'000'000u);
  CAPTURE(is_client, is_alert, is_other_plain, is_tcp, budget);
  Bench bench(budget);
  TlsEnds ends = start_tls(
      bench, {.client = is_client || !is_other_plain, .member = !is_client || !is_other_plain},
      is_tcp ? tcp_plan() : TunnelPlan{});
  TlsPeer& broken = is_client ? ends.client : ends.member;
  TlsPeer& alive = is_client ? ends.member : ends.client;
  broken.say("sound");
  alive.say("sound too");
  REQUIRE(run_until_got(bench, alive, "sound"));
  REQUIRE(run_until_got(bench, broken, "sound too"));
  spoil(broken, is_alert);
  CHECK(ends_at_once(bench, ends));
  if (!bench.has_ended()) bench.advance(10s);
  CHECK(bench.reason() == error_of(is_client));
  CHECK_FALSE(bench.summary().is_truncated);
  alive.take();
  CHECK(alive.saw_end());
  broken.take();
  CHECK(broken.has_ended());
  CHECK(broken.has_failed());
  CHECK(bench.open_tunnels == 0);
}

TEST_CASE("what came before garbage arrives", "[relay][tls]") {
  Bench bench(GENERATE(0u, 10'000'000u));
  TunnelPlan plan = tcp_plan(kNarrow);
  plan.settings.buffer_bytes_max = GENERATE(1'000u, 128u * 1024);
  TlsEnds ends = start_tls(bench, any_tls(), std::move(plan));
  if (ends.member.ssl() == nullptr) return;
  const std::string data = pattern(50'000);
  ends.member.encrypt(data);
  spoil(ends.member, false);
  REQUIRE(ends.member.outbox().empty());
  CHECK(bench.run_until_quiet());
  REQUIRE(run_until_ended(bench, ends.client));
  CHECK(is_same(ends.client.received(), data));
  CHECK(ends.client.saw_end());
  ends.client.close();
  bench.run_until_quiet();
  if (!bench.has_ended()) bench.advance(10s);
  CHECK(bench.reason() == EndReason::member_error);
}

TEST_CASE("a side that takes nothing cannot keep a tunnel with TLS that ends", "[relay][tls]") {
  Bench bench;
  TunnelPlan plan{.client = make_tcp_pair(kNarrow)};
  const auto timeout = plan.settings.close_timeout;
  TlsEnds ends = start_tls(bench, any_tls(), std::move(plan));
  ends.member.encrypt(pattern(2'000'000));
  CHECK(bench.run_until([&] { return ends.member.send() == 0 && bench.run_until_quiet(); }));
  ends.member.close();
  CHECK(bench.run_until_quiet());
  CHECK_FALSE(bench.has_ended());
  bench.advance(timeout * 2);
  CHECK(bench.has_ended());
  CHECK(bench.budget.bytes_held() == 0);
}

TEST_CASE("what TLS kept for a side that broke is not waited for", "[relay][tls]") {
  Bench bench;
  TunnelPlan plan{.client = make_tcp_pair(kNarrow)};
  const UniqueFd near(::dup(plan.client.near.get()));
  TlsEnds ends = start_tls(bench, {.member = false}, std::move(plan));
  // The client takes nothing: a part of a record is kept for its socket.
  ends.member.encrypt(pattern(2'000'000));
  CHECK(bench.run_until([&] { return ends.member.send() == 0 && bench.run_until_quiet(); }));
  // The member takes nothing either: what the client has sent keeps the tunnel.
  const std::string data = pattern(500'000);
  ends.client.encrypt(data);
  CHECK(bench.run_until([&] { return ends.client.send() == 0 && bench.run_until_quiet(); }));
  ends.client.reset();
  REQUIRE(wait_until([&] { return has_far_end_ended(near.get()); }));
  CHECK(bench.run_until_quiet());
  CHECK_FALSE(bench.has_ended());
  ends.member.close();
  CHECK(bench.run_until([&] { return bench.has_ended(); }));
  CHECK(bench.reason() == EndReason::client_error);
}

TEST_CASE("an end inside a message of TLS's own leaves nothing that waits", "[relay][tls]") {
  Bench bench;
  TunnelPlan plan;
  TlsPeer member = make_end(std::move(plan.member.far), {.tickets = 1, .has_long_tickets = true},
                            plan.member_tls);
  TlsPeer client(std::move(plan.client.far));
  bench.start(std::move(plan));
  member.send(700);
  bench.loop.turn(0ms);
  const bool is_write_before = GENERATE(true, false);
  if (is_write_before) client.say("nobody gets it");
  CHECK(bench.run_until_quiet());
  member.send_fin();
  CHECK(bench.run_until_quiet());
  if (!is_write_before) client.say("nobody gets it");
  REQUIRE(run_until_ended(bench, client));
  client.close();
  bench.run_until_quiet();
  CHECK(bench.has_ended());
  CHECK(bench.reason() == EndReason::member_error);
}

TEST_CASE("tunnels with TLS leave no descriptor", "[relay][tls]") {
  const std::size_t before = open_descriptors();
  {
    Bench bench;
    TlsEnds ends = start_tls(bench, any_tls());
    ends.client.say("data");
    bench.loop.turn(0ms);
    if (GENERATE(false, true)) {
      ends.client.close();
      ends.member.close();
      CHECK(bench.run_until([&] { return bench.has_ended(); }));
      CHECK(open_descriptors() <= before + 2);  // The loop's own.
    }
  }
  CHECK(open_descriptors() == before);
}

}  // namespace
}  // namespace wsbalance::relay
