// As tunnel_life_flow_test.cpp, with TLS: more can be there to read than a read may take.

#include <algorithm>
#include <chrono>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.h"
#include "unit/relay/frames.h"
#include "unit/relay/random_flow.h"
#include "unit/relay/tls_tunnel_bench.h"

namespace wsbalance::relay {
namespace {

using namespace std::chrono_literals;

TEST_CASE("a close of ours follows the frame that passes, whatever its TLS record brings more",
          "[relay][tls][life]") {
  const bool ends_there = GENERATE(false, true);
  Bench bench;
  TunnelPlan plan;
  plan.settings = {};
  plan.settings.times.lifetime = 10s;
  TlsEnds ends = start_tls(bench, any_tls(), std::move(plan));
  const std::string frame = text_frame("a frame in two parts");
  ends.member.say(std::string_view(frame).substr(0, 8));
  CHECK(bench.run_until_quiet());
  bench.advance(10100ms);
  const std::string half = text_frame("nobody gets it").substr(0, 8);
  ends.member.encrypt(frame.substr(8) + (ends_there ? "" : half));
  if (ends_there) {
    ends.member.end_writing();
  } else {
    ends.member.send();
  }
  CHECK(bench.run_until_quiet());
  if (!ends_there) ends.member.say("more of it");
  CHECK(bench.run_until_quiet());
  ends.client.take();
  const auto frames = frames_of(ends.client.received());
  REQUIRE(frames.size() == 2);
  CHECK(frames[0].payload == "a frame in two parts");
  CHECK(frames[1].code() == 1001);
  bench.advance(6s);
  CHECK(bench.reason() == EndReason::lifetime);
  CHECK(bench.budget.bytes_held() == 0);
}

// What a side does once it has got a close frame.
enum class Manner : std::uint8_t {
  answers,  // Behind the frame that it is sending.
  goes_on,  // With its frames.
  stops,    // Wherever it is. It ends its stream or not.
  deaf,     // It has stopped to read long before.
};

// Some of what a WebSocket can be sent, each in one piece or in fragments.
std::vector<std::string> random_frames(std::minstd_rand& random, bool is_client) {
  std::vector<std::string> frames;
  const auto add = [&](std::uint8_t first, std::size_t size) {
    const std::string payload = pattern(size, static_cast<std::uint32_t>(random()));
    frames.push_back(is_client ? masked_frame(first, payload) : make_frame(first, payload));
  };
  for (auto count = random() % 150; count > 0; --count) {
    switch (random() % 12) {
      case 0:
        add(0x82, random() % 70'000);
        break;
      case 1:
        add(0x01, random() % 300);
        add(0x8a, 8);  // As long as the pongs to our pings.
        add(0x00, random() % 3);
        add(0x80, random() % 3000);
        break;
      case 2:
        add(0x89, random() % 7);
        break;
      default:
        add(0x81, random() % 130);
    }
  }
  return frames;
}

struct LifePlayer {
  TlsPeer peer;
  bool is_client;
  Manner manner;
  std::vector<std::string> frames;
  std::size_t next = 0;   // Of the frames.
  std::string passing{};  // What is still to be sent of the frame that passes.
  std::vector<std::string> pongs{};
  std::size_t parsed = 0;  // Of what was received.
  std::string got{};       // The other side's frames.
  std::size_t pings = 0;
  std::size_t closes = 0;
  bool is_wrong = false;  // Something came behind a close frame, or masked in the wrong way.
  bool has_answered = false;
  bool has_ended = false;

  std::string planned() const {
    std::string all;
    for (const std::string& frame : frames) all += frame;
    return all;
  }
  bool has_sent_all() { return next == frames.size() && passing.empty() && peer.outbox().empty(); }

  void play(std::minstd_rand& random) {
    if (random() % 3 == 0 && (manner != Manner::deaf || parsed < 500)) {
      peer.take(random() % 30'000 + 1);
      parse();
    }
    if (random() % 2 == 0) say(random() % 8 == 0 ? random() % 40'000 : random() % 20, random);
    peer.send(random() % 2 == 0 ? SIZE_MAX : random() % 5000 + 1);
  }

  void say(std::size_t bytes, std::minstd_rand& random) {
    std::string said;
    while (said.size() < bytes && begin_frame(random)) {
      const std::size_t part = std::min(bytes - said.size(), passing.size());
      said += passing.substr(0, part);
      passing.erase(0, part);
    }
    if (!said.empty()) peer.encrypt(said, random() % 16'000 + 200);
  }

  bool begin_frame(std::minstd_rand& random) {
    if (closes > 0 && manner == Manner::stops) {
      if (!has_ended && peer.outbox().empty() && random() % 8 == 0) peer.end_writing();
      has_ended = has_ended || peer.outbox().empty();
      return false;
    }
    if (!passing.empty()) return true;
    if (has_answered) return false;
    if (closes > 0 && manner == Manner::answers) {
      passing = is_client ? masked_close(1001) : close_frame(1001);
      has_answered = true;
    } else if (!pongs.empty()) {
      passing = is_client ? masked_frame(0x8a, pongs.back()) : make_frame(0x8a, pongs.back());
      pongs.pop_back();
    } else if (next < frames.size()) {
      passing = frames[next++];
    }
    return !passing.empty();
  }

  void parse() {
    for (;;) {
      const auto rest = std::string_view(peer.received()).substr(parsed);
      const std::size_t size = frame_size(rest);
      if (size == 0 || size > rest.size()) {
        is_wrong = is_wrong || (closes > 0 && !rest.empty());
        return;
      }
      const auto raw = rest.substr(0, size);
      parsed += size;
      is_wrong = is_wrong || closes > 0 || is_masked(raw) == is_client;
      const bool is_control = (static_cast<std::uint8_t>(raw[0]) & 0x08) != 0;
      const Frame frame = is_control ? frames_of(raw).front() : Frame{};
      if (frame.is_close()) {
        ++closes;
      } else if (frame.is_ping() && frame.payload.size() == 8) {
        ++pings;
        pongs.push_back(frame.payload);
      } else {
        got += raw;
      }
    }
  }

  static bool is_masked(std::string_view frame) { return (frame[1] & 0x80) != 0; }

  // 0: its header is not there.
  static std::size_t frame_size(std::string_view bytes) {
    if (bytes.size() < 14 && (bytes.size() < 2 || (bytes[1] & 0x7f) > 125)) {
      if (bytes.size() < 4 || (bytes[1] & 0x7f) != 126) return 0;
    }
    std::size_t size = bytes[1] & 0x7f;
    std::size_t header = 2;
    if (size > 125) {
      const std::size_t length_bytes = size == 126 ? 2 : 8;
      size = 0;
      for (std::size_t i = 0; i < length_bytes; ++i) {
        size = size << 8 | static_cast<std::uint8_t>(bytes[2 + i]);
      }
      header += length_bytes;
    }
    return header + (is_masked(bytes) ? 4 : 0) + size;
  }
};

Match<LifePlayer> start_life(Bench& bench, std::minstd_rand& random,
                             std::chrono::milliseconds life) {
  TunnelPlan plan = random_plan(random);
  // TCP has timers in real time, which a close timeout in fake time does not wait for.
  if (life > 0ms) {
    plan.client = make_unix_pair();
    plan.member = make_unix_pair();
    if (random() % 2 == 0) set_send_buffer(plan.member.near.get(), 4096);
  }
  if (random() % 2 == 0) plan.settings.buffer_bytes_max = random() % 300 + 60;
  if (random() % 2 == 0) set_send_buffer(plan.client.near.get(), 4096);
  plan.settings.frames = TunnelSettings{}.frames;
  if (random() % 2 == 0) {
    plan.settings.frames[1].strictness = protocol::Strictness::strict;
  }
  plan.settings.times.ping_interval = {3ms, 3ms};
  plan.settings.times.ping_timeout = 1h;
  plan.settings.times.lifetime = life;
  if (random() % 4 == 0) plan.settings.message_rate = {.per_second = 1000, .burst = 50};
  const TlsOn on{.client = random() % 2 == 0,
                 .member = random() % 2 == 0,
                 .version = random() % 2 == 0 ? TLS1_3_VERSION : TLS1_2_VERSION};
  auto from_client = random_frames(random, true);
  auto from_member = random_frames(random, false);
  const auto manner = [&] { return life == 0ms ? Manner::answers : Manner(random() % 4); };
  TlsEnds ends = start_tls(bench, on, std::move(plan));
  return {{std::move(ends.client), true, manner(), std::move(from_client)},
          {std::move(ends.member), false, manner(), std::move(from_member)}};
}

// A control frame of ours for each side is kept whatever the budget says.
constexpr std::size_t kOwnFrames = 40;

template <typename Reached>
bool play_until(Bench& bench, Match<LifePlayer>& match, std::minstd_rand& random,
                Reached&& reached) {
  const std::size_t held_max = bench.budget.bytes_max() + kOwnFrames;
  for (int step = 0; step < 60'000; ++step) {
    match.client.play(random);
    match.member.play(random);
    bench.time.advance(1ms);
    bench.loop.turn(0ms);
    if (bench.budget.bytes_held() > held_max) FAIL_CHECK(bench.budget.bytes_held());
    if (random() % 2048 == 0 && !bench.run_until_quiet()) FAIL_CHECK("events without end");
    if (reached()) return true;
  }
  return false;
}

TEST_CASE("frames pass whole and in order with pings of ours between them", "[relay][tls][life]") {
  const unsigned seed = GENERATE(range(1u, 20u));
  const std::size_t budget = GENERATE(0u, 40'000u, 10'000'000u);
  CAPTURE(seed, budget);
  std::minstd_rand random(seed);
  Bench bench(budget);
  auto match = start_life(bench, random, 0ms);
  LifePlayer& client = match.client;
  LifePlayer& member = match.member;
  const std::string from_client = client.planned();
  const std::string from_member = member.planned();
  CHECK(play_until(bench, match, random, [&] {
    return bench.has_ended() ||
           (member.got.size() >= from_client.size() && client.got.size() >= from_member.size() &&
            client.has_sent_all() && member.has_sent_all());
  }));
  CHECK_FALSE(bench.has_ended());
  CHECK(is_same(member.got, from_client));
  CHECK(is_same(client.got, from_member));
  CHECK_FALSE(client.is_wrong);
  CHECK_FALSE(member.is_wrong);
  client.peer.close();
  member.peer.close();
  CHECK(bench.run_until([&] { return bench.has_ended(); }));
  CHECK(bench.budget.bytes_held() == 0);
}

// `source` sent what `reader` has got, and the tunnel has ended.
void check_closed(LifePlayer& reader, const LifePlayer& source) {
  if (reader.manner != Manner::deaf) reader.peer.take();
  reader.parse();
  const std::string planned = source.planned();
  CHECK(is_same(reader.got, std::string_view(planned).substr(0, reader.got.size())));
  CHECK(reader.closes <= 1);
  CHECK_FALSE(reader.is_wrong);
  CHECK_FALSE(reader.peer.has_failed());
  const bool is_heard = reader.manner == Manner::answers || reader.manner == Manner::stops;
  if (is_heard && source.manner != Manner::stops) CHECK(reader.closes == 1);
}

TEST_CASE("whenever a tunnel is closed, whole frames and one close frame come of it",
          "[relay][tls][life]") {
  const unsigned seed = GENERATE(range(1u, 60u));
  const std::size_t budget = GENERATE(0u, 40'000u, 10'000'000u);
  CAPTURE(seed, budget);
  std::minstd_rand random(seed);
  Bench bench(budget);
  const std::chrono::milliseconds life(random() % 300 + 100);
  const auto began = bench.time.now();
  auto match = start_life(bench, random, life);
  CHECK(play_until(bench, match, random, [&] { return bench.has_ended(); }));
  CHECK(bench.reason() == EndReason::lifetime);
  CHECK(bench.time.now() - began < life + 15s);
  CHECK(bench.budget.bytes_held() == 0);
  CAPTURE(static_cast<int>(match.client.manner), static_cast<int>(match.member.manner));
  check_closed(match.client, match.member);
  check_closed(match.member, match.client);
}

}  // namespace
}  // namespace wsbalance::relay
