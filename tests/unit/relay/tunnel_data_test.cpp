// What a tunnel carries: all bytes, in order, and no more of them in memory than it may.

#include <string>

#include "support/catch.h"
#include "unit/relay/bench.h"

namespace wsbalance::relay {
namespace {

using namespace std::chrono_literals;

TEST_CASE("what one side sends the other one gets", "[relay]") {
  Bench bench;
  Ends ends = bench.start(GENERATE(false, true) ? tcp_plan() : TunnelPlan{});
  ends.client.send("from the client");
  CHECK(bench.run_until_received(ends.member, "from the client"));
  ends.member.send("from the member");
  CHECK(bench.run_until_received(ends.client, "from the member"));
  CHECK_FALSE(bench.has_ended());
}

TEST_CASE("frames that are cut at every byte arrive unchanged and are counted", "[relay]") {
  const std::string stream = text_frame("hello") + make_frame(0x01, "two ") +
                             make_frame(0x80, "parts") + make_frame(0x89, "ping") +
                             make_frame(0x82, pattern(70'000)) + text_frame(pattern(300));
  for (std::size_t cut = 1; cut < 40; ++cut) {
    Bench bench;
    Ends ends = bench.start();
    REQUIRE(ends.client.send(stream.substr(0, cut)) == cut);
    bench.loop.turn(0ms);
    REQUIRE(ends.client.send(stream.substr(cut)) == stream.size() - cut);
    REQUIRE(bench.run_until_received(ends.member, stream));
    ends.client.close();
    ends.member.close();
    REQUIRE(bench.run_until([&] { return bench.has_ended(); }));
    CHECK(bench.summary().to_member.bytes == stream.size());
    CHECK(bench.summary().to_member.frames == 6);
    CHECK(bench.summary().to_member.messages == 4);
    CHECK(bench.summary().to_client.bytes == 0);
  }
}

TEST_CASE("bytes that come one by one arrive", "[relay]") {
  Bench bench;
  Ends ends = bench.start(tcp_plan());
  const std::string data = pattern(500);
  for (std::size_t i = 0; i < data.size(); ++i) {
    ends.client.send(data.substr(i, 1));
    bench.loop.turn(0ms);
    ends.member.take();
  }
  CHECK(bench.run_until_received(ends.member, data));
}

TEST_CASE("both ways carry large amounts at once", "[relay]") {
  Bench bench;
  Ends ends = bench.start(GENERATE(false, true) ? tcp_plan() : TunnelPlan{});
  const std::string up = pattern(3'000'000, 1);
  const std::string down = pattern(3'000'000, 2);
  std::size_t up_sent = 0;
  std::size_t down_sent = 0;
  CHECK(bench.run_until([&] {
    up_sent += ends.client.send(std::string_view(up).substr(up_sent));
    down_sent += ends.member.send(std::string_view(down).substr(down_sent));
    ends.client.take(50'000);
    ends.member.take(70'000);
    return ends.client.received().size() == down.size() &&
           ends.member.received().size() == up.size();
  }));
  CHECK(is_same(ends.client.received(), down));
  CHECK(is_same(ends.member.received(), up));
  CHECK(bench.budget.bytes_held() == 0);
}

TEST_CASE("bytes that came with the handshake go first", "[relay]") {
  Bench bench;
  TunnelPlan plan = GENERATE(false, true) ? tcp_plan() : TunnelPlan{};
  const std::string first_up = text_frame("first from the client");
  const std::string first_down = text_frame("first from the member");
  plan.from_client = first_up;
  plan.from_member = first_down;
  Peer early_client(UniqueFd(::dup(plan.client.far.get())));
  early_client.send("then this");
  Ends ends = bench.start(std::move(plan));
  CHECK(bench.run_until_received(ends.member, first_up + "then this"));
  CHECK(bench.run_until_received(ends.client, first_down));

  early_client.close();
  ends.client.close();
  ends.member.close();
  REQUIRE(bench.run_until([&] { return bench.has_ended(); }));
  CHECK(bench.summary().to_member.bytes == first_up.size() + 9);
  CHECK(bench.summary().to_member.messages == 1);
  CHECK(bench.summary().to_client.bytes == first_down.size());
  CHECK(bench.summary().to_client.messages == 1);
}

TEST_CASE("bytes that came with the handshake wait for a destination that is full", "[relay]") {
  Bench bench;
  TunnelPlan plan;
  ::fcntl(plan.member.near.get(), F_SETFL, O_NONBLOCK);
  Peer before(UniqueFd(::dup(plan.member.near.get())));
  const std::string filling = pattern(4'000'000);
  const std::size_t filled = before.send(filling);
  plan.from_client = "first";
  Ends ends = bench.start(std::move(plan));
  ends.client.send("second");
  CHECK(bench.run_until_quiet());
  CHECK(bench.budget.bytes_held() > 0);
  CHECK(bench.run_until_received(ends.member, filling.substr(0, filled) + "firstsecond"));
  CHECK(bench.budget.bytes_held() == 0);
}

TEST_CASE("a queue fills up to exactly its limit, and then the source waits", "[relay]") {
  const std::size_t limit = GENERATE(1u, 100u, 5000u, 128u * 1024u);
  Bench bench;
  TunnelPlan plan;
  plan.settings = settings_with(protocol::Strictness::off);  // Nothing is held back.
  plan.settings.buffer_bytes_max = limit;
  // The destination is full from the beginning, and the test sees what waits before the tunnel.
  ::fcntl(plan.client.near.get(), F_SETFL, O_NONBLOCK);
  Peer before(UniqueFd(::dup(plan.client.near.get())));
  const std::string filling = pattern(4'000'000);
  const std::size_t filled = before.send(filling);
  const UniqueFd source(::dup(plan.member.near.get()));
  Ends ends = bench.start(std::move(plan));

  const std::string data = pattern(150'000, 2);
  REQUIRE(ends.member.send(data) == data.size());
  CHECK(bench.run_until_quiet());
  CHECK(unread_bytes(source.get()) == data.size() - limit);
  CHECK(bench.budget.bytes_held() == limit);

  const std::string all = filling.substr(0, filled) + data;
  CHECK(
      bench.run_until_received(ends.client, all.substr(0, filled + std::min(limit, data.size()))));
  if (limit >= 5000) CHECK(bench.run_until_received(ends.client, all));
  CHECK(bench.budget.bytes_held() == 0);
}

TEST_CASE("a source is read again when half of the queue's limit is free", "[relay]") {
  Bench bench;
  TunnelPlan plan;
  plan.settings.buffer_bytes_max = 64 * 1024;
  set_send_buffer(plan.client.near.get(), 4096);
  const UniqueFd source(::dup(plan.member.near.get()));
  Ends ends = bench.start(std::move(plan));
  const std::string data = pattern(150'000);
  REQUIRE(ends.member.send(data) == data.size());
  CHECK(bench.run_until_quiet());

  std::size_t unread = unread_bytes(source.get());
  while (unread > 0) {
    const std::size_t kept =
        data.size() - unread - ends.client.received().size() - unread_bytes(ends.client.fd());
    CHECK(kept <= 64 * 1024);
    CHECK(kept > 32 * 1024);
    ends.client.take(1000);
    CHECK(bench.run_until_quiet());
    const std::size_t before = std::exchange(unread, unread_bytes(source.get()));
    CHECK((unread == before || before - unread >= 32 * 1024 || unread == 0));
  }
  CHECK(bench.run_until_received(ends.client, data));
}

TEST_CASE("a slow reader of one direction does not slow the other one", "[relay]") {
  Bench bench;
  Ends ends = bench.start();
  ends.member.send(pattern(4'000'000));
  CHECK(bench.run_until_quiet());
  ends.client.send("still through");
  CHECK(bench.run_until_received(ends.member, "still through"));
}

TEST_CASE("a source is read once per turn, so that a fast one leaves room for others", "[relay]") {
  Bench bench;
  Ends fast = bench.start();
  Ends slow = bench.start();
  const std::string much = pattern(150'000);
  fast.client.send(much);
  slow.client.send("data");
  bench.loop.turn(0ms);
  CHECK(slow.member.take() == 4);
  CHECK(fast.member.take() == 128 * 1024);
  CHECK(bench.run_until_received(fast.member, much));
}

TEST_CASE("an idle tunnel holds no buffer and makes no turn", "[relay]") {
  Bench bench;
  Ends ends = bench.start(tcp_plan());
  ends.client.send("data");
  CHECK(bench.run_until_received(ends.member, "data"));
  CHECK(bench.budget.bytes_held() == 0);
  CHECK(bench.run_until_quiet());
  bench.time.advance(24h);
  CHECK(bench.run_until_quiet());
  CHECK_FALSE(bench.has_ended());
}

}  // namespace
}  // namespace wsbalance::relay
