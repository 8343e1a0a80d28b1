// relay_cost.cpp - sends messages through one tunnel of a relay loop, for scripts/figures to count
// the instructions of RelayLoop::turn() with callgrind.
//
// One message at a time, each in a turn of its own: nothing is saved by reading several at once. The
// far ends are here too, outside of what is counted. The clock is moved by hand, a millisecond for
// each message, so that a run is the same each time; reading the clock is not counted. Prints what turn() took of the CPU's time, too.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <utility>

#include "unit/relay/bench.h"
#include "unit/relay/tls_peer.h"

namespace wsbalance::relay {
namespace {

// Of the CPU, with the kernel's part.
double thread_ns() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

constexpr char kUsage[] =
    "relay_cost MESSAGES (at most 20000) [off|lenient|strict] [pings] [timers] [rates] [tls] "
    "[member]\n"
    "    off, lenient, strict: WSBalanceFrames of both sides, off if not said\n"
    "    tls: of the client; member: messages come from the member, not from the client\n";

// Those that are on do nothing: no limit is reached, and no deadline comes before 30,000 messages.
bool apply(const std::string& word, TunnelSettings& settings) {
  using protocol::Strictness;
  if (word == "off" || word == "lenient" || word == "strict") {
    for (auto& rules : settings.frames) {
      rules.strictness = word == "off"       ? Strictness::off
                         : word == "lenient" ? Strictness::lenient
                                             : Strictness::strict;
    }
  } else if (word == "pings") {
    settings.times.ping_interval.fill(std::chrono::seconds(30));
  } else if (word == "timers") {
    settings.times.idle = std::chrono::hours(1);
    settings.times.data_idle = std::chrono::hours(1);
    settings.times.lifetime = std::chrono::hours(24);
  } else if (word == "rates") {
    settings.message_rate = {.per_second = 1'000'000, .burst = 1'000'000};
    settings.byte_rate = {.per_second = 2'000'000'000, .burst = 2'000'000'000};
  } else {
    return false;
  }
  return true;
}

int run(int argc, char** argv) {
  const unsigned long messages = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 0;
  TunnelSettings settings = settings_with(protocol::Strictness::off);
  bool has_tls = false, is_from_member = false, is_usage_right = messages > 0 && messages <= 20'000;
  for (int i = 2; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "tls") {
      has_tls = true;
    } else if (word == "member") {
      is_from_member = true;
    } else {
      is_usage_right = is_usage_right && apply(word, settings);
    }
  }
  if (!is_usage_right) {
    std::fputs(kUsage, stderr);
    return 2;
  }

  Bench bench;
  TunnelPlan plan = tcp_plan();
  plan.settings = settings;
  const auto far_client = [&] {
    if (!has_tls) return TlsPeer(std::move(plan.client.far));
    TlsPair pair = make_tls_pair(std::move(plan.client.far), {.peer = TlsRole::client});
    plan.client_tls = pair.make_stream();
    return std::move(pair.peer);
  };
  TlsPeer client = far_client();
  TlsPeer member(std::move(plan.member.far));
  bench.start(std::move(plan));

  const std::string payload(125, 'x');
  const std::string frame = is_from_member ? text_frame(payload) : masked_text(payload);
  TlsPeer& sender = is_from_member ? member : client;
  TlsPeer& receiver = is_from_member ? client : member;
  std::size_t expected = 0;
  double ns = 0;
  for (unsigned long i = 0; i < messages; ++i) {
    bench.time.advance(std::chrono::milliseconds(1));
    sender.say(frame);
    expected += frame.size();
    while (receiver.received().size() < expected && !bench.has_ended()) {
      const double before = thread_ns();
      bench.loop.turn(std::chrono::milliseconds(1000));
      ns += thread_ns() - before;
      receiver.take();
    }
  }
  std::printf("messages=%lu bytes=%zu ns_per_message=%.0f\n", messages, receiver.received().size(),
              ns / static_cast<double>(messages));
  return bench.has_ended() || receiver.received().size() != expected ? 1 : 0;
}

}  // namespace
}  // namespace wsbalance::relay

int main(int argc, char** argv) { return wsbalance::relay::run(argc, argv); }
