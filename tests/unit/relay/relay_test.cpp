// The relay with its threads. Nothing here waits for a time; what happens is waited for.

#include "relay/relay.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>

#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.h"
#include "unit/relay/running_relay.h"

namespace wsbalance::relay {
namespace {

using namespace std::chrono_literals;

TEST_CASE("tunnels that several threads submit are carried and counted", "[relay]") {
  const std::size_t before = open_descriptors();
  {
    RunningRelay running(GENERATE(1u, 3u));
    std::atomic<int> failures{0};
    std::vector<std::thread> submitters;
    for (int thread = 0; thread < 4; ++thread) {
      submitters.emplace_back([&running, &failures] {
        for (int i = 0; i < 25; ++i) {
          Ends ends = running.submit();
          const std::string message = text_frame(pattern(200, static_cast<std::uint32_t>(i)));
          ends.client.send(message);
          if (!wait_received(ends.member, message)) ++failures;
          ends.member.send(message);
          if (!wait_received(ends.client, message)) ++failures;
        }
      });
    }
    for (auto& submitter : submitters) submitter.join();
    CHECK(failures == 0);
    CHECK(wait_until([&] { return running.open_tunnels == 0; }));
    CHECK(running.observer.ends == 100);
    CHECK(running.observer.messages == 100);
  }
  CHECK(open_descriptors() == before);
}

TEST_CASE("a stop closes the tunnels that are open and reports none", "[relay]") {
  RunningRelay running(2);
  std::vector<Ends> all;
  for (int i = 0; i < 20; ++i) {
    all.push_back(running.submit());
    all.back().client.send("data");
    REQUIRE(wait_received(all.back().member, "data"));
  }
  CHECK(running.open_tunnels == 20);
  CHECK(running.relay.stop(10s));
  CHECK(running.open_tunnels == 0);
  CHECK(running.observer.ends == 0);
  for (Ends& ends : all) {
    CHECK(wait_end(ends.client));
    CHECK(wait_end(ends.member));
  }
  CHECK(running.relay.stop(0ms));  // Again, and it is still stopped.
}

TEST_CASE("a tunnel that is submitted after the stop is closed at once", "[relay]") {
  RunningRelay running(1);
  REQUIRE(running.relay.stop(10s));
  Ends ends = running.submit();
  CHECK(wait_end(ends.client));
  CHECK(wait_end(ends.member));
  CHECK(running.open_tunnels == 0);
}

TEST_CASE("submitting while the relay stops leaves nothing open", "[relay]") {
  for (int round = 0; round < 10; ++round) {
    RunningRelay running(2);
    std::vector<Ends> all;
    std::thread submitter([&] {
      for (int i = 0; i < 50; ++i) all.push_back(running.submit());
    });
    CHECK(running.relay.stop(10s));
    submitter.join();
    CHECK(running.open_tunnels == 0);
    for (Ends& ends : all) CHECK(wait_end(ends.client));
  }
}

TEST_CASE("a relay that was never started stops and closes what it was given", "[relay]") {
  CountingObserver observer;
  std::atomic<std::uint32_t> open_tunnels{0};
  Relay relay({.threads = 1}, observer, open_tunnels);
  TunnelPlan plan;
  auto tunnel = std::make_unique<Tunnel>(shared(plan.settings), nullptr);
  tunnel->adopt({std::move(plan.client.near), nullptr}, {std::move(plan.member.near), nullptr}, {},
                {});
  relay.submit(std::move(tunnel));
  CHECK(open_tunnels == 1);
  CHECK(relay.stop(0ms));
  CHECK(relay.stop(0ms));
  CHECK(open_tunnels == 0);
  Peer client(std::move(plan.client.far));
  CHECK(wait_end(client));
}

Relay* relay_to_stop = nullptr;
std::atomic<int> stop_result{-1};

TEST_CASE("a stop works in a signal handler that interrupts a submitting thread", "[relay]") {
  for (int round = 0; round < 20; ++round) {
    RunningRelay running(2);
    relay_to_stop = &running.relay;
    stop_result = -1;
    struct sigaction action {};
    action.sa_handler = [](int) { stop_result = relay_to_stop->stop(10s) ? 1 : 0; };
    struct sigaction before {};
    ::sigaction(SIGUSR1, &action, &before);
    std::atomic<bool> has_begun{false};
    // No tunnel ends before the stop: a relay thread that frees one could wait for the heap's lock,
    // which the interrupted code may hold (see Relay::stop).
    std::thread submitter([&] {
      std::vector<SocketPair> far;
      for (int i = 0; stop_result < 0; i = std::min(i + 1, 300)) {
        if (i == 300) continue;
        TunnelPlan plan;
        auto tunnel = std::make_unique<Tunnel>(shared(plan.settings), nullptr);
        tunnel->adopt({std::move(plan.client.near), nullptr},
                      {std::move(plan.member.near), nullptr}, {}, {});
        running.relay.submit(std::move(tunnel));
        far.push_back({UniqueFd(), std::move(plan.client.far)});
        far.push_back({UniqueFd(), std::move(plan.member.far)});
        has_begun = true;
      }
    });
    while (!has_begun) ::poll(nullptr, 0, 0);
    ::pthread_kill(submitter.native_handle(), SIGUSR1);
    submitter.join();
    ::sigaction(SIGUSR1, &before, nullptr);
    CHECK(stop_result == 1);
    CHECK(running.open_tunnels == 0);
  }
}

TEST_CASE("relay threads have a name and all signals blocked", "[relay]") {
  RunningRelay running(2);
  Ends ends = running.submit();
  ends.client.send("data");
  REQUIRE(wait_received(ends.member, "data"));
  int found = 0;
  REQUIRE(wait_until([&found] {
    found = 0;
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
      std::ifstream status(task.path() / "status");
      std::string line;
      std::string name;
      while (std::getline(status, line)) {
        if (line.rfind("Name:\twsb-relay-", 0) == 0) name = line;
        // All but those that no thread can block (SIGKILL, SIGSTOP) and glibc's own two.
        if (line == "SigBlk:\tfffffffe7ffbfeff" && !name.empty()) ++found;
      }
    }
    return found == 2;
  }));
}

}  // namespace
}  // namespace wsbalance::relay
