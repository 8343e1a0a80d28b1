#include <array>
#include <random>
#include <thread>
#include <vector>

#include "httpd/shared_rows.h"
#include "rows_bench.h"
#include "support/catch.h"

// What all processes have with a member, kept beside their cells.
namespace wsbalance::httpd {
namespace {

struct TotalsBench : RowsBench {
  std::uint16_t member = rows.member({.server = "s", .balancer = "b", .worker = "w"}, 1, self);
  MemberCell& all = rows.member_row(member).all;
  std::array<MemberSum, 4> before{};
  std::array<MemberSum, 4> sums{};

  Counter counter(const OwnRow& own, CellNumber number = &MemberCell::tunnels) {
    return {number, own.cells[member], all};
  }
  void open(const OwnRow& own, int tunnels) {
    for (int i = 0; i < tunnels; ++i) counter(own).add_one();
  }
  // As the one that keeps the rows does it.
  void look() {
    rows.read_totals(before);
    rows.sum_members(sums);
    rows.correct_totals(before, sums);
  }
};

TEST_CASE("the total follows the cells of all processes", "[rows]") {
  TotalsBench bench;
  const OwnRow one = bench.rows.claim(bench.self, 1, 0);
  const OwnRow two = bench.rows.claim(bench.self, 1, 0);
  bench.open(one, 3);
  bench.open(two, 2);
  bench.counter(two, &MemberCell::handshakes).add_one();
  bench.counter(one, &MemberCell::plain).add_one();
  bench.counter(one).subtract_one();
  CHECK(bench.all.tunnels == 4);
  CHECK(bench.all.handshakes == 1);
  CHECK(bench.all.plain == 1);
  CHECK(bench.all.tunnels == bench.rows.open_of(bench.member));

  bench.rows.release(*two.row, bench.self);
  CHECK(bench.all.tunnels == 2);
  CHECK(bench.all.handshakes == 0);
  CHECK(bench.all.plain == 1);
}

TEST_CASE("a process that is killed is taken out of the total", "[rows]") {
  TotalsBench bench;
  OtherProcess other;
  const OwnRow own = bench.rows.claim(bench.self, 1, 0);
  const OwnRow lost = bench.rows.claim(other.id(), 1, 0);
  bench.open(own, 1);
  bench.open(lost, 5);
  bench.counter(lost, &MemberCell::handshakes).add_one();
  other.end();
  SECTION("by anybody") { bench.rows.clear_dead(bench.self); }
  SECTION("by the parent") { bench.rows.clear_ended(other.id().pid, bench.self); }
  CHECK(bench.all.tunnels == 1);
  CHECK(bench.all.handshakes == 0);
}

TEST_CASE("a carrier keeps the tunnels of its child and nothing else", "[rows]") {
  TotalsBench bench;
  OtherProcess carrier;
  const OwnRow own = bench.rows.claim(bench.self, 1, 0);
  bench.open(own, 2);
  for (const auto number : {&MemberCell::handshakes, &MemberCell::plain, &MemberCell::requests}) {
    bench.counter(own, number).add_one();
  }
  bench.rows.keep_tunnels_only(*own.row, bench.self);
  REQUIRE(bench.rows.hand_over(*own.row, bench.self, carrier.id()));
  CHECK(bench.all.tunnels == 2);
  CHECK(bench.all.handshakes == 0);
  CHECK(bench.all.plain == 0);
  CHECK(bench.all.requests == 0);
}

TEST_CASE("what a process left half counted is taken out by and by", "[rows]") {
  TotalsBench bench;
  const OwnRow own = bench.rows.claim(bench.self, 1, 0);
  bench.open(own, 2);
  SECTION("too much") { bench.all.tunnels = 5; }
  SECTION("too little") { bench.all.tunnels = 1; }
  SECTION("below nothing") { bench.all.tunnels = 0xffffffff; }
  SECTION("of another kind") { bench.all.plain = 7; }
  for (std::uint32_t i = 0; i < DriftWatch::kLooks; ++i) bench.look();
  CHECK(bench.all.tunnels == 2);
  CHECK(bench.all.plain == 0);
}

TEST_CASE("what changes while somebody looks is no mistake", "[rows]") {
  TotalsBench bench;
  const OwnRow own = bench.rows.claim(bench.self, 1, 0);
  bench.open(own, 10);
  SECTION("more by each look") {
    for (int i = 0; i < 10; ++i) {
      bench.rows.read_totals(bench.before);
      bench.open(own, 1);
      bench.rows.sum_members(bench.sums);
      bench.open(own, 3);
      bench.rows.correct_totals(bench.before, bench.sums);
    }
    CHECK(bench.all.tunnels == 50);
  }
  SECTION("a look that agrees") {
    bench.all.tunnels = 12;
    bench.look();
    bench.look();
    bench.all.tunnels = 10;
    bench.look();
    CHECK(bench.all.tunnels == 10);
  }
}

TEST_CASE("many count at the same time", "[rows]") {
  TotalsBench bench;
  std::vector<OwnRow> owned;
  for (std::uint32_t i = 0; i < bench.numbers.processes; ++i) {
    owned.push_back(bench.rows.claim(bench.self, 1, 0));
  }
  std::vector<std::thread> threads;
  for (const OwnRow& own : owned) {
    threads.emplace_back([&bench, own] {
      for (int i = 0; i < 20'000; ++i) {
        bench.open(own, 2);
        bench.counter(own).subtract_one();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::uint32_t i = 0; i < DriftWatch::kLooks; ++i) bench.look();
  CHECK(bench.all.tunnels == 20'000 * bench.numbers.processes);
  CHECK(bench.rows.open_of(bench.member) == 20'000 * bench.numbers.processes);
}

TEST_CASE("a row that another member gets begins with nothing", "[rows]") {
  TotalsBench bench;
  bench.all.plain = 3;
  bench.rows.member_row(bench.member).is_used = 0;
  CHECK(bench.rows.member({.server = "s", .balancer = "b", .worker = "new"}, 1, bench.self) ==
        bench.member);
  CHECK(bench.all.plain == 0);
}

}  // namespace
}  // namespace wsbalance::httpd
