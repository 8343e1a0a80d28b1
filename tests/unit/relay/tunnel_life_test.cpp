// What timers, pings, rules and limits do to tunnels. The clock is the test's.

#include <chrono>
#include <string>

#include "support/catch.h"
#include "unit/relay/bench.h"
#include "unit/relay/frames.h"

namespace wsbalance::relay {
namespace {

using namespace std::chrono_literals;
using protocol::Strictness;

constexpr std::size_t kClient = static_cast<std::size_t>(Side::client);
constexpr std::size_t kMember = static_cast<std::size_t>(Side::member);

TunnelPlan plan_with(void (*set)(TunnelSettings&)) {
  TunnelPlan plan;
  plan.settings = {};
  set(plan.settings);
  return plan;
}

// The close frame that came last, or one without a code.
Frame last_close(Peer& peer) {
  peer.take();
  const auto frames = frames_of(peer.received());
  return !frames.empty() && frames.back().is_close() ? frames.back() : Frame{};
}

void check_closed(Peer& peer, bool is_member, int code, std::string_view reason) {
  const Frame frame = last_close(peer);
  CHECK(frame.code() == code);
  CHECK(frame.reason() == reason);
  CHECK(frame.is_masked == is_member);
}

void answer_close(Bench& bench, Ends& ends, int code) {
  ends.client.send(masked_close(static_cast<std::uint16_t>(code)));
  ends.member.send(close_frame(static_cast<std::uint16_t>(code)));
  bench.run_until([&] { return bench.has_ended(); });
}

TEST_CASE("nothing ends a silent tunnel that has no timers", "[relay][life]") {
  Bench bench;
  Ends ends = bench.start();
  bench.advance(1h);
  CHECK_FALSE(bench.has_ended());
  ends.client.take();
  CHECK(ends.client.received().empty());
}

TEST_CASE("an idle tunnel is closed with 1001 on both sides", "[relay][life]") {
  Bench bench;
  Ends ends = bench.start(plan_with([](TunnelSettings& s) { s.times.idle = 10s; }));
  bench.advance(9s);
  ends.client.send(masked_text("hello"));
  REQUIRE(bench.run_until_received(ends.member, masked_text("hello")));
  bench.advance(9900ms);
  CHECK(last_close(ends.client).code() == 0);
  bench.advance(200ms);
  check_closed(ends.client, false, 1001, "idle");
  check_closed(ends.member, true, 1001, "idle");
  CHECK_FALSE(bench.has_ended());
  answer_close(bench, ends, 1001);
  CHECK(bench.reason() == EndReason::idle);
  CHECK(bench.summary().closer == Closer::proxy);
  CHECK(bench.summary().close_code == 1001);
}

TEST_CASE("a close of ours that nobody answers is cut after the close timeout", "[relay][life]") {
  Bench bench;
  Ends ends = bench.start(plan_with([](TunnelSettings& s) { s.times.idle = 10s; }));
  bench.advance(10100ms);
  check_closed(ends.client, false, 1001, "idle");
  bench.advance(4800ms);
  CHECK_FALSE(bench.has_ended());
  bench.advance(400ms);
  CHECK(bench.reason() == EndReason::idle);
}

TEST_CASE("data that goes on does not hold up a close of ours", "[relay][life]") {
  Bench bench;
  Ends ends = bench.start(plan_with([](TunnelSettings& s) { s.times.lifetime = 10s; }));
  bench.advance(10100ms);
  check_closed(ends.client, false, 1001, "lifetime");
  for (int second = 0; second < 6; ++second) {
    ends.member.send(text_frame("on and on"));
    bench.advance(1s);
  }
  CHECK(bench.reason() == EndReason::lifetime);
  ends.client.take();
  CHECK(frames_of(ends.client.received()).size() == 1);  // Nothing behind the close frame.
}

TEST_CASE("only data resets the data timer", "[relay][life]") {
  Bench bench;
  Ends ends = bench.start(plan_with([](TunnelSettings& s) { s.times.data_idle = 10s; }));
  bench.advance(9s);
  ends.member.send(text_frame("data"));
  bench.run_until_received(ends.client, text_frame("data"));
  for (int second = 0; second < 9; ++second) {
    bench.advance(1s);
    ends.client.send(masked_frame(0x89, "ping"));
    ends.member.send(make_frame(0x8a, "pong"));
    bench.run_until_quiet();
  }
  CHECK_FALSE(last_close(ends.member).is_close());
  bench.advance(1100ms);
  check_closed(ends.member, true, 1001, "no data");
  answer_close(bench, ends, 1001);
  CHECK(bench.reason() == EndReason::data_idle);
}

TEST_CASE("a silent side is pinged and its pong goes no further", "[relay][life]") {
  const bool is_client = GENERATE(true, false);
  Bench bench;
  TunnelPlan plan;
  plan.settings.times.ping_interval[is_client ? kClient : kMember] = 10s;
  Ends ends = bench.start(std::move(plan));
  Peer& pinged = is_client ? ends.client : ends.member;
  Peer& not_pinged = is_client ? ends.member : ends.client;
  for (int round = 1; round <= 3; ++round) {
    bench.advance(10100ms);
    pinged.take();
    const auto frames = frames_of(pinged.received());
    REQUIRE(frames.size() == static_cast<std::size_t>(round));
    CHECK(frames.back().is_ping());
    CHECK(frames.back().is_masked == !is_client);
    const std::string payload = frames.back().payload;
    pinged.send(is_client ? masked_frame(0x8a, payload) : make_frame(0x8a, payload));
    bench.run_until_quiet();
  }
  not_pinged.take();
  CHECK(not_pinged.received().empty());
  CHECK_FALSE(bench.has_ended());
  ends.client.close();
  ends.member.close();
  CHECK(bench.run_until([&] { return bench.has_ended(); }));
  CHECK(bench.summary().pings[is_client ? kClient : kMember] == 3);
}

TEST_CASE("other pongs pass while a ping of ours waits", "[relay][life]") {
  Bench bench;
  Ends ends =
      bench.start(plan_with([](TunnelSettings& s) { s.times.ping_interval[kClient] = 1s; }));
  bench.advance(1100ms);
  ends.client.take();
  REQUIRE(frames_of(ends.client.received()).size() == 1);
  const std::string pong = masked_frame(0x8a, "12345678");
  ends.client.send(pong);
  CHECK(bench.run_until_received(ends.member, pong));
}

TEST_CASE("a side that answers no ping is dead", "[relay][life]") {
  const bool is_client = GENERATE(true, false);
  Bench bench;
  TunnelPlan plan;
  plan.settings.times.ping_interval[is_client ? kClient : kMember] = 30s;
  plan.settings.times.ping_timeout = 10s;
  Ends ends = bench.start(std::move(plan));
  Peer& dead = is_client ? ends.client : ends.member;
  Peer& alive = is_client ? ends.member : ends.client;
  bench.advance(39900ms);
  CHECK(last_close(alive).code() == 0);
  bench.advance(400ms);
  check_closed(alive, is_client, 1001, "peer timeout");
  CHECK_FALSE(bench.has_ended());
  alive.send(is_client ? close_frame(1001) : masked_close(1001));
  CHECK(bench.run_until([&] { return bench.has_ended(); }));
  CHECK(bench.reason() ==
        (is_client ? EndReason::ping_timeout_client : EndReason::ping_timeout_member));
  dead.take();
  CHECK(frames_of(dead.received()).front().is_ping());
}

TEST_CASE("any byte proves that a pinged side lives", "[relay][life]") {
  Bench bench;
  TunnelPlan plan;
  plan.settings.times.ping_interval = {10s, 10s};
  plan.settings.times.ping_timeout = 5s;
  Ends ends = bench.start(std::move(plan));
  for (int round = 0; round < 5; ++round) {
    bench.advance(14s);
    ends.client.send(masked_text("late"));
    ends.member.send(text_frame("late"));
    bench.run_until_quiet();
  }
  ends.client.take();
  CHECK_FALSE(bench.has_ended());
  CHECK_FALSE(last_close(ends.client).is_close());
}

TEST_CASE("a ping waits for the end of the frame that passes", "[relay][life]") {
  Bench bench;
  Ends ends =
      bench.start(plan_with([](TunnelSettings& s) { s.times.ping_interval[kClient] = 1s; }));
  const std::string frame = text_frame("a frame in two parts");
  ends.member.send(std::string_view(frame).substr(0, 8));
  bench.run_until_quiet();
  bench.advance(5s);
  ends.client.take();
  CHECK(ends.client.received() == frame.substr(0, 8));
  ends.member.send(std::string_view(frame).substr(8));
  bench.run_until_quiet();
  bench.advance(500ms);
  ends.client.take();
  const auto frames = frames_of(ends.client.received());
  REQUIRE(frames.size() == 2);
  CHECK(frames[1].is_ping());
}

TEST_CASE("a part of a header is held back, so that a ping can go before it", "[relay][life]") {
  Bench bench;
  Ends ends =
      bench.start(plan_with([](TunnelSettings& s) { s.times.ping_interval[kClient] = 1s; }));
  const std::string frame = text_frame(std::string(300, 'x'));
  ends.member.send(std::string_view(frame).substr(0, 3));
  bench.run_until_quiet();
  bench.advance(1100ms);
  ends.member.send(std::string_view(frame).substr(3));
  bench.run_until_quiet();
  ends.client.take();
  const auto frames = frames_of(ends.client.received());
  REQUIRE(frames.size() == 2);
  CHECK(frames[0].is_ping());
  CHECK(frames[1].payload == std::string(300, 'x'));
}

TEST_CASE("pings go between the frames of a fragmented message", "[relay][life]") {
  Bench bench;
  Ends ends =
      bench.start(plan_with([](TunnelSettings& s) { s.times.ping_interval[kClient] = 1s; }));
  ends.member.send(make_frame(0x01, "one "));
  bench.run_until_quiet();
  bench.advance(1100ms);
  ends.member.send(make_frame(0x80, "message"));
  bench.run_until_quiet();
  ends.client.take();
  const auto frames = frames_of(ends.client.received());
  REQUIRE(frames.size() == 3);
  CHECK(frames[1].is_ping());
}

TEST_CASE("a side that is not read is neither pinged nor idle", "[relay][life]") {
  Bench bench;
  TunnelPlan plan;
  plan.settings.buffer_bytes_max = 8 * 1024;
  plan.settings.times.idle = 30s;
  plan.settings.times.ping_interval = {10s, 10s};
  plan.settings.times.ping_timeout = 5s;
  Ends ends = bench.start(std::move(plan));
  // The member takes nothing, so the client is not read any more.
  const std::string message = masked_frame(0x82, std::string(60'000, 'x'));
  std::size_t sent = 0;
  bench.run_until([&] {
    const std::size_t now = ends.client.send(std::string(message).append(message));
    sent += now;
    return now == 0 && bench.run_until_quiet();
  });
  REQUIRE(sent > 0);
  for (int second = 0; second < 60; ++second) {
    ends.member.send(text_frame("I live"));
    bench.advance(1s);
  }
  ends.client.take();
  CHECK_FALSE(bench.has_ended());
  for (const Frame& frame : frames_of(ends.client.received())) CHECK_FALSE(frame.is_ping());
}

TEST_CASE("the offender gets 1002, the other side 1001, and the frame goes no further",
          "[relay][life]") {
  const bool is_client = GENERATE(true, false);
  Bench bench;
  TunnelPlan plan;
  for (auto& rules : plan.settings.frames) rules.strictness = Strictness::strict;
  plan.settings.frames[kClient].is_masked = true;
  Ends ends = bench.start(std::move(plan));
  Peer& offender = is_client ? ends.client : ends.member;
  Peer& other_side = is_client ? ends.member : ends.client;
  const std::string good = is_client ? masked_text("good") : text_frame("good");
  const std::string bad = is_client ? text_frame("bad") : masked_text("bad");
  offender.send(good + bad + good);
  CHECK(bench.run_until([&] { return last_close(other_side).is_close(); }));
  const auto frames = frames_of(other_side.received());
  REQUIRE(frames.size() == 2);
  CHECK(frames[0].payload == "good");
  check_closed(other_side, is_client, 1001, "protocol error");
  check_closed(offender, !is_client, 1002, "protocol error");
  offender.take();
  CHECK(offender.saw_end());
  CHECK_FALSE(bench.has_ended());
  other_side.send(is_client ? close_frame(1001) : masked_close(1001));
  offender.close();
  CHECK(bench.run_until([&] { return bench.has_ended(); }));
  CHECK(bench.reason() == (is_client ? EndReason::protocol_client : EndReason::protocol_member));
  CHECK(bench.summary().close_code == 1002);
  CHECK((is_client ? bench.summary().to_member : bench.summary().to_client).violations == 1);
}

TEST_CASE("a frame that is too long is refused before any of it passes", "[relay][life]") {
  const bool is_message = GENERATE(false, true);
  Bench bench;
  TunnelPlan plan;
  plan.settings = {};
  auto& rules = plan.settings.frames[kClient];
  (is_message ? rules.message_bytes_max : rules.frame_bytes_max) = 1000;
  Ends ends = bench.start(std::move(plan));
  const std::string good = masked_frame(is_message ? 0x01 : 0x82, std::string(1000, 'x'));
  ends.client.send(good);
  CHECK(bench.run_until_received(ends.member, good));
  const auto first = static_cast<std::uint8_t>(is_message ? 0x80 : 0x82);
  ends.client.send(masked_frame(first, std::string(is_message ? 1 : 1001, 'x')));
  CHECK(bench.run_until([&] { return last_close(ends.client).is_close(); }));
  check_closed(ends.client, false, 1009, "message too big");
  check_closed(ends.member, true, 1001, "message too big");
  ends.client.close();
  ends.member.close();
  CHECK(bench.run_until([&] { return bench.has_ended(); }));
  CHECK(bench.reason() == (is_message ? EndReason::limit_message : EndReason::limit_frame));
}

TEST_CASE("a message rate makes the client wait", "[relay][life]") {
  Bench bench;
  TunnelPlan plan;
  plan.settings = {};
  plan.settings.message_rate = {.per_second = 10, .burst = 20};
  Ends ends = bench.start(std::move(plan));
  const std::string message = masked_text("x");
  std::string sent;
  for (int count = 0; count < 25; ++count) sent += message;
  ends.client.send(sent);
  CHECK(bench.run_until_received(ends.member, sent));
  ends.client.send(message);
  CHECK(bench.run_until_quiet());
  bench.advance(300ms);
  ends.member.take();
  CHECK(ends.member.received().size() == sent.size());
  bench.advance(700ms);
  CHECK(bench.run_until_received(ends.member, sent + message));
  ends.client.close();
  ends.member.close();
  CHECK(bench.run_until([&] { return bench.has_ended(); }));
  CHECK(bench.summary().to_member.throttled > 0);
  CHECK(bench.reason() == EndReason::client_eof);
}

TEST_CASE("a rate with action=close closes with 1008", "[relay][life]") {
  const bool is_bytes = GENERATE(false, true);
  Bench bench;
  TunnelPlan plan;
  plan.settings = {};
  const RateSettings rate{.per_second = 10, .burst = is_bytes ? 1000u : 20u, .closes = true};
  (is_bytes ? plan.settings.byte_rate : plan.settings.message_rate) = rate;
  Ends ends = bench.start(std::move(plan));
  for (int count = 0; count < (is_bytes ? 200 : 21); ++count) ends.client.send(masked_text("x"));
  CHECK(bench.run_until([&] { return last_close(ends.client).is_close(); }));
  check_closed(ends.client, false, 1008, "rate limit");
  check_closed(ends.member, true, 1001, "rate limit");
  answer_close(bench, ends, 1001);
  CHECK(bench.reason() == (is_bytes ? EndReason::limit_byte_rate : EndReason::limit_message_rate));
  CHECK(bench.summary().to_member.throttled == 0);
}

TEST_CASE("limits see what came with the handshake", "[relay][life]") {
  const bool is_bytes = GENERATE(false, true);
  std::string first;
  for (int count = 0; count < 21; ++count) first += masked_text("x");
  Bench bench;
  TunnelPlan plan;
  plan.settings = {};
  plan.from_client = first;
  const RateSettings rate{.per_second = 10, .burst = is_bytes ? 100u : 20u, .closes = true};
  (is_bytes ? plan.settings.byte_rate : plan.settings.message_rate) = rate;
  Ends ends = bench.start(std::move(plan));
  CHECK(bench.run_until([&] { return last_close(ends.client).is_close(); }));
  check_closed(ends.client, false, 1008, "rate limit");
  check_closed(ends.member, true, 1001, "rate limit");
  CHECK(frames_of(ends.member.received()).size() == 22);
}

TEST_CASE("a flood of pings is throttled", "[relay][life]") {
  const bool is_client = GENERATE(true, false);
  Bench bench;
  Ends ends = bench.start();
  Peer& source = is_client ? ends.client : ends.member;
  Peer& destination = is_client ? ends.member : ends.client;
  const std::string ping = is_client ? masked_frame(0x89, "") : make_frame(0x89, "");
  std::string sent;
  for (int count = 0; count < 200; ++count) sent += ping;
  source.send(sent);
  CHECK(bench.run_until_received(destination, sent));
  source.send(ping);
  CHECK(bench.run_until_quiet());
  bench.advance(500ms);
  destination.take();
  CHECK(destination.received().size() == sent.size());
  bench.advance(700ms);
  CHECK(bench.run_until_received(destination, sent + ping));
}

TEST_CASE("a tunnel whose frames are not followed ends without a close frame", "[relay][life]") {
  Bench bench;
  TunnelPlan plan;
  for (auto& rules : plan.settings.frames) rules.strictness = Strictness::off;
  plan.settings.times.idle = 10s;
  plan.settings.times.ping_interval = {1s, 1s};
  Ends ends = bench.start(std::move(plan));
  ends.client.send("x");
  CHECK(bench.run_until_received(ends.member, "x"));
  bench.advance(10100ms);
  CHECK(bench.reason() == EndReason::idle);
  CHECK(bench.summary().closer == Closer::none);
  ends.client.take();
  CHECK(ends.client.received().empty());
  CHECK(ends.client.saw_end());
}

TEST_CASE("nothing is put into a stream whose boundaries are lost", "[relay][life]") {
  Bench bench;
  Ends ends = bench.start(plan_with([](TunnelSettings& s) {
    s = settings_with(Strictness::lenient);
    s.times.ping_interval = {1s, 1s};
    s.times.lifetime = 10s;
  }));
  const std::string lost("\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff", 10);
  ends.member.send(lost + "whatever");
  CHECK(bench.run_until_received(ends.client, lost + "whatever"));
  bench.advance(9s);
  ends.member.send("more");
  CHECK(bench.run_until_received(ends.client, lost + "whatever" + "more"));
  bench.advance(1100ms);
  // The client's frames are followed: the member gets a close frame, the client an end only.
  check_closed(ends.member, true, 1001, "lifetime");
  ends.client.take();
  CHECK(ends.client.received() == lost + "whatever" + "more");
  CHECK(ends.client.saw_end());
  ends.client.close();
  ends.member.close();
  CHECK(bench.run_until([&] { return bench.has_ended(); }));
  CHECK(bench.reason() == EndReason::lifetime);
}

TEST_CASE("a close of ours waits for the end of the frame that passes", "[relay][life]") {
  Bench bench;
  Ends ends = bench.start(plan_with([](TunnelSettings& s) { s.times.lifetime = 10s; }));
  const std::string frame = text_frame("a frame in two parts");
  bench.advance(9s);
  ends.member.send(std::string_view(frame).substr(0, 8));
  bench.run_until_quiet();
  bench.advance(1100ms);
  check_closed(ends.member, true, 1001, "lifetime");
  ends.client.take();
  CHECK(ends.client.received() == frame.substr(0, 8));
  ends.member.send(frame.substr(8) + text_frame("nobody gets it") + close_frame(1001));
  ends.client.send(masked_text("nor this"));
  bench.run_until_quiet();
  check_closed(ends.client, false, 1001, "lifetime");
  CHECK(frames_of(ends.client.received()).size() == 2);
  CHECK_FALSE(bench.has_ended());
  ends.client.send(masked_close(1001));
  CHECK(bench.run_until([&] { return bench.has_ended(); }));
  CHECK(bench.reason() == EndReason::lifetime);
}

TEST_CASE("a side inside a frame that never ends is cut", "[relay][life]") {
  Bench bench;
  Ends ends = bench.start(plan_with([](TunnelSettings& s) { s.times.lifetime = 10s; }));
  ends.member.send(std::string_view(text_frame("a frame in two parts")).substr(0, 8));
  bench.run_until_quiet();
  bench.advance(10100ms);
  ends.member.send("");
  bench.advance(4s);
  CHECK_FALSE(bench.has_ended());
  bench.advance(1500ms);
  CHECK(bench.reason() == EndReason::lifetime);
}

TEST_CASE("a close frame that is not answered ends the tunnel", "[relay][life]") {
  const bool is_client = GENERATE(true, false);
  Bench bench;
  Ends ends = bench.start();
  Peer& closing = is_client ? ends.client : ends.member;
  Peer& deaf = is_client ? ends.member : ends.client;
  const std::string frame = is_client ? masked_close(1000) : close_frame(1000);
  closing.send(frame);
  CHECK(bench.run_until_received(deaf, frame));
  for (int second = 0; second < 4; ++second) {
    deaf.send(is_client ? text_frame("I do not listen") : masked_text("I do not listen"));
    bench.advance(1s);
  }
  CHECK_FALSE(bench.has_ended());
  bench.advance(1500ms);
  CHECK(bench.reason() == (is_client ? EndReason::client_close : EndReason::member_close));
  CHECK(bench.summary().closer == (is_client ? Closer::client : Closer::member));
}

TEST_CASE("a lifetime with jitter is shorter, never longer", "[relay][life]") {
  Bench bench;
  Ends ends = bench.start(plan_with([](TunnelSettings& s) {
    s.times.lifetime = 100s;
    s.times.lifetime_jitter = 50;
  }));
  bench.advance(49900ms);
  CHECK(last_close(ends.client).code() == 0);
  bench.advance(50200ms);
  CHECK(last_close(ends.client).code() == 1001);
}

}  // namespace
}  // namespace wsbalance::relay
