// Many tunnels beside each other when the memory for all of them is used up.

#include <string>
#include <vector>

#include "support/catch.h"
#include "unit/relay/bench.h"

namespace wsbalance::relay {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kBudget = 1'000'003;  // No sum of usual sizes.

// Tunnels whose clients read nothing, with members that have sent all that fits.
struct SlowReaders {
  SlowReaders(Bench& bench, int count) {
    for (int i = 0; i < count; ++i) {
      TunnelPlan plan;
      set_send_buffer(plan.client.near.get(), 4096);
      ends.push_back(bench.start(std::move(plan)));
      data.push_back(pattern(180'000, static_cast<std::uint32_t>(i)));
    }
    for (int round = 0; round < 4; ++round) {
      for (std::size_t i = 0; i < ends.size(); ++i) {
        sent.resize(ends.size());
        sent[i] += ends[i].member.send(std::string_view(data[i]).substr(sent[i]));
        bench.loop.turn(0ms);
        most_held = std::max(most_held, bench.budget.bytes_held());
      }
    }
  }

  bool read_all(Bench& bench) {
    return bench.run_until([&] {
      bool all = true;
      for (std::size_t i = 0; i < ends.size(); ++i) {
        sent[i] += ends[i].member.send(std::string_view(data[i]).substr(sent[i]));
        ends[i].client.take();
        all = all && ends[i].client.received().size() == data[i].size();
      }
      most_held = std::max(most_held, bench.budget.bytes_held());
      return all;
    });
  }

  std::vector<Ends> ends;
  std::vector<std::string> data;
  std::vector<std::size_t> sent;
  std::size_t most_held = 0;
};

TEST_CASE("many slow readers stay under the maximum and lose nothing", "[relay]") {
  Bench bench(kBudget);
  SlowReaders slow(bench, 150);
  CHECK(bench.run_until_quiet());
  CHECK(slow.most_held <= kBudget);
  CHECK(slow.most_held > kBudget - 8192);
  CHECK(slow.read_all(bench));
  CHECK(slow.most_held <= kBudget);
  for (std::size_t i = 0; i < slow.ends.size(); ++i) {
    CHECK(is_same(slow.ends[i].client.received(), slow.data[i]));
  }
  CHECK(bench.budget.bytes_held() == 0);
}

TEST_CASE("a fast pair goes on beside slow readers that hold all memory", "[relay]") {
  Bench bench(kBudget);
  SlowReaders slow(bench, 150);
  REQUIRE(bench.budget.room() < 8192);
  Ends fast = bench.start(GENERATE(false, true) ? tcp_plan() : TunnelPlan{});

  const std::string data = pattern(500'000);
  std::size_t sent = 0;
  REQUIRE(bench.run_until([&] {
    sent += fast.client.send(std::string_view(data).substr(sent, 30'000));
    fast.member.take();
    slow.most_held = std::max(slow.most_held, bench.budget.bytes_held());
    return fast.member.received().size() == data.size();
  }));
  CHECK(is_same(fast.member.received(), data));
  CHECK(slow.most_held <= kBudget);

  fast.client.send(text_frame("x") + close_frame(1000));
  fast.client.close();
  fast.member.close();
  REQUIRE(bench.run_until([&] { return bench.has_ended(); }));
  CHECK(bench.summary().to_member.bytes <= data.size() + 7);
}

TEST_CASE("a slow reader that comes when all memory is held costs none and loses nothing",
          "[relay]") {
  Bench bench(kBudget);
  SlowReaders slow(bench, 150);
  Ends late = bench.start(GENERATE(false, true) ? tcp_plan() : TunnelPlan{});
  const std::string data = pattern(9'000'000);
  std::size_t sent = 0;
  for (int turn = 0; turn < 100; ++turn) {
    sent += late.member.send(std::string_view(data).substr(sent));
    bench.loop.turn(0ms);
    REQUIRE(bench.budget.bytes_held() <= kBudget);
  }
  CHECK(bench.run_until_quiet());  // Readable and not read, without a turn.
  late.member.close();
  CHECK(bench.run_until_quiet());
  REQUIRE(bench.run_until([&] {
    late.client.take(100'000);
    return late.client.saw_end();
  }));
  CHECK(is_same(late.client.received(), data.substr(0, sent)));
}

TEST_CASE("above half of the budget a direction keeps at most 8 KiB", "[relay]") {
  Bench bench(kBudget);
  bench.budget.change(0, kBudget / 2 + 1);
  TunnelPlan plan;
  set_send_buffer(plan.client.near.get(), 4096);
  Ends ends = bench.start(std::move(plan));
  ends.member.send(pattern(150'000));
  CHECK(bench.run_until_quiet());
  const std::size_t held = bench.budget.bytes_held() - (kBudget / 2 + 1);
  CHECK(held > 4096);
  CHECK(held <= 8192);
  CHECK(bench.run_until_received(ends.client, pattern(150'000)));
}

TEST_CASE("a long queue that became short gives memory back when it is scarce", "[relay]") {
  Bench bench(kBudget);
  TunnelPlan plan;
  set_send_buffer(plan.client.near.get(), 4096);
  const UniqueFd source(::dup(plan.member.near.get()));
  Ends ends = bench.start(std::move(plan));
  const std::string data = pattern(100'000);
  ends.member.send(data);
  CHECK(bench.run_until_quiet());
  CHECK(bench.budget.bytes_held() > 64 * 1024);

  bench.budget.change(0, kBudget / 2);
  std::size_t kept = data.size();
  while (kept > 8192) {
    ends.client.take(1000);
    CHECK(bench.run_until_quiet());
    kept = data.size() - unread_bytes(source.get()) - ends.client.received().size() -
           unread_bytes(ends.client.fd());
  }
  REQUIRE(kept > 0);
  CHECK(bench.budget.bytes_held() - kBudget / 2 <= 8192);
  CHECK(bench.run_until_received(ends.client, data));
  CHECK(bench.budget.bytes_held() == kBudget / 2);
}

TEST_CASE("a budget of nothing carries everything all the same", "[relay]") {
  Bench bench(0);
  Ends ends = bench.start(tcp_plan());
  const std::string frames = text_frame(pattern(60'000)) + close_frame(1000);
  ends.client.send(frames);
  CHECK(bench.run_until_received(ends.member, frames));
  ends.member.close();
  ends.client.close();
  REQUIRE(bench.run_until([&] { return bench.has_ended(); }));
  CHECK(bench.reason() == EndReason::client_close);
  CHECK(bench.summary().to_member.bytes == frames.size());
  CHECK(bench.summary().to_member.messages == 1);
}

}  // namespace
}  // namespace wsbalance::relay
