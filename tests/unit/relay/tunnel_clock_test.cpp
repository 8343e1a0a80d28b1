#include "relay/tunnel_clock.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <random>

#include "support/catch.h"

namespace wsbalance::relay {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using Due = TunnelClock::Due;

constexpr auto kTick = Clock::duration(1);
constexpr auto kNever = Clock::time_point::max();

const Clock::time_point kStart(1234567s);

// A clock with the times that it is asked with.
struct Watched {
  explicit Watched(const TunnelTimes& its_times, std::uint16_t jitter = 0,
                   Clock::time_point now = kStart)
      : times(its_times) {
    clock.begin(times, jitter, now);
  }

  Due due(Clock::duration after) const { return clock.due(times, kStart + after); }

  // After the start; Clock::duration::max() for never.
  Clock::duration next(Clock::duration after) const {
    const Clock::time_point next = clock.next(times, kStart + after);
    return next == kNever ? Clock::duration::max() : next - kStart;
  }

  // `what` comes at exactly `after`, nothing before it.
  void check_comes(Due what, Clock::duration after) const {
    CHECK(due(after - kTick) == Due::nothing);
    CHECK(next(after - kTick) == after);
    CHECK(due(after) == what);
    CHECK(due(after + kTick) == what);
    CHECK(due(after + 24h) == what);
  }

  void heard(Side side, Clock::duration after) { clock.heard(side, kStart + after); }
  void heard_data(Clock::duration after) { clock.heard_data(kStart + after); }
  void pause(Side side, Clock::duration after) { clock.pause(side, kStart + after); }
  void resume(Side side, Clock::duration after) { clock.resume(side, kStart + after); }
  void pinged(Side side, Clock::duration after) { clock.pinged(side, kStart + after); }

  TunnelTimes times;
  TunnelClock clock;
};

constexpr auto kForever = Clock::duration::max();

TunnelTimes pings_of(Side side, milliseconds interval) {
  TunnelTimes times;
  times.ping_interval[static_cast<std::size_t>(side)] = interval;
  return times;
}

Due ping_of(Side side) { return side == Side::client ? Due::ping_client : Due::ping_member; }
Due silence_of(Side side) { return side == Side::client ? Due::client_silent : Due::member_silent; }

Side any_side() { return GENERATE(Side::client, Side::member); }

TEST_CASE("clock: timers that are off never come", "[relay]") {
  Watched watched(TunnelTimes{});
  CHECK(watched.due(0s) == Due::nothing);
  CHECK(watched.due(24h * 365) == Due::nothing);
  CHECK(watched.next(0s) == kForever);

  watched.pause(Side::client, 1s);
  watched.resume(Side::client, 2h);
  CHECK(watched.due(24h * 365) == Due::nothing);
  CHECK(watched.next(3h) == kForever);
}

TEST_CASE("clock: without a ping timeout no side is ever dead", "[relay]") {
  TunnelTimes times = pings_of(Side::client, 5s);
  times.ping_timeout = 0ms;
  Watched watched(times);
  watched.pinged(Side::client, 5s);
  CHECK(watched.due(24h) == Due::nothing);
  CHECK(watched.next(5s) == kForever);
}

TEST_CASE("clock: idle comes when neither side was heard for that long", "[relay]") {
  Watched watched({.idle = 10s});
  watched.check_comes(Due::idle, 10s);

  const Side side = any_side();
  watched.heard(side, 7s);
  watched.check_comes(Due::idle, 17s);
  watched.heard(other(side), 8s);
  watched.check_comes(Due::idle, 18s);
  watched.heard(side, 9s);
  watched.check_comes(Due::idle, 19s);
}

TEST_CASE("clock: a ping that went out does not make a tunnel less idle", "[relay]") {
  TunnelTimes times = pings_of(Side::client, 6s);
  times.idle = 10s;
  Watched watched(times);
  watched.pinged(Side::client, 6s);
  CHECK(watched.due(10s - kTick) == Due::nothing);
  CHECK(watched.next(6s) == 10s);
  CHECK(watched.due(10s) == Due::idle);
}

TEST_CASE("clock: no idle end while a side is paused, however long", "[relay]") {
  const Side side = any_side();
  Watched watched({.idle = 10s});
  watched.pause(side, 4s);
  CHECK(watched.due(24h * 365) == Due::nothing);
  CHECK(watched.next(4s) == kForever);

  SECTION("the pause is not silence") {
    watched.resume(side, 24h);
    watched.check_comes(Due::idle, 24h + 6s);
  }
  SECTION("the other side's clock goes on, but the one that was paused is enough") {
    watched.heard(other(side), 5s);
    watched.resume(side, 1h);
    watched.check_comes(Due::idle, 1h + 6s);
  }
  SECTION("the side that is read is heard last") {
    watched.heard(other(side), 1h - 1s);
    watched.resume(side, 1h);
    watched.check_comes(Due::idle, 1h + 9s);
  }
}

TEST_CASE("clock: a side paused after the idle time still holds the end up", "[relay]") {
  Watched watched({.idle = 10s});
  watched.pause(Side::client, 12s);
  CHECK(watched.due(12s) == Due::nothing);
  CHECK(watched.due(1h) == Due::nothing);
  watched.resume(Side::client, 1h);
  CHECK(watched.due(1h) == Due::idle);
}

TEST_CASE("clock: data_idle comes without data, whatever else is heard", "[relay]") {
  Watched watched({.data_idle = 10s});
  watched.heard(Side::client, 8s);
  watched.heard(Side::member, 9s);
  watched.check_comes(Due::data_idle, 10s);
  watched.heard_data(9s);
  watched.check_comes(Due::data_idle, 19s);
}

TEST_CASE("clock: data_idle stands still while either side is paused", "[relay]") {
  const Side side = any_side();
  Watched watched({.data_idle = 10s});
  watched.pause(side, 4s);
  CHECK(watched.due(24h * 365) == Due::nothing);
  CHECK(watched.next(4s) == kForever);

  SECTION("no data meanwhile") {
    watched.resume(side, 24h);
    watched.check_comes(Due::data_idle, 24h + 6s);
  }
  SECTION("data from the side that is read: the time after it was paused too") {
    watched.heard_data(20s);
    watched.resume(side, 24h);
    watched.check_comes(Due::data_idle, 24h + 10s);
  }
}

TEST_CASE("clock: overlapping pauses count once for data_idle", "[relay]") {
  const Side side = any_side();
  Watched watched({.data_idle = 100s});
  watched.pause(side, 10s);

  SECTION("one after the other began") {
    watched.pause(other(side), 20s);
    watched.resume(side, 30s);
    CHECK(watched.due(24h) == Due::nothing);
    watched.resume(other(side), 40s);
    watched.check_comes(Due::data_idle, 130s);
  }
  SECTION("one within the other") {
    watched.pause(other(side), 20s);
    watched.resume(other(side), 30s);
    CHECK(watched.due(24h) == Due::nothing);
    watched.resume(side, 40s);
    watched.check_comes(Due::data_idle, 130s);
  }
  SECTION("both at once") {
    watched.pause(other(side), 10s);
    watched.resume(side, 40s);
    watched.resume(other(side), 40s);
    watched.check_comes(Due::data_idle, 130s);
  }
  SECTION("in turns, so that there is always one") {
    for (Clock::duration at = 10s; at < 1h; at += 10s) {
      watched.pause(other(side), at + 3s);
      watched.resume(side, at + 5s);
      watched.pause(side, at + 7s);
      watched.resume(other(side), at + 9s);
    }
    watched.resume(side, 1h);
    watched.check_comes(Due::data_idle, 1h + 90s);
  }
  SECTION("data while both are paused") {
    watched.pause(other(side), 20s);
    watched.heard_data(25s);
    watched.resume(side, 30s);
    watched.resume(other(side), 40s);
    watched.check_comes(Due::data_idle, 140s);
  }
}

TEST_CASE("clock: a ping comes when its side was silent, and stays due", "[relay]") {
  const Side side = any_side();
  Watched watched(pings_of(side, 5s));
  watched.check_comes(ping_of(side), 5s);
  CHECK(watched.clock.is_ping_due(side, watched.times, kStart + 5s));
  CHECK_FALSE(watched.clock.is_ping_due(side, watched.times, kStart + 5s - kTick));
  CHECK_FALSE(watched.clock.is_ping_due(other(side), watched.times, kStart + 24h));

  // What the other side says is no sign of life of this one; data as such is none either.
  watched.heard(other(side), 4s);
  watched.heard_data(4s);
  watched.check_comes(ping_of(side), 5s);

  watched.heard(side, 4s);
  watched.check_comes(ping_of(side), 9s);
}

TEST_CASE("clock: a ping that is due already is no reason to look again", "[relay]") {
  Watched watched(pings_of(Side::client, 5s));
  CHECK(watched.next(5s - kTick) == 5s);
  CHECK(watched.next(5s) == kForever);
  CHECK(watched.next(1h) == kForever);
}

TEST_CASE("clock: one ping at a time", "[relay]") {
  const Side side = any_side();
  Watched watched(pings_of(side, 5s));
  watched.pinged(side, 6s);
  CHECK(watched.due(6s) == Due::nothing);
  CHECK_FALSE(watched.clock.is_ping_due(side, watched.times, kStart + 15s));
  watched.check_comes(silence_of(side), 16s);
}

TEST_CASE("clock: any byte answers a ping, also a late one", "[relay]") {
  const Side side = any_side();
  Watched watched(pings_of(side, 5s));
  watched.pinged(side, 5s);

  SECTION("the other side's bytes do not") {
    watched.heard(other(side), 6s);
    watched.check_comes(silence_of(side), 15s);
  }
  SECTION("at the same moment") {
    watched.heard(side, 5s);
    watched.check_comes(ping_of(side), 10s);
  }
  SECTION("just before it is too late") {
    watched.heard(side, 15s - kTick);
    CHECK(watched.due(15s) == Due::nothing);
    watched.check_comes(ping_of(side), 20s - kTick);
  }
  SECTION("after that, but before anybody looked") {
    watched.heard(side, 17s);
    CHECK(watched.due(17s) == Due::nothing);
    watched.check_comes(ping_of(side), 22s);
  }
}

TEST_CASE("clock: a second ping gives a silent side no more time", "[relay]") {
  const Side side = any_side();
  Watched watched(pings_of(side, 5s));
  watched.pinged(side, 5s);
  watched.pinged(side, 12s);
  watched.check_comes(silence_of(side), 15s);
}

TEST_CASE("clock: an answer can bring the next ping before the timeout of the last", "[relay]") {
  Watched watched(pings_of(Side::member, 2s));
  watched.pinged(Side::member, 2s);
  CHECK(watched.next(2s) == 12s);
  watched.heard(Side::member, 3s);
  CHECK(watched.next(3s) == 5s);
}

TEST_CASE("clock: a paused side is neither pinged nor dead", "[relay]") {
  const Side side = any_side();
  Watched watched(pings_of(side, 5s));

  SECTION("its silence goes on where it stood") {
    watched.pause(side, 3s);
    CHECK(watched.due(24h) == Due::nothing);
    CHECK(watched.next(3s) == kForever);
    watched.resume(side, 24h);
    watched.check_comes(ping_of(side), 24h + 2s);
  }
  SECTION("a ping that was due is due again afterwards") {
    watched.pause(side, 6s);
    CHECK(watched.due(6s) == Due::nothing);
    watched.resume(side, 24h);
    CHECK(watched.due(24h) == ping_of(side));
  }
  SECTION("so does the time for an answer") {
    watched.pinged(side, 5s);
    watched.pause(side, 9s);
    CHECK(watched.due(24h) == Due::nothing);
    CHECK(watched.next(9s) == kForever);
    watched.resume(side, 24h);
    watched.check_comes(silence_of(side), 24h + 6s);
  }
  SECTION("pauses of the other side are nothing to it") {
    watched.pause(other(side), 1s);
    watched.check_comes(ping_of(side), 5s);
    watched.pinged(side, 5s);
    watched.check_comes(silence_of(side), 15s);
    watched.resume(other(side), 12s);
    watched.check_comes(silence_of(side), 15s);
  }
}

TEST_CASE("clock: what is heard or pinged in a pause counts from its end", "[relay]") {
  const Side side = any_side();
  TunnelTimes times = pings_of(side, 5s);
  Watched watched(times);
  watched.pause(side, 3s);

  SECTION("bytes that were read before") {
    watched.heard(side, 10s);
    watched.resume(side, 1h);
    watched.check_comes(ping_of(side), 1h + 5s);
  }
  SECTION("a ping") {
    watched.pinged(side, 10s);
    watched.resume(side, 1h);
    watched.check_comes(silence_of(side), 1h + 10s);
  }
  SECTION("an answer") {
    watched.pinged(side, 10s);
    watched.heard(side, 20s);
    watched.resume(side, 1h);
    watched.check_comes(ping_of(side), 1h + 5s);
  }
}

TEST_CASE("clock: repeated pauses add up, repeated calls change nothing", "[relay]") {
  const Side side = any_side();
  TunnelTimes times = pings_of(side, 60s);
  times.data_idle = 61s;
  times.idle = 62s;
  Watched watched(times);

  // Of each second it is read for 100 ms.
  for (Clock::duration at = 0s; at < 500s; at += 1s) {
    watched.pause(side, at + 100ms);
    watched.pause(side, at + 300ms);
    watched.resume(side, at + 1s);
    watched.resume(side, at + 1s + 50ms);
  }
  CHECK(watched.due(500s) == Due::nothing);
  CHECK(watched.next(500s) == 510s);
  CHECK(watched.due(510s - kTick) == Due::nothing);
  CHECK(watched.due(510s) == ping_of(side));
  CHECK(watched.due(511s) == Due::data_idle);
  watched.heard_data(511s);
  // The other side was silent all the time: the paused one was heard later.
  CHECK(watched.due(512s - kTick) == ping_of(side));
  CHECK(watched.due(512s) == Due::idle);
}

TEST_CASE("clock: a pause without length changes nothing", "[relay]") {
  TunnelTimes times = pings_of(Side::client, 5s);
  Watched watched(times);
  watched.pause(Side::client, 3s);
  watched.resume(Side::client, 3s);
  watched.check_comes(Due::ping_client, 5s);
}

TEST_CASE("clock: a resume that comes first changes nothing", "[relay]") {
  Watched watched({.idle = 10s});
  watched.resume(Side::client, 3s);
  watched.check_comes(Due::idle, 10s);
}

TEST_CASE("clock: the lifetime ends whatever happens", "[relay]") {
  Watched watched({.lifetime = 1h});
  watched.pause(Side::client, 1s);
  watched.pause(Side::member, 2s);
  watched.resume(Side::member, 30min);
  watched.heard(Side::member, 1h - 1s);
  watched.heard_data(1h - 1s);
  watched.check_comes(Due::lifetime, 1h);
}

TEST_CASE("clock: jitter takes off up to its share of the lifetime", "[relay]") {
  const auto lifetime_of = [](milliseconds lifetime, std::uint8_t percent, std::uint16_t jitter) {
    return Watched({.lifetime = lifetime, .lifetime_jitter = percent}, jitter).next(-1s);
  };
  CHECK(lifetime_of(1000s, 10, 0) == 1000s);
  CHECK(lifetime_of(1000s, 10, 65535) == 900s);
  CHECK(lifetime_of(1000s, 10, 13107) == 980s);
  CHECK(lifetime_of(1000s, 0, 65535) == 1000s);
  CHECK(lifetime_of(1000s, 100, 13107) == 800s);
  CHECK(lifetime_of(1ms, 50, 65534) == 1ms);
  // More than all is all, and nothing left is not "off".
  CHECK(lifetime_of(1000s, 100, 65535) == 0s);
  CHECK(lifetime_of(1000s, 255, 65535) == 0s);
  // A product of the two would not fit.
  CHECK(lifetime_of(24h * 365 * 100, 10, 65535) == 24h * 365 * 90);

  std::mt19937_64 random(7);
  for (int i = 0; i < 1000; ++i) {
    const auto lifetime = milliseconds(random() % 1'000'000'000 + 1);
    const auto percent = static_cast<std::uint8_t>(random() % 101);
    const auto jitter = static_cast<std::uint16_t>(random());
    const double all = static_cast<double>(lifetime.count());
    const double left = all - all * percent / 100 * jitter / 65535;
    const std::chrono::duration<double, std::milli> got = lifetime_of(lifetime, percent, jitter);
    CAPTURE(all, int{percent}, jitter);
    REQUIRE(std::abs(got.count() - left) <= 1.001);
  }
}

TEST_CASE("clock: a new begin forgets everything", "[relay]") {
  TunnelTimes times = pings_of(Side::client, 5s);
  times.lifetime = 1h;
  Watched watched(times);
  watched.pinged(Side::client, 5s);
  watched.pause(Side::client, 6s);
  watched.times.lifetime = 0ms;
  watched.clock.begin(watched.times, 0, kStart + 2h);
  watched.check_comes(Due::ping_client, 2h + 5s);
}

TEST_CASE("clock: the most urgent comes first, an end before a ping", "[relay]") {
  TunnelTimes times;
  times.ping_interval = {5s, 5s};
  times.idle = times.data_idle = times.lifetime = 5s;
  Watched watched(times);
  watched.pinged(Side::client, 1s);
  watched.pinged(Side::member, 1s);

  CHECK(watched.due(5s) == Due::lifetime);
  CHECK(watched.due(1h) == Due::client_silent);
  watched.heard(Side::client, 1h);
  CHECK(watched.due(1h) == Due::member_silent);
  watched.heard(Side::member, 1h);
  CHECK(watched.due(1h + 5s) == Due::lifetime);

  watched.times.lifetime = 0ms;
  watched.clock.begin(watched.times, 0, kStart);
  CHECK(watched.due(5s) == Due::data_idle);
  watched.heard_data(1s);
  CHECK(watched.due(5s) == Due::idle);
  watched.times.idle = 0ms;
  CHECK(watched.due(5s) == Due::ping_client);
  watched.pinged(Side::client, 5s);
  CHECK(watched.due(5s) == Due::ping_member);
}

TEST_CASE("clock: both sides at once, each with its own interval", "[relay]") {
  TunnelTimes times;
  times.ping_interval = {5s, 7s};
  Watched watched(times);
  CHECK(watched.next(0s) == 5s);
  CHECK(watched.due(5s) == Due::ping_client);
  CHECK(watched.next(5s) == 7s);

  SECTION("a ping that cannot be sent hides the other one only from due()") {
    CHECK(watched.due(7s) == Due::ping_client);
    CHECK(watched.clock.is_ping_due(Side::member, watched.times, kStart + 7s));
    watched.pinged(Side::member, 7s);
    CHECK(watched.next(7s) == 17s);
    CHECK(watched.due(17s) == Due::member_silent);
  }
  SECTION("each answers for itself") {
    watched.pinged(Side::client, 5s);
    CHECK(watched.due(5s) == Due::nothing);
    CHECK(watched.due(7s) == Due::ping_member);
    watched.pinged(Side::member, 7s);
    CHECK(watched.next(7s) == 15s);
    watched.heard(Side::client, 8s);
    CHECK(watched.next(8s) == 13s);
    CHECK(watched.due(13s) == Due::ping_client);
    CHECK(watched.next(13s) == 17s);
    CHECK(watched.due(17s) == Due::member_silent);
  }
}

TEST_CASE("clock: times without end do not overflow", "[relay]") {
  constexpr auto kHuge = milliseconds::max();
  TunnelTimes times;
  times.idle = times.data_idle = times.ping_timeout = times.lifetime = kHuge;
  times.ping_interval = {kHuge, kHuge};
  times.lifetime_jitter = GENERATE(std::uint8_t{0}, std::uint8_t{1});
  Watched watched(times, 65535);
  watched.pinged(Side::client, 1s);
  CHECK(watched.next(0s) == kForever);
  CHECK(watched.due(24h * 365 * 200) == Due::nothing);
  CHECK(watched.clock.due(times, kNever) == Due::nothing);
  CHECK(watched.clock.next(times, kNever) == kNever);
  CHECK(watched.clock.due(times, Clock::time_point::min()) == Due::nothing);
  CHECK(watched.clock.next(times, Clock::time_point::min()) == kNever);
}

TEST_CASE("clock: the longest that a time can say still counts", "[relay]") {
  // Some milliseconds before the end of time, and just beyond it.
  const auto left = std::chrono::floor<milliseconds>(kNever - kStart);
  Watched fits({.idle = left - 1ms});
  CHECK(fits.next(0s) == left - 1ms);
  CHECK(fits.due(left - 1ms) == Due::idle);
  Watched beyond({.idle = left + 1ms});
  CHECK(beyond.next(0s) == kForever);
  CHECK(beyond.due(1s) == Due::nothing);

  // Before the epoch of the clock.
  Watched early({.idle = 10s}, 0, Clock::time_point(-5s));
  CHECK(early.clock.next(early.times, Clock::time_point(-5s)) == Clock::time_point(5s));
}

// The same in single steps of a millisecond: each clock is a count of the steps it went.
class SlowClock {
 public:
  explicit SlowClock(const TunnelTimes& times) : times_(times) {}

  void step() {
    ++age_;
    for (SlowSide& side : sides_) {
      if (side.is_paused) continue;
      ++side.silent;
      if (side.waits) ++side.waited;
    }
    if (!sides_[0].is_paused && !sides_[1].is_paused) ++without_data_;
  }

  void heard(Side side) {
    of(side).silent = 0;
    of(side).waits = false;
  }
  void heard_data() { without_data_ = 0; }
  void set_paused(Side side, bool is_paused) { of(side).is_paused = is_paused; }
  void pinged(Side side) {
    if (of(side).waits) return;
    of(side).waits = true;
    of(side).waited = 0;
  }

  // By Due, whether it holds now.
  std::array<bool, 8> all_due() const {
    const bool is_any_paused = sides_[0].is_paused || sides_[1].is_paused;
    const auto is_over = [](milliseconds timer, int count) {
      return timer > 0ms && count >= timer.count();
    };
    std::array<bool, 8> all{};
    for (const Side side : {Side::client, Side::member}) {
      const SlowSide& slow = sides_[static_cast<std::size_t>(side)];
      if (slow.is_paused) continue;
      const milliseconds interval = times_.ping_interval[static_cast<std::size_t>(side)];
      all[index(ping_of(side))] = !slow.waits && is_over(interval, slow.silent);
      all[index(silence_of(side))] = slow.waits && is_over(times_.ping_timeout, slow.waited);
    }
    all[index(Due::lifetime)] = is_over(times_.lifetime, age_);
    if (is_any_paused) return all;
    all[index(Due::data_idle)] = is_over(times_.data_idle, without_data_);
    all[index(Due::idle)] = is_over(times_.idle, std::min(sides_[0].silent, sides_[1].silent));
    return all;
  }

  Due due() const {
    const auto all = all_due();
    for (const Due each : {Due::client_silent, Due::member_silent, Due::lifetime, Due::data_idle,
                           Due::idle, Due::ping_client, Due::ping_member}) {
      if (all[index(each)]) return each;
    }
    return Due::nothing;
  }

  // After how many steps something is due that is not due now; 0 for never.
  int next() const {
    const auto before = all_due();
    SlowClock ahead = *this;
    for (int steps = 1; steps <= 350; ++steps) {
      ahead.step();
      const auto after = ahead.all_due();
      for (std::size_t i = 0; i < after.size(); ++i) {
        if (after[i] && !before[i]) return steps;
      }
    }
    return 0;
  }

 private:
  struct SlowSide {
    bool is_paused = false;
    bool waits = false;
    int silent = 0;
    int waited = 0;
  };

  static std::size_t index(Due due) { return static_cast<std::size_t>(due); }
  SlowSide& of(Side side) { return sides_[static_cast<std::size_t>(side)]; }

  TunnelTimes times_;
  std::array<SlowSide, 2> sides_{};
  int without_data_ = 0;
  int age_ = 0;
};

TEST_CASE("clock: in whatever order things happen, it says what a count of steps says", "[relay]") {
  const auto seed = GENERATE(range(1u, 121u));
  std::mt19937 random(seed);
  const auto timer = [&random] { return milliseconds(random() % 5 == 0 ? 0 : random() % 40 + 1); };
  TunnelTimes times;
  times.idle = timer();
  times.data_idle = timer();
  times.ping_interval = {timer(), timer()};
  times.ping_timeout = timer();
  times.lifetime = timer() * 8;

  Watched watched(times);
  SlowClock slow(times);
  const auto calm = random() % 20 + 1;  // How many steps pass between two events, on average.
  for (int step = 0; step < 300; ++step) {
    const auto now = milliseconds(step);
    while (random() % calm == 0) {
      const Side side = random() % 2 == 0 ? Side::client : Side::member;
      switch (random() % 6) {
        case 0:
          watched.heard(side, now);
          slow.heard(side);
          if (random() % 2 == 0) break;
          [[fallthrough]];
        case 1:
          watched.heard_data(now);
          slow.heard_data();
          break;
        case 2:
          watched.pause(side, now);
          slow.set_paused(side, true);
          break;
        case 3:
        case 4:
          watched.resume(side, now);
          slow.set_paused(side, false);
          break;
        default:
          watched.pinged(side, now);
          slow.pinged(side);
      }
      if (calm == 1) break;
    }
    CAPTURE(seed, step);
    REQUIRE(watched.due(now) == slow.due());
    const auto all = slow.all_due();
    for (const Side side : {Side::client, Side::member}) {
      REQUIRE(watched.clock.is_ping_due(side, times, kStart + now) ==
              all[static_cast<std::size_t>(ping_of(side))]);
    }
    if (step % 4 == 0) {
      const int next = slow.next();
      REQUIRE(watched.next(now) == (next == 0 ? kForever : now + milliseconds(next)));
    }
    slow.step();
  }
}

}  // namespace
}  // namespace wsbalance::relay
