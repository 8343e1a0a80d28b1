// A relay that pauses and goes on, in one process. Nothing here waits for a time.

#include <pthread.h>

#include <condition_variable>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "support/catch.h"
#include "unit/relay/running_relay.h"

namespace wsbalance::relay {
namespace {

using namespace std::chrono_literals;

// Says `message` on one side; it comes out at the other.
bool passes(TlsPeer& from, TlsPeer& to, std::string_view message) {
  const std::string expected = to.received() + std::string(message);
  from.say(message);
  return wait_received(to, expected);
}

TEST_CASE("tunnels go on after a pause with what came meanwhile", "[relay][pause]") {
  const std::size_t descriptors = open_descriptors();
  {
    const TlsOn on = GENERATE(TlsOn{.client = false, .member = false}, TlsOn{});
    RunningRelay running(GENERATE(1u, 3u));
    std::vector<TlsEnds> all;
    for (int i = 0; i < 6; ++i) all.push_back(running.submit(on));
    for (TlsEnds& ends : all) REQUIRE(passes(ends.client, ends.member, "before "));

    for (int round = 0; round < 3; ++round) {
      REQUIRE(running.relay.pause(10s));
      CHECK(relay_threads() == 0);
      CHECK(running.relay.load() == 6);
      std::vector<std::string> to_member;
      std::vector<std::string> to_client;
      for (TlsEnds& ends : all) {
        ends.client.take();
        to_member.push_back(ends.member.received() + "during ");
        to_client.push_back(ends.client.received() + "back ");
        ends.client.say("during ");
        ends.member.say("back ");
        CHECK(unread_bytes(ends.member.fd()) == 0);
      }
      running.relay.start();
      for (std::size_t i = 0; i < all.size(); ++i) {
        CHECK(wait_received(all[i].member, to_member[i]));
        CHECK(wait_received(all[i].client, to_client[i]));
        CHECK(passes(all[i].client, all[i].member, "after "));
      }
    }
    CHECK(running.observer.ends == 0);
    for (TlsEnds& ends : all) {
      ends.client.end_writing();
      ends.member.end_writing();
    }
    CHECK(wait_until([&] { return running.relay.load() == 0; }));
    CHECK(running.observer.ends == 6);
  }
  CHECK(open_descriptors() == descriptors);
}

// Until `is_enough`. False: something was lost, damaged or out of order.
bool talk(TlsEnds& ends, const std::atomic<bool>& is_enough) {
  for (std::uint32_t round = 0; !is_enough; ++round) {
    const std::string message = pattern(100 + round % 7 * 3000, round);
    if (!passes(ends.client, ends.member, message)) return false;
    if (!passes(ends.member, ends.client, message)) return false;
    // Or to compare it would take longer and longer.
    if (ends.client.received().size() > 1'000'000) return true;
  }
  return true;
}

TEST_CASE("pauses lose nothing of the traffic and hold it up only", "[relay][pause]") {
  RunningRelay running(3);
  std::vector<TlsEnds> all;
  for (int i = 0; i < 4; ++i) {
    all.push_back(running.submit({.client = i % 2 == 0, .member = i % 2 == 0}));
  }
  std::atomic<bool> is_enough{false};
  std::atomic<int> failures{0};
  std::vector<std::thread> talkers;
  for (TlsEnds& ends : all) {
    talkers.emplace_back([&ends, &is_enough, &failures] {
      if (!talk(ends, is_enough)) ++failures;
    });
  }
  for (int round = 0; round < 30; ++round) {
    CHECK(running.relay.pause(10s));
    running.relay.start();
  }
  is_enough = true;
  for (auto& talker : talkers) talker.join();
  CHECK(failures == 0);
  CHECK(running.observer.ends == 0);
}

TEST_CASE("a tunnel that is submitted during a pause waits for its end", "[relay][pause]") {
  RunningRelay running(2);
  REQUIRE(running.relay.pause(10s));
  std::vector<Ends> all;
  std::thread submitter([&] {
    for (int i = 0; i < 4; ++i) {
      TunnelPlan plan;
      plan.from_client = "first ";
      all.push_back(running.submit(std::move(plan)));
    }
  });
  submitter.join();
  CHECK(running.relay.load() == 4);
  for (Ends& ends : all) {
    ends.client.send("second");
    CHECK(unread_bytes(ends.member.fd()) == 0);
  }
  running.relay.start();
  for (Ends& ends : all) CHECK(wait_received(ends.member, "first second"));
}

TEST_CASE("what waits for a slow side is kept over a pause", "[relay][pause]") {
  RunningRelay running(1);
  Ends ends = running.submit();
  const std::string data = pattern(4'000'000);
  std::size_t sent = 0;
  // Until the queue and the kernel's buffers hold all that they may.
  REQUIRE(wait_until([&] {
    const std::size_t before = sent;
    sent += ends.client.send(std::string_view(data).substr(sent));
    return sent == before && sent > 128 * 1024;
  }));
  REQUIRE(running.relay.pause(10s));
  ends.member.take(50'000);
  running.relay.start();
  REQUIRE(wait_until([&] {
    ends.member.take();
    sent += ends.client.send(std::string_view(data).substr(sent));
    return ends.member.received().size() == data.size();
  }));
  CHECK(is_same(ends.member.received(), data));
}

TEST_CASE("a paused relay stops and closes what it has", "[relay][pause]") {
  RunningRelay running(2);
  Ends carried = running.submit();
  carried.client.send("data");
  REQUIRE(wait_received(carried.member, "data"));
  REQUIRE(running.relay.pause(10s));
  Ends waiting = running.submit();
  CHECK(running.open_tunnels == 2);
  CHECK(running.relay.stop(0ms));
  CHECK(wait_end(carried.client));
  CHECK(wait_end(waiting.member));
  CHECK(running.open_tunnels == 0);
  CHECK(running.observer.ends == 0);
}

TEST_CASE("a relay that was never started can pause, and start after it", "[relay][pause]") {
  CountingObserver observer;
  std::atomic<std::uint32_t> open_tunnels{0};
  Relay relay({.threads = 2}, observer, open_tunnels);
  CHECK(relay.pause(0ms));
  for (int round = 0; round < 20; ++round) {  // The threads may not have begun to run.
    relay.start();
    REQUIRE(relay.pause(10s));
  }
  CHECK(relay.pause(0ms));
  CHECK(relay_threads() == 0);
  relay.start();
  CHECK(relay.stop(10s));
}

// Holds up the relay thread that reports an end.
struct BlockingObserver : TunnelObserver {
  void tunnel_ended(const TunnelSummary&, std::unique_ptr<TunnelContext>) noexcept override {
    std::unique_lock lock(mutex);
    ++blocked;
    changed.notify_all();
    changed.wait(lock, [this] { return is_free; });
  }
  void wait_blocked() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return blocked > 0; });
  }
  void set_free() {
    const std::lock_guard lock(mutex);
    is_free = true;
    changed.notify_all();
  }
  std::mutex mutex;
  std::condition_variable changed;
  int blocked = 0;
  bool is_free = false;
};

struct BlockedRelay {
  // One of its threads can be held up; two tunnels go on, one of each thread.
  BlockedRelay() {
    relay.start();
    for (Ends& ends : all) ends = submit();
    all[2].client.close();
    all[2].member.close();
    observer.wait_blocked();
  }
  ~BlockedRelay() {
    observer.set_free();
    relay.stop(10s);
  }
  Ends submit() {
    TunnelPlan plan;
    relay.submit(make_tunnel(plan));
    return {Peer(std::move(plan.client.far)), Peer(std::move(plan.member.far))};
  }
  void check_carried() {
    for (std::size_t i = 0; i < 2; ++i) {
      all[i].client.send("data");
      CHECK(wait_received(all[i].member, "data"));
    }
  }
  BlockingObserver observer;
  std::atomic<std::uint32_t> open_tunnels{0};
  Relay relay{{.threads = 2}, observer, open_tunnels};
  std::array<Ends, 3> all;
};

TEST_CASE("a thread that does not pause in time goes on after a start", "[relay][pause]") {
  BlockedRelay blocked;
  CHECK_FALSE(blocked.relay.pause(10ms));
  SECTION("it has not seen the pause") {
    blocked.relay.start();
    blocked.observer.set_free();
  }
  SECTION("it has ended meanwhile") {
    blocked.observer.set_free();
    REQUIRE(wait_until([] { return relay_threads() == 0; }));
    blocked.relay.start();
  }
  SECTION("it pauses in a second attempt") {
    blocked.observer.set_free();
    CHECK(blocked.relay.pause(10s));
    CHECK(relay_threads() == 0);
    blocked.relay.start();
  }
  blocked.check_carried();
}

TEST_CASE("a thread that does not pause in time can be stopped", "[relay][pause]") {
  BlockedRelay blocked;
  CHECK_FALSE(blocked.relay.pause(10ms));
  CHECK_FALSE(blocked.relay.stop(10ms));
  blocked.observer.set_free();
  CHECK(blocked.relay.stop(10s));
  CHECK(blocked.open_tunnels == 0);
  for (std::size_t i = 0; i < 2; ++i) CHECK(wait_end(blocked.all[i].client));
}

TEST_CASE("a stop finds threads that have paused but were not joined", "[relay][pause]") {
  BlockedRelay blocked;
  CHECK_FALSE(blocked.relay.pause(10ms));
  blocked.observer.set_free();
  REQUIRE(wait_until([] { return relay_threads() == 0; }));
  CHECK(blocked.relay.stop(10s));
  CHECK(blocked.open_tunnels == 0);
  for (std::size_t i = 0; i < 2; ++i) CHECK(wait_end(blocked.all[i].client));
}

// No thread can be made: there is no room for such a stack.
struct NoThreads {
  NoThreads() {
    ::pthread_getattr_default_np(&before);
    pthread_attr_t huge;
    ::pthread_attr_init(&huge);
    ::pthread_attr_setstacksize(&huge, std::size_t{1} << 46);
    ::pthread_setattr_default_np(&huge);
    ::pthread_attr_destroy(&huge);
  }
  ~NoThreads() {
    ::pthread_setattr_default_np(&before);
    ::pthread_attr_destroy(&before);
  }
  pthread_attr_t before;
};

TEST_CASE("where no thread can be made the tunnels stay paused", "[relay][pause]") {
  RunningRelay running(2);
  Ends ends = running.submit();
  ends.client.send("before ");
  REQUIRE(wait_received(ends.member, "before "));
  REQUIRE(running.relay.pause(10s));
  {
    const NoThreads none;
    CHECK_THROWS_AS(running.relay.start(), std::system_error);
  }
  CHECK(relay_threads() == 0);
  CHECK(running.relay.load() == 1);
  ends.client.send("after");
  CHECK(unread_bytes(ends.member.fd()) == 0);
  if (GENERATE(true, false)) {
    running.relay.start();
    CHECK(wait_received(ends.member, "before after"));
  } else {
    CHECK(running.relay.stop(0ms));
    CHECK(wait_end(ends.client));
  }
}

}  // namespace
}  // namespace wsbalance::relay
