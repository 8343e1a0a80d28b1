// Tunnels that move into a forked process. This one keeps the far ends.

#include <signal.h>
#include <sys/wait.h>

#include <string>
#include <vector>

#include "support/catch.h"
#include "unit/relay/running_relay.h"

namespace wsbalance::relay {
namespace {

using namespace std::chrono_literals;

constexpr TlsOn kPlain{.client = false, .member = false};

// A relay whose tunnels go on in another process.
struct MovingRelay {
  explicit MovingRelay(unsigned threads) : running(std::make_unique<RunningRelay>(threads)) {}
  ~MovingRelay() {
    if (forked <= 0) return;
    ::kill(forked, SIGKILL);
    ::waitpid(forked, nullptr, 0);
  }

  void submit(TlsOn on, TunnelPlan plan = {}) {
    all.push_back(running->submit(on, std::move(plan)));
  }

  // The relay is paused. Calls `carry` in the other process, which then goes on until its tunnels
  // have ended.
  template <typename Carry>
  void fork(Carry&& carry) {
    forked = ::fork();
    REQUIRE(forked >= 0);
    if (forked > 0) return running->relay.abandon();
    for (TlsEnds& ends : all) {
      ends.client.close();
      ends.member.close();
    }
    running->relay.start();
    carry();
    wait_until([&] { return running->relay.load() == 0; });
    const auto tunnels = static_cast<int>(all.size());
    ::_exit(running->observer.ends == tunnels && running->open_tunnels == 0 ? 0 : 1);
  }
  void fork() {
    fork([] {});
  }

  // Waits for the other process, and whether all tunnels have ended there as they should.
  bool has_carried_all() {
    int status = -1;
    ::waitpid(std::exchange(forked, 0), &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }

  std::unique_ptr<RunningRelay> running;
  std::vector<TlsEnds> all;
  pid_t forked = 0;
};

// Both sides say `message`; returns whether it came out behind `before`.
bool both_pass(TlsEnds& ends, const std::string& before, std::string_view message) {
  ends.client.say(message);
  ends.member.say(message);
  const std::string expected = before + std::string(message);
  return wait_received(ends.member, expected) && wait_received(ends.client, expected);
}

bool all_pass(MovingRelay& moving, const std::string& before, std::string_view message) {
  bool all = true;
  for (TlsEnds& ends : moving.all) all = both_pass(ends, before, message) && all;
  return all;
}

TEST_CASE("tunnels go on in a forked process", "[relay][fork]") {
  const std::size_t descriptors = open_descriptors();
  {
    MovingRelay moving(GENERATE(1u, 3u));
    for (int i = 0; i < 2; ++i) {
      moving.submit(kPlain);
      moving.submit({.client = true, .member = false});
      moving.submit({});
      moving.submit({.version = TLS1_2_VERSION});
    }
    REQUIRE(all_pass(moving, "", "before "));
    REQUIRE(moving.running->relay.pause(10s));
    for (TlsEnds& ends : moving.all) ends.client.say("during ");
    moving.fork();
    for (TlsEnds& ends : moving.all) {
      CHECK(wait_received(ends.member, "before during "));
      ends.member.say("during ");
      CHECK(wait_received(ends.client, "before during "));
    }
    CHECK(all_pass(moving, "before during ", "after "));

    // Whatever the process that is left still does.
    Relay& relay = moving.running->relay;
    CHECK(open_descriptors() == descriptors + 2 * moving.all.size());  // The far ends.
    CHECK(relay.load() == 0);
    CHECK(moving.running->open_tunnels == moving.all.size());
    relay.close_tunnels(EndReason::shutdown, 0ms, 0ms);
    Ends late = moving.running->submit();
    CHECK(wait_end(late.client));
    CHECK(relay.pause(0ms));
    CHECK(relay.stop(10s));
    CHECK(relay.stop(10s));
    moving.running.reset();
    CHECK(all_pass(moving, "before during after ", "at last"));

    for (TlsEnds& ends : moving.all) {
      ends.client.end_writing();
      CHECK(wait_end(ends.member));
      ends.member.end_writing();
      CHECK(wait_end(ends.client));
    }
    CHECK(moving.has_carried_all());
  }
  CHECK(open_descriptors() == descriptors);
}

TEST_CASE("the process that is left may end without a word", "[relay][fork]") {
  MovingRelay moving(2);
  moving.submit(kPlain);
  REQUIRE(all_pass(moving, "", "before "));
  REQUIRE(moving.running->relay.pause(10s));
  moving.fork();
  // All that the end of a process does to descriptors.
  moving.running.reset();
  CHECK(all_pass(moving, "before ", "after"));
  moving.all[0].client.close();
  moving.all[0].member.close();
  CHECK(moving.has_carried_all());
}

TEST_CASE("a tunnel that waited to begin does so in the forked process", "[relay][fork]") {
  MovingRelay moving(2);
  moving.submit(kPlain);
  REQUIRE(moving.running->relay.pause(10s));
  for (const TlsOn on : {kPlain, TlsOn{}}) {
    TunnelPlan plan;
    plan.from_client = "first ";
    moving.submit(on, std::move(plan));
  }
  moving.fork();
  CHECK(both_pass(moving.all[0], "", "message"));
  for (std::size_t i = 1; i < 3; ++i) {
    moving.all[i].client.say("second");
    CHECK(wait_received(moving.all[i].member, "first second"));
  }
  for (TlsEnds& ends : moving.all) {
    ends.client.close();
    ends.member.close();
  }
  CHECK(moving.has_carried_all());
}

TEST_CASE("what waits for a slow side moves too", "[relay][fork]") {
  const bool has_tls = GENERATE(false, true);
  MovingRelay moving(1);
  moving.submit({.client = has_tls, .member = has_tls});
  TlsEnds& ends = moving.all[0];
  const std::string data = pattern(2'000'000);
  ends.client.encrypt(data);
  // Until the queue and the kernel's buffers hold all that they may.
  const std::size_t size = ends.client.outbox().size();
  REQUIRE(wait_until(
      [&] { return ends.client.send() == 0 && size - ends.client.outbox().size() > 128 * 1024; }));
  REQUIRE(moving.running->relay.pause(10s));
  moving.fork();
  moving.running.reset();
  REQUIRE(wait_until([&] {
    ends.client.send();
    ends.member.take();
    return ends.member.received().size() == data.size();
  }));
  CHECK(is_same(ends.member.received(), data));
  ends.client.close();
  ends.member.close();
  CHECK(moving.has_carried_all());
}

TEST_CASE("tunnels are closed in order in the forked process", "[relay][fork]") {
  MovingRelay moving(2);
  for (int i = 0; i < 4; ++i) moving.submit(i % 2 == 0 ? kPlain : TlsOn{});
  Relay& relay = moving.running->relay;
  const auto close = [&relay] { relay.close_tunnels(EndReason::drain, 0ms, 10s); };
  REQUIRE(relay.pause(10s));
  SECTION("as was asked for before the fork") {
    close();
    moving.fork([&] {
      if (!wait_until([&] { return moving.running->observer.as_expected == 4; })) ::_exit(2);
    });
  }
  SECTION("as is asked for there") {
    moving.fork([&] {
      close();
      if (!wait_until([&] { return moving.running->observer.as_expected == 4; })) ::_exit(2);
    });
  }
  for (TlsEnds& ends : moving.all) {
    for (TlsPeer* peer : {&ends.client, &ends.member}) {
      REQUIRE(wait_until([&] {
        peer->take();
        return !frames_of(peer->received()).empty();
      }));
      CHECK(frames_of(peer->received()).back().code() == 1001);
    }
    ends.client.say(masked_close(1001));
    ends.member.say(close_frame(1001));
  }
  CHECK(moving.has_carried_all());
}

}  // namespace
}  // namespace wsbalance::relay
