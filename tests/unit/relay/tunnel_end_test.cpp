// How a tunnel ends: what is delivered before, when it is over, and which reason it has.

#include <string>

#include "support/catch.h"
#include "unit/relay/bench.h"

namespace wsbalance::relay {
namespace {

using namespace std::chrono_literals;

// Little room in the kernel, so that our queue fills.
constexpr TcpBuffers kNarrow{.near_sends = 8192, .far_receives = 8192};

bool run_until_end_seen(Bench& bench, Peer& peer) {
  return bench.run_until([&] {
    peer.take();
    return peer.saw_end() || peer.saw_error();
  });
}

TEST_CASE("the end of one side becomes a half-close, and what comes back arrives", "[relay]") {
  const bool client_first = GENERATE(true, false);
  Bench bench;
  Ends ends = bench.start(GENERATE(false, true) ? tcp_plan() : TunnelPlan{});
  Peer& first = client_first ? ends.client : ends.member;
  Peer& second = client_first ? ends.member : ends.client;

  first.send("last words");
  first.end_writing();
  REQUIRE(run_until_end_seen(bench, second));
  CHECK(second.saw_end());
  CHECK(second.received() == "last words");
  CHECK_FALSE(bench.has_ended());

  second.send("an answer");
  CHECK(bench.run_until_received(first, "an answer"));
  CHECK(bench.run_until_quiet());
  second.end_writing();
  REQUIRE(run_until_end_seen(bench, first));
  CHECK(first.saw_end());
  REQUIRE(bench.run_until([&] { return bench.has_ended(); }));
  CHECK(bench.reason() == (client_first ? EndReason::client_eof : EndReason::member_eof));
  CHECK(bench.open_tunnels == 0);
}

TEST_CASE("what is queued is delivered before the half-close", "[relay]") {
  Bench bench;
  TunnelPlan plan;
  set_send_buffer(plan.client.near.get(), 4096);
  Ends ends = bench.start(std::move(plan));
  const std::string data = pattern(100'000);
  REQUIRE(ends.member.send(data) == data.size());
  ends.member.close();
  CHECK(bench.run_until_quiet());
  CHECK(bench.budget.bytes_held() > 0);
  REQUIRE(run_until_end_seen(bench, ends.client));
  CHECK(ends.client.saw_end());
  CHECK(is_same(ends.client.received(), data));
}

TEST_CASE("a unix peer that closes while its data waits loses nothing", "[relay]") {
  Bench bench;
  TunnelPlan plan;
  plan.settings.buffer_bytes_max = 8192;
  set_send_buffer(plan.client.near.get(), 4096);
  Ends ends = bench.start(std::move(plan));
  const std::string data = pattern(150'000);
  REQUIRE(ends.member.send(data) == data.size());
  CHECK(bench.run_until_quiet());
  ends.member.close();
  CHECK(bench.run_until_quiet());  // Its end is reported again and again unless epoll forgets it.
  REQUIRE(run_until_end_seen(bench, ends.client));
  CHECK(is_same(ends.client.received(), data));
  ends.client.close();
  REQUIRE(bench.run_until([&] { return bench.has_ended(); }));
  CHECK(bench.reason() == EndReason::member_eof);
}

// TCP cannot say that; there it shows when something is sent to that side.
TEST_CASE("a unix peer that has closed takes no more, which ends the tunnel at once", "[relay]") {
  const bool client_first = GENERATE(true, false);
  Bench bench;
  Ends ends = bench.start();
  Peer& first = client_first ? ends.client : ends.member;
  Peer& second = client_first ? ends.member : ends.client;
  first.send("last words");
  first.close();
  REQUIRE(run_until_end_seen(bench, second));
  CHECK(second.received() == "last words");
  REQUIRE(bench.run_until([&] {
    bench.advance(50ms);
    return bench.has_ended();
  }));
  CHECK(bench.summary().duration < 500ms);
  CHECK(bench.reason() == (client_first ? EndReason::client_eof : EndReason::member_eof));
}

TEST_CASE("a reset of an idle tunnel's side ends it at once", "[relay]") {
  const bool client_breaks = GENERATE(true, false);
  Bench bench;
  Ends ends = bench.start(tcp_plan());
  Peer& breaks = client_breaks ? ends.client : ends.member;
  Peer& alive = client_breaks ? ends.member : ends.client;
  breaks.reset();
  REQUIRE(bench.run_until([&] { return bench.has_ended(); }));
  CHECK(bench.reason() == (client_breaks ? EndReason::client_error : EndReason::member_error));
  REQUIRE(run_until_end_seen(bench, alive));
}

TEST_CASE("data that is followed by a reset arrives", "[relay]") {
  Bench bench;
  Ends ends = bench.start(tcp_plan());
  const std::string data = pattern(40'000);
  REQUIRE(ends.member.send(data) == data.size());
  // What a reset overtakes is lost.
  REQUIRE(wait_until([&] { return unacknowledged_bytes(ends.member.fd()) == 0; }));
  ends.member.reset();
  REQUIRE(run_until_end_seen(bench, ends.client));
  CHECK(ends.client.saw_end());
  CHECK(is_same(ends.client.received(), data));
  ends.client.close();
  REQUIRE(bench.run_until([&] { return bench.has_ended(); }));
  CHECK(bench.reason() == EndReason::member_error);
}

TEST_CASE("a reset behind a queue leaves the queue to the side that is alive", "[relay]") {
  Bench bench;
  Ends ends = bench.start(tcp_plan(kNarrow));
  // Less than our queue and what the kernel of the client's side takes, but more than each of them.
  const std::string data = pattern(120'000);
  REQUIRE(ends.member.send(data) == data.size());
  REQUIRE(bench.run_until_arrived(ends.member));
  CHECK(bench.budget.bytes_held() > 0);
  ends.member.reset();
  CHECK(bench.run_until_quiet());
  CHECK_FALSE(bench.has_ended());
  // What the client says goes nowhere, and does not keep it from what is its.
  ends.client.send("too late");
  REQUIRE(run_until_end_seen(bench, ends.client));
  CHECK(ends.client.saw_end());
  CHECK(is_same(ends.client.received(), data));
  ends.client.close();
  REQUIRE(bench.run_until([&] { return bench.has_ended(); }));
  CHECK(bench.reason() == EndReason::member_error);
  CHECK(bench.budget.bytes_held() == 0);
}

TEST_CASE("a reset of a side that does not read drops what is queued for it", "[relay]") {
  Bench bench;
  Ends ends = bench.start(tcp_plan(kNarrow));
  ends.member.send(pattern(120'000));
  REQUIRE(bench.run_until_arrived(ends.member));
  CHECK(bench.budget.bytes_held() > 0);
  ends.client.reset();
  REQUIRE(bench.run_until([&] { return bench.has_ended(); }));
  CHECK(bench.reason() == EndReason::client_error);
  CHECK(bench.budget.bytes_held() == 0);
}

TEST_CASE("a write that fails does not lose what that side sent before", "[relay]") {
  Bench bench;
  Ends ends = bench.start();
  ends.client.send("hello?");  // The tunnel sees this first, and that nobody takes it.
  ends.member.send("goodbye");
  ends.member.close();
  REQUIRE(run_until_end_seen(bench, ends.client));
  CHECK(ends.client.received() == "goodbye");
  ends.client.close();
  REQUIRE(bench.run_until([&] { return bench.has_ended(); }));
  CHECK(bench.reason() == EndReason::member_error);
}

TEST_CASE("a side that takes no more and has nothing to say ends the tunnel at once", "[relay]") {
  Bench bench;
  Ends ends = bench.start();
  ::shutdown(ends.member.fd(), SHUT_RD);
  ends.client.send("hello?");
  REQUIRE(bench.run_until([&] { return bench.has_ended(); }));
  CHECK(bench.reason() == EndReason::member_error);
}

TEST_CASE("what stands in the kernel reaches a side that still talks to a broken one", "[relay]") {
  Bench bench;
  TunnelPlan plan = tcp_plan({.far_receives = 8192});
  const UniqueFd to_member(::dup(plan.member.near.get()));
  Ends ends = bench.start(std::move(plan));
  const std::string data = pattern(100'000);
  REQUIRE(ends.member.send(data) == data.size());
  REQUIRE(bench.run_until_arrived(ends.member));
  CHECK(bench.budget.bytes_held() == 0);
  ends.member.reset();
  REQUIRE(wait_until([&] { return has_far_end_ended(to_member.get()); }));
  CHECK(bench.run_until_quiet());

  // A socket that is closed while this comes would answer with a reset and send no more.
  const std::string unheard = pattern(8'000'000);
  std::size_t sent = 0;
  CHECK(bench.run_until([&] {
    sent += ends.client.send(std::string_view(unheard).substr(sent));
    return sent == unheard.size();
  }));
  REQUIRE(run_until_end_seen(bench, ends.client));
  CHECK(ends.client.saw_end());
  CHECK(is_same(ends.client.received(), data));
  ends.client.close();
  REQUIRE(bench.run_until([&] { return bench.has_ended(); }));
  CHECK(bench.reason() == EndReason::member_error);
  CHECK(bench.summary().to_member.bytes == 0);
}

TEST_CASE("without a byte moving a half-closed tunnel ends after the close timeout", "[relay]") {
  Bench bench;
  TunnelPlan plan = GENERATE(false, true) ? tcp_plan() : TunnelPlan{};
  Ends ends = bench.start(std::move(plan));
  bench.advance(1h);
  ends.client.end_writing();
  REQUIRE(run_until_end_seen(bench, ends.member));
  CHECK(bench.run_until_quiet());
  bench.advance(4900ms);
  CHECK_FALSE(bench.has_ended());
  bench.advance(200ms);
  REQUIRE(bench.has_ended());
  CHECK(bench.reason() == EndReason::client_eof);
  CHECK(bench.summary().duration >= 1h + 5s);
  CHECK(bench.summary().duration <= 1h + 5100ms);
}

TEST_CASE("a tunnel is short by the time when its end began", "[relay]") {
  const bool is_short = GENERATE(true, false);
  const bool is_reset = GENERATE(true, false);
  Bench bench;
  Ends ends = bench.start(tcp_plan());
  bench.advance(is_short ? 900ms : 1s);
  if (is_reset) {
    ends.member.reset();
  } else {
    ends.member.end_writing();
    REQUIRE(run_until_end_seen(bench, ends.client));
    bench.advance(2s);  // The client takes its time.
    ends.client.end_writing();
  }
  REQUIRE(bench.run_until([&] { return bench.has_ended(); }));
  CHECK(bench.summary().is_short == is_short);
}

TEST_CASE("each byte that moves starts the close timeout anew", "[relay]") {
  Bench bench;
  Ends ends = bench.start({.settings = settings_with(protocol::Strictness::off)});
  ends.client.end_writing();
  CHECK(bench.run_until_quiet());
  for (int i = 0; i < 20; ++i) {
    bench.advance(4s);
    ends.member.send("x");
    REQUIRE(
        bench.run_until_received(ends.client, std::string(static_cast<std::size_t>(i) + 1, 'x')));
  }
  bench.advance(4900ms);
  CHECK_FALSE(bench.has_ended());
  bench.advance(200ms);
  CHECK(bench.reason() == EndReason::client_eof);
}

TEST_CASE("a close timeout of the settings counts", "[relay]") {
  Bench bench;
  TunnelPlan plan;
  plan.settings.close_timeout = 700ms;
  Ends ends = bench.start(std::move(plan));
  ends.client.end_writing();
  CHECK(bench.run_until_quiet());
  bench.advance(600ms);
  CHECK_FALSE(bench.has_ended());
  bench.advance(200ms);
  CHECK(bench.has_ended());
}

TEST_CASE("bytes that only leave the kernel start the close timeout anew", "[relay]") {
  const bool is_tcp = GENERATE(true, false);
  Bench bench;
  Ends ends = bench.start(is_tcp ? tcp_plan({.far_receives = 8192}) : TunnelPlan{});
  const std::string data = pattern(is_tcp ? 1'000'000 : 150'000);
  std::size_t sent = 0;
  REQUIRE(bench.run_until([&] {
    sent += ends.member.send(std::string_view(data).substr(sent));
    return sent == data.size();
  }));
  if (is_tcp) REQUIRE(bench.run_until_arrived(ends.member));
  ends.member.close();
  CHECK(bench.run_until_quiet());
  // All of it stands in the kernel, and no system call of ours moves it.
  REQUIRE(bench.budget.bytes_held() == 0);

  // A unix socket gives memory back in pieces of about 36 KB.
  const std::size_t pieces = is_tcp ? 15 : 4;
  const std::size_t piece = data.size() / pieces;
  for (std::size_t i = 1; i < pieces; ++i) {
    bench.advance(4s);
    REQUIRE_FALSE(bench.has_ended());
    const std::size_t goal = ends.client.received().size() + piece;
    CHECK(bench.run_until([&] {
      ends.client.take(goal - ends.client.received().size());
      return ends.client.received().size() == goal;
    }));
  }
  REQUIRE(run_until_end_seen(bench, ends.client));
  CHECK(is_same(ends.client.received(), data));
  bench.advance(12s);
  CHECK(bench.reason() == EndReason::member_eof);
}

TEST_CASE("16 MB of a member that closes reach a client that reads slowly", "[relay]") {
  Bench bench;
  // The tunnel sees that bytes are read when the client's kernel has room again: this is less than
  // the client reads within the close timeout.
  Ends ends = bench.start(tcp_plan({.far_receives = 32 * 1024}));
  const std::string data = pattern(16 * 1024 * 1024);
  std::size_t sent = 0;
  bool is_closed = false;
  std::size_t received_at_close = 0;
  REQUIRE(bench.run_until([&] {
    if (sent < data.size()) sent += ends.member.send(std::string_view(data).substr(sent));
    if (sent == data.size() && !is_closed) {
      ends.member.close();
      is_closed = true;
      received_at_close = ends.client.received().size();
    }
    // The kernel moves bytes in real time: the clock goes on by those that have come, 20 KiB/s.
    bench.advance(ends.client.take(32 * 1024) * 50us);
    return ends.client.saw_end() || ends.client.saw_error();
  }));
  CHECK_FALSE(ends.client.saw_error());
  CHECK(is_closed);
  CHECK(received_at_close < data.size());
  CHECK(ends.client.saw_end());
  CHECK(is_same(ends.client.received(), data));
}

TEST_CASE("a stall before a reader that has stopped ends after the close timeout", "[relay]") {
  Bench bench;
  TunnelPlan plan = tcp_plan(kNarrow);
  const UniqueFd to_client(::dup(plan.client.near.get()));
  const UniqueFd to_member(::dup(plan.member.near.get()));
  Ends ends = bench.start(std::move(plan));
  ends.member.send(pattern(70'000));
  REQUIRE(bench.run_until_arrived(ends.member));
  ends.member.close();
  REQUIRE(wait_until([&] { return has_far_end_ended(to_member.get()); }));
  REQUIRE(bench.run_until_stalled(to_client));
  CHECK(bench.budget.bytes_held() > 0);
  bench.advance(4900ms);
  CHECK_FALSE(bench.has_ended());
  bench.advance(200ms);
  CHECK(bench.has_ended());
  CHECK(bench.budget.bytes_held() == 0);
}

TEST_CASE("an end of file behind bytes that cannot be read yet starts the close timeout",
          "[relay]") {
  Bench bench;
  TunnelPlan plan = tcp_plan(kNarrow);
  plan.settings.buffer_bytes_max = 4096;
  SECTION("TCP") {}
  SECTION("unix") { plan.member = make_unix_pair(); }
  const UniqueFd to_client(::dup(plan.client.near.get()));
  const UniqueFd to_member(::dup(plan.member.near.get()));
  Ends ends = bench.start(std::move(plan));
  // More than the client's kernel and our queue take, and what is left fits into the member's: an
  // end of file comes no sooner than the bytes before it.
  ends.member.send(pattern(60'000));
  REQUIRE(bench.run_until_stalled(to_client));
  bench.advance(10s);
  CHECK_FALSE(bench.has_ended());
  REQUIRE(unread_bytes(to_member.get()) > 0);

  ends.member.close();
  REQUIRE(wait_until([&] { return has_far_end_ended(to_member.get()); }));
  REQUIRE(bench.run_until_stalled(to_client));
  bench.advance(4900ms);
  CHECK_FALSE(bench.has_ended());
  bench.advance(200ms);
  CHECK(bench.reason() == EndReason::member_eof);
}

TEST_CASE("a side that only talks to a broken one does not keep the tunnel open", "[relay]") {
  Bench bench;
  Ends ends = bench.start(tcp_plan(kNarrow));
  ends.member.send(pattern(120'000));
  REQUIRE(bench.run_until_arrived(ends.member));
  ends.member.reset();
  REQUIRE(bench.run_until([&] {
    ends.client.send("nobody hears this");
    bench.advance(100ms);
    return bench.has_ended();
  }));
  CHECK(bench.reason() == EndReason::member_error);
}

TEST_CASE("the reason is whose close frame passed first", "[relay]") {
  struct Case {
    bool client_sends;
    bool member_sends;
    bool client_first;
    EndReason reason;
    std::uint16_t code;
  };
  const Case the_case = GENERATE(values<Case>({
      {true, true, true, EndReason::client_close, 4001},
      {true, true, false, EndReason::member_close, 4002},
      {true, false, true, EndReason::client_close, 4001},
      {false, true, false, EndReason::member_close, 4002},
      {false, false, true, EndReason::client_eof, 0},
      {false, false, false, EndReason::member_eof, 0},
  }));
  Bench bench;
  Ends ends = bench.start();
  const auto say = [&](Peer& from, Peer& to, bool says, std::uint16_t code) {
    if (!says) return;
    from.send(text_frame("x") + close_frame(code));
    REQUIRE(bench.run_until_received(to, text_frame("x") + close_frame(code)));
  };
  const auto client = [&] { say(ends.client, ends.member, the_case.client_sends, 4001); };
  const auto member = [&] { say(ends.member, ends.client, the_case.member_sends, 4002); };
  the_case.client_first ? (client(), member()) : (member(), client());

  Peer& first = the_case.client_first ? ends.client : ends.member;
  Peer& second = the_case.client_first ? ends.member : ends.client;
  first.end_writing();
  REQUIRE(run_until_end_seen(bench, second));
  second.end_writing();
  REQUIRE(bench.run_until([&] { return bench.has_ended(); }));
  CHECK(bench.reason() == the_case.reason);
  CHECK(bench.summary().close_code == the_case.code);
}

TEST_CASE("a close frame that came with the handshake is the first", "[relay]") {
  Bench bench;
  TunnelPlan plan;
  const std::string frame = close_frame(1001);
  plan.from_client = frame;
  Ends ends = bench.start(std::move(plan));
  CHECK(bench.run_until_received(ends.member, frame));
  ends.member.send(close_frame(4002));
  CHECK(bench.run_until_received(ends.client, close_frame(4002)));
  ends.member.close();
  ends.client.close();
  REQUIRE(bench.run_until([&] { return bench.has_ended(); }));
  CHECK(bench.reason() == EndReason::client_close);
  CHECK(bench.summary().close_code == 1001);
}

TEST_CASE("descriptors that cannot be watched end the tunnel with resources", "[relay]") {
  Bench bench;
  TunnelPlan plan;
  SECTION("none at all") { plan.client.near.reset(); }
  SECTION("an ordinary file") { plan.member.near.reset(::open("/proc/self/exe", O_RDONLY)); }
  Ends other = bench.start();
  Ends ends = bench.start(std::move(plan));
  REQUIRE(bench.run_until([&] { return bench.has_ended(); }));
  CHECK(bench.reason() == EndReason::resources);
  CHECK(bench.open_tunnels == 1);
  other.client.send("unharmed");
  CHECK(bench.run_until_received(other.member, "unharmed"));
}

TEST_CASE("the observer gets the context, which ends with the tunnel", "[relay]") {
  struct Context : TunnelContext {
    explicit Context(bool& is_gone) : is_gone_(is_gone) {}
    ~Context() override { is_gone_ = true; }
    bool& is_gone_;
  };
  bool is_gone = false;
  Bench bench;
  TunnelPlan plan;
  plan.context = std::make_unique<Context>(is_gone);
  TunnelContext* const context = plan.context.get();
  Ends ends = bench.start(std::move(plan));
  CHECK(bench.open_tunnels == 1);
  CHECK(bench.loop.load() == 1);
  ends.client.close();
  ends.member.close();
  REQUIRE(bench.run_until([&] { return bench.has_ended(); }));
  CHECK(bench.ended.contexts == std::vector<TunnelContext*>{context});
  CHECK(is_gone);
  CHECK(bench.open_tunnels == 0);
  CHECK(bench.loop.load() == 0);
}

TEST_CASE("a descriptor that a fork has copied brings nothing after the end", "[relay]") {
  Bench bench;
  TunnelPlan plan = tcp_plan();
  const UniqueFd copy(::dup(plan.client.near.get()));
  Ends ends = bench.start(std::move(plan));
  ends.member.reset();
  REQUIRE(bench.run_until([&] { return bench.has_ended(); }));
  ends.client.send("to nobody");
  CHECK(bench.loop.turn(5ms) == 0);
}

TEST_CASE("tunnels are taken in the order in which they were submitted", "[relay]") {
  Bench bench;
  std::vector<TunnelContext*> submitted;
  for (int i = 0; i < 5; ++i) {
    auto context = std::make_unique<TunnelContext>();
    submitted.push_back(context.get());
    // Without descriptors it ends when it is taken.
    bench.loop.submit(std::make_unique<Tunnel>(shared({}), std::move(context)));
  }
  bench.loop.turn(0ms);
  CHECK(bench.ended.contexts == submitted);
}

TEST_CASE("no descriptor stays behind", "[relay]") {
  const std::size_t before = open_descriptors();
  {
    Bench bench;
    const std::size_t with_loop = open_descriptors();
    for (int i = 0; i < 20; ++i) {
      Ends ends = bench.start(i % 2 == 0 ? tcp_plan() : TunnelPlan{});
      ends.client.send("x");
      if (i % 3 == 0) ends.member.close();
      if (i % 5 == 0) ends.client.reset();
    }
    REQUIRE(bench.run_until([&] { return bench.open_tunnels == 0; }));
    CHECK(open_descriptors() == with_loop);
    CHECK(bench.budget.bytes_held() == 0);
  }
  CHECK(open_descriptors() == before);
}

}  // namespace
}  // namespace wsbalance::relay
