#include "httpd/shared_rows.h"

#include <array>
#include <string>
#include <thread>
#include <vector>

#include "rows_bench.h"
#include "support/catch.h"

namespace wsbalance::httpd {
namespace {

constexpr std::size_t kOther = SharedRows::kOtherMember;
constexpr auto kShutdown = static_cast<std::size_t>(relay::EndReason::shutdown);

MemberNames named(std::string_view worker) {
  return {.server = "a.example:80", .balancer = "balancer://b", .worker = worker};
}

// A tunnel is opened, as Child and relay count it; here without the total of all processes.
void open(const OwnRow& own, std::size_t member) {
  own.row->open_tunnels.fetch_add(1);
  own.cells[member].tunnels.fetch_add(1);
  own.cells[member].seats.fetch_add(1);
}

TEST_CASE("a claimed row counts, a released one does not", "[rows]") {
  RowsBench bench;
  const OwnRow own = bench.rows.claim(bench.self, 1, 7);
  REQUIRE(own);
  CHECK(own.row->epoch == 1);
  CHECK(own.row->generation == 7);
  open(own, kOther);
  own.row->waiting_handshakes = 2;
  CHECK(bench.rows.totals().open_tunnels == 1);
  CHECK(bench.rows.totals().waiting_handshakes == 2);
  CHECK(bench.rows.open_of(kOther) == 1);

  bench.rows.release(*own.row, bench.self);
  CHECK(bench.rows.totals().open_tunnels == 0);
  CHECK(bench.rows.totals().waiting_handshakes == 0);
  CHECK(bench.rows.open_of(kOther) == 0);
  CHECK(bench.rows.ends().ended[kShutdown] == 1);
  CHECK(bench.rows.member_row(kOther).ends.lost == 0);

  SECTION("what somebody counts in a free row is never seen") {
    open(own, kOther);
    CHECK(bench.rows.totals().open_tunnels == 0);
    const OwnRow again = bench.rows.claim(bench.self, 1, 7);
    CHECK(again.row == own.row);
    CHECK(bench.rows.totals().open_tunnels == 0);
    CHECK(bench.rows.open_of(kOther) == 0);
  }
}

TEST_CASE("the sums of members are over all processes", "[rows]") {
  RowsBench bench;
  const OwnRow one = bench.rows.claim(bench.self, 1, 0);
  const OwnRow two = bench.rows.claim(bench.self, 1, 0);
  open(one, kOther);
  open(two, kOther);
  two.cells[kOther].requests = 5;
  std::array<MemberSum, 4> sums{};
  bench.rows.sum_members(sums);
  CHECK(sums[kOther].tunnels == 2);
  CHECK(sums[kOther].requests == 5);
  bench.rows.release(*two.row, bench.self);
  bench.rows.sum_members(sums);
  CHECK(sums[kOther].tunnels == 1);
  CHECK(sums[kOther].requests == 0);
}

TEST_CASE("seats are those of tunnels, and of handshakes until their process ends", "[rows]") {
  RowsBench bench;
  OtherProcess child;
  OtherProcess carrier;
  const OwnRow one = bench.rows.claim(child.id(), 1, 0);
  const OwnRow two = bench.rows.claim(bench.self, 1, 0);
  open(one, kOther);
  one.cells[kOther].seats.fetch_add(2);
  open(two, kOther);
  CHECK(bench.rows.seats_of(kOther) == 4);
  bench.rows.keep_tunnels_only(*one.row, child.id());
  CHECK(bench.rows.seats_of(kOther) == 2);
  one.cells[kOther].seats = 5;  // The carrier, which need not wait for its child to do this.
  REQUIRE(bench.rows.hand_over(*one.row, child.id(), carrier.id()));
  CHECK(bench.rows.seats_of(kOther) == 6);
  carrier.end();
  bench.rows.clear_dead(bench.self);
  CHECK(bench.rows.seats_of(kOther) == 1);
  two.cells[kOther].seats.fetch_add(1);
  bench.rows.release(*two.row, bench.self);
  CHECK(bench.rows.seats_of(kOther) == 0);
  two.cells[kOther].seats.fetch_add(1);
  CHECK(bench.rows.claim(bench.self, 1, 0).cells[kOther].seats == 0);
}

TEST_CASE("there are as many rows as there are", "[rows]") {
  RowsBench bench;
  std::vector<OwnRow> owned;
  for (std::uint32_t i = 0; i < bench.numbers.processes; ++i) {
    owned.push_back(bench.rows.claim(bench.self, 1, 0));
    CHECK(owned.back());
  }
  CHECK_FALSE(bench.rows.claim(bench.self, 1, 0));
  bench.rows.release(*owned[1].row, bench.self);
  CHECK(bench.rows.claim(bench.self, 1, 0).row == owned[1].row);
}

TEST_CASE("a row that is in no segment is left alone", "[rows]") {
  RowsBench bench;
  ProcessRow own;
  own.open_tunnels = 1;
  bench.rows.release(own, bench.self);
  CHECK_FALSE(bench.rows.hand_over(own, bench.self, bench.self));
  CHECK(own.open_tunnels == 1);
}

TEST_CASE("the smallest carrier makes room for a larger one", "[rows]") {
  RowsBench bench;
  OtherProcess first;
  OtherProcess second;
  OtherProcess child;
  std::vector<OwnRow> owned;
  int tunnels = 3;
  for (OtherProcess* process : {&first, &second}) {
    owned.push_back(bench.rows.claim(process->id(), 1, 0));
    for (int i = 0; i < tunnels; ++i) open(owned.back(), kOther);
    ++tunnels;
  }
  CHECK(bench.rows.make_room(1, 1).is_there);  // They are children.
  for (std::size_t i = 0; i < owned.size(); ++i) {
    const ProcessId id = (i == 0 ? first : second).id();
    REQUIRE(bench.rows.hand_over(*owned[i].row, id, id));
  }
  const auto roomy = bench.rows.make_room(3, 1);
  CHECK(roomy.is_there);
  CHECK_FALSE(roomy.told);

  CHECK_FALSE(bench.rows.make_room(2, 2).is_there);  // It would be the smallest itself.
  CHECK(owned[0].row->must_close == 0);
  const auto taken = bench.rows.make_room(2, 3);
  CHECK(taken.is_there);
  CHECK(taken.told == first.id());
  CHECK(taken.tunnels == 3);
  CHECK(owned[0].row->must_close == 1);
  CHECK(owned[1].row->must_close == 0);
  // One that closes does not count, and is not told again.
  CHECK_FALSE(bench.rows.make_room(2, 100).told);
  CHECK(bench.rows.make_room(1, 100).told == second.id());
  CHECK_FALSE(bench.rows.make_room(0, 100).is_there);
  bench.rows.release(*owned[0].row, first.id());
  CHECK(bench.rows.claim(child.id(), 1, 0).row->must_close == 0);
}

TEST_CASE("a child hands its row over to its carrier", "[rows]") {
  RowsBench bench;
  OtherProcess child;
  OtherProcess carrier;
  const OwnRow own = bench.rows.claim(child.id(), 1, 0);
  open(own, kOther);
  own.row->waiting_handshakes = 1;
  own.cells[kOther].requests = 1;
  bench.rows.keep_tunnels_only(*own.row, child.id());
  REQUIRE(bench.rows.hand_over(*own.row, child.id(), carrier.id()));
  CHECK(own.cells[kOther].requests == 0);
  const Totals totals = bench.rows.totals();
  CHECK(totals.open_tunnels == 1);
  CHECK(totals.waiting_handshakes == 0);
  CHECK(totals.carriers == 1);
  CHECK(totals.carrier_tunnels == 1);

  SECTION("and has none any more") {
    bench.rows.release(*own.row, child.id());
    CHECK_FALSE(bench.rows.hand_over(*own.row, child.id(), child.id()));
    CHECK(bench.rows.totals().carrier_tunnels == 1);
  }
  SECTION("which the end of the child does not clear") {
    child.end();
    bench.rows.clear_ended(child.id().pid, bench.self);
    bench.rows.clear_dead(bench.self);
    CHECK(bench.rows.totals().carrier_tunnels == 1);
  }
  SECTION("which the carrier frees at its end") {
    bench.rows.release(*own.row, carrier.id());
    CHECK(bench.rows.totals().carriers == 0);
    CHECK(bench.rows.ends().ended[kShutdown] == 1);
  }
  SECTION("which is cleared when the carrier is killed") {
    carrier.end();
    bench.rows.clear_dead(bench.self);
    CHECK(bench.rows.totals().carriers == 0);
    CHECK(bench.rows.ends().lost == 1);
    CHECK(bench.rows.member_row(kOther).ends.lost == 1);
  }
}

TEST_CASE("rows of processes that are gone are cleared", "[rows]") {
  RowsBench bench;
  OtherProcess other;
  const std::uint16_t member = bench.rows.member(named("ws://a"), 1, bench.self);
  const OwnRow own = bench.rows.claim(bench.self, 1, 0);
  const OwnRow lost = bench.rows.claim(other.id(), 1, 0);
  open(own, member);
  for (int i = 0; i < 3; ++i) open(lost, member);
  CHECK(bench.rows.open_of(member) == 4);
  bool must_be_cleared = true;

  SECTION("not while they live") {
    must_be_cleared = false;
    bench.rows.clear_dead(bench.self);
    bench.rows.clear_ended(other.id().pid, bench.self);
    CHECK(bench.rows.totals().open_tunnels == 4);
  }
  SECTION("by the parent, who has reaped it") {
    other.end();
    bench.rows.clear_ended(other.id().pid, bench.self);
  }
  SECTION("by anybody") {
    other.end();
    bench.rows.clear_dead(bench.self);
  }
  SECTION("also where it died while it cleared its row or claimed it") {
    lost.row->owner = RowOwner(ProcessKind::changing, other.id()).word();
    other.end();
    bench.rows.clear_dead(bench.self);
  }
  SECTION("also where another process has its pid now") {
    const ProcessId before{other.id().pid, other.id().start - 1};
    lost.row->owner = RowOwner(ProcessKind::child, before).word();
    bench.rows.clear_dead(bench.self);
  }
  if (must_be_cleared) {
    CHECK(lost.row->owner == 0);
    CHECK(bench.rows.totals().open_tunnels == 1);
    CHECK(bench.rows.open_of(member) == 1);
    CHECK(bench.rows.member_row(member).ends.lost == 3);
    CHECK(bench.rows.ends().lost == 3);
    CHECK(bench.rows.ends().ended[kShutdown] == 0);
  }
}

TEST_CASE("many clear a row at the same time: it is done once", "[rows]") {
  RowsBench bench;
  const std::uint16_t member = bench.rows.member(named("ws://a"), 1, bench.self);
  constexpr int kRounds = 200;
  for (int round = 0; round < kRounds; ++round) {
    open(bench.rows.claim({bench.self.pid, bench.self.start - 1}, 1, 0), member);
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
      threads.emplace_back([&bench] { bench.rows.clear_dead(bench.self); });
    }
    for (std::thread& thread : threads) thread.join();
  }
  CHECK(bench.rows.ends().lost == kRounds);
  CHECK(bench.rows.totals().open_tunnels == 0);
}

TEST_CASE("a member is found again by its names", "[rows]") {
  RowsBench bench;
  const std::uint16_t a = bench.rows.member(named("ws://a"), 1, bench.self);
  const std::uint16_t b = bench.rows.member(named("ws://b"), 1, bench.self);
  CHECK(a != SharedRows::kOtherMember);
  CHECK(b != a);
  bench.rows.member_row(a).opened = 5;

  CHECK(bench.rows.member(named("ws://b"), 2, bench.self) == b);
  CHECK(bench.rows.member(named("ws://a"), 2, bench.self) == a);
  CHECK(bench.rows.member_row(a).opened == 5);
  CHECK(bench.rows.member_row(a).named_in == 2);
  CHECK(std::string(bench.rows.member_row(a).worker.data()) == "ws://a");
  CHECK(std::string(bench.rows.member_row(a).server.data()) == "a.example:80");

  SECTION("an old child does not make it older") {
    CHECK(bench.rows.member(named("ws://a"), 1, bench.self) == a);
    CHECK(bench.rows.member_row(a).named_in == 2);
  }
  SECTION("the same worker elsewhere is another member") {
    MemberNames names = named("ws://a");
    names.balancer = "balancer://c";
    CHECK(bench.rows.member(names, 2, bench.self) != a);
  }
  SECTION("when rows have run out it is one of the others, which is told once") {
    bench.rows.member(named("ws://c"), 2, bench.self);
    CHECK(bench.rows.member(named("ws://d"), 2, bench.self) == SharedRows::kOtherMember);
    CHECK(bench.rows.should_tell_full());
    CHECK_FALSE(bench.rows.should_tell_full());
    CHECK(bench.rows.member(named("ws://a"), 2, bench.self) == a);
  }
}

TEST_CASE("names that are too long are cut, and still tell members apart", "[rows]") {
  RowsBench bench;
  const std::string long_name(2 * MemberRow::kWorkerMax, 'x');
  const std::uint16_t one = bench.rows.member(named(long_name + "1"), 1, bench.self);
  const std::uint16_t two = bench.rows.member(named(long_name + "2"), 1, bench.self);
  CHECK(one != two);
  CHECK(std::string(bench.rows.member_row(one).worker.data()).size() == MemberRow::kWorkerMax - 1);
  CHECK(hash_of({.server = "ab", .balancer = "", .worker = "c"}) !=
        hash_of({.server = "a", .balancer = "b", .worker = "c"}));
}

TEST_CASE("the row of a member that nobody names any more", "[rows]") {
  RowsBench bench;
  std::array<MemberSum, 4> sums{};
  const auto free_unnamed = [&] {
    bench.rows.sum_members(sums);
    bench.rows.free_unnamed(sums, bench.self);
  };
  const std::uint32_t old_epoch = bench.rows.begin_epoch();
  const OwnRow old_child = bench.rows.claim(bench.self, old_epoch, 0);
  const std::uint16_t gone = bench.rows.member(named("ws://gone"), old_epoch, bench.self);
  const std::uint16_t kept = bench.rows.member(named("ws://kept"), old_epoch, bench.self);
  bench.rows.member_row(gone).opened = 9;
  const std::uint32_t epoch = bench.rows.begin_epoch();
  bench.rows.member(named("ws://kept"), epoch, bench.self);

  SECTION("stays while a child of its configuration lives") {
    free_unnamed();
    CHECK(bench.rows.member_row(gone).is_used == 1);
  }
  SECTION("stays while a carrier has a tunnel to it, then goes") {
    OtherProcess carrier;
    open(old_child, gone);
    REQUIRE(bench.rows.hand_over(*old_child.row, bench.self, carrier.id()));
    free_unnamed();
    CHECK(bench.rows.member_row(gone).is_used == 1);
    bench.rows.release(*old_child.row, carrier.id());
    free_unnamed();
    CHECK(bench.rows.member_row(gone).is_used == 0);
  }
  SECTION("goes, and is another's from the start") {
    bench.rows.member_row(gone).moves.order = 1;
    const std::uint32_t orders = bench.rows.orders();
    bench.rows.release(*old_child.row, bench.self);
    free_unnamed();
    CHECK(bench.rows.member_row(gone).is_used == 0);
    CHECK(bench.rows.member_row(gone).moves.order == 0);
    CHECK(bench.rows.orders() != orders);  // Processes look that it is over.
    CHECK(bench.rows.member_row(kept).is_used == 1);
    CHECK(bench.rows.member_row(SharedRows::kOtherMember).is_used == 1);
    CHECK(bench.rows.member(named("ws://new"), epoch, bench.self) == gone);
    CHECK(bench.rows.member_row(gone).opened == 0);
  }
}

TEST_CASE("who names members is not held up by one who died at it", "[rows]") {
  RowsBench bench;
  std::vector<std::thread> threads;
  std::array<std::uint16_t, 4> found{};
  for (std::uint16_t& number : found) {
    threads.emplace_back([&] { number = bench.rows.member(named("ws://a"), 1, bench.self); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::uint16_t number : found) CHECK(number == found[0]);
  CHECK(found[0] != SharedRows::kOtherMember);
}

TEST_CASE("rows are found again, those of another version are not", "[rows]") {
  RowsBench bench;
  const std::size_t bytes = SharedRows::bytes_for(bench.numbers);
  const std::uint16_t member = bench.rows.member(named("ws://a"), 1, bench.self);
  auto found = SharedRows::find(bench.memory.get(), bytes);
  REQUIRE(found);
  CHECK(found->numbers().processes == bench.numbers.processes);
  CHECK(found->member(named("ws://a"), 1, bench.self) == member);

  CHECK_FALSE(SharedRows::find(nullptr, bytes));
  CHECK_FALSE(SharedRows::find(bench.memory.get(), bytes - 1));
  // Magic, version, and the size of each kind of row.
  for (const std::size_t offset : {0u, 8u, 12u, 16u, 20u}) {
    auto& byte = static_cast<unsigned char*>(bench.memory.get())[offset];
    ++byte;
    CHECK_FALSE(SharedRows::find(bench.memory.get(), bytes));
    --byte;
  }
  CHECK(SharedRows::find(bench.memory.get(), bytes));
}

TEST_CASE("one process at a time has its turn", "[rows]") {
  RowsBench bench;
  CHECK(bench.rows.take_turn(1000, 500));
  CHECK_FALSE(bench.rows.take_turn(1499, 500));
  CHECK(bench.rows.take_turn(1500, 500));
  CHECK_FALSE(bench.rows.take_turn(1500, 500));
}

}  // namespace
}  // namespace wsbalance::httpd
