#include "httpd/order_follower.h"

#include <vector>

#include "relay/relay.h"
#include "rows_bench.h"
#include "support/catch.h"

namespace wsbalance::httpd {
namespace {

using balance::Move;
using namespace std::chrono_literals;

constexpr std::uint32_t kAll = (1u << 20) - 1;
constexpr std::uint16_t kMember = 2;
constexpr std::int64_t kBegan = 1'000'000;

TEST_CASE("an order keeps what it says in a word", "[orders]") {
  const MemberOrder order{
      .move = Move::drain, .began_ms = 400'000'000'000, .amount = MemberOrder::amount_of(24h)};
  const MemberOrder found = MemberOrder::unpacked(order.packed());
  CHECK(found.is_same(order));
  CHECK(found.over() == 24h);
  CHECK(MemberOrder{}.packed() == 0);
  CHECK(MemberOrder{.began_ms = 5, .amount = 7}.packed() == 0);
  const MemberOrder more{.move = Move::some, .began_ms = 1, .amount = ~0u};
  CHECK(MemberOrder::unpacked(more.packed()).amount == MemberOrder::kAmountMax);
  CHECK(MemberOrder::unpacked(more.packed()).move == Move::some);
  CHECK(MemberOrder::amount_of(1ms) == 1);
}

struct NoObserver : relay::TunnelObserver {
  void tunnel_ended(const relay::TunnelSummary&,
                    std::unique_ptr<relay::TunnelContext>) noexcept override {}
};

// A process whose relay has no thread: what it was told can be taken back.
struct Process {
  explicit Process(RowsBench& bench)
      : own(bench.rows.claim(bench.self, 1, 0)),
        relay({.groups = 4}, observer, own.row->open_tunnels),
        orders(bench.rows, own, relay) {}

  void have(std::uint32_t tunnels) { own.cells[kMember].tunnels = tunnels; }
  // What the relay was told and nobody has done yet.
  std::uint32_t told() { return relay.take_back_order(kMember); }
  // The relay does it.
  std::uint32_t close_told() {
    const std::uint32_t closed = told();
    own.cells[kMember].leaving += closed;
    return closed;
  }

  OwnRow own;
  NoObserver observer;
  relay::Relay relay;
  OrderFollower orders;
};

struct OrderBench : RowsBench {
  OrderBench() {
    for (const char* name : {"a", "b"}) {
      rows.member({.server = "s", .balancer = "balancer://b", .worker = name}, 1, self);
    }
  }
  void order(const MemberOrder& order) {
    rows.member_row(kMember).moves.order = order.packed();
    rows.note_order();
  }
  void drain(std::chrono::milliseconds over, Move move = Move::drain) {
    order({.move = move, .began_ms = kBegan, .amount = MemberOrder::amount_of(over)});
  }
  std::uint32_t left() const {
    return MemberOrder::unpacked(rows.member_row(kMember).moves.order).amount;
  }
};

TEST_CASE("without an order nothing is done", "[orders]") {
  OrderBench bench;
  Process process(bench);
  process.have(10);
  CHECK_FALSE(process.orders.look(kBegan));
  CHECK(process.told() == 0);
}

TEST_CASE("of a member that is down all are closed, once", "[orders]") {
  OrderBench bench;
  Process process(bench);
  process.have(10);
  bench.order({.move = Move::down, .began_ms = kBegan});
  CHECK_FALSE(process.orders.look(kBegan));
  CHECK(process.told() == kAll);
  CHECK_FALSE(process.orders.look(kBegan + 500));
  CHECK(process.told() == 0);
  bench.order({.move = Move::down, .began_ms = kBegan + 1000});  // Again.
  process.orders.look(kBegan + 1000);
  CHECK(process.told() == kAll);
}

TEST_CASE("a drain is spread over its time", "[orders]") {
  OrderBench bench;
  Process process(bench);
  process.have(10);
  bench.drain(10s);
  CHECK(process.orders.look(kBegan));
  std::uint32_t closed = 0;
  for (int tenth = 1; tenth < 100; ++tenth) {
    CHECK(process.orders.look(kBegan + tenth * 100));
    closed += process.close_told();
    CHECK(closed == static_cast<std::uint32_t>(tenth) * 100 * 10 / 10'000);
  }
}

TEST_CASE("what the relay has not done of a drain is due still", "[orders]") {
  OrderBench bench;
  Process process(bench);
  process.have(10);
  bench.drain(10s);
  process.orders.look(kBegan);
  process.orders.look(kBegan + 3000);
  process.orders.look(kBegan + 3100);  // Three, not six.
  CHECK(process.told() == 3);
}

TEST_CASE("at the end of a drain all are closed", "[orders]") {
  const auto move = GENERATE(Move::drain, Move::drain_earlier);
  OrderBench bench;
  Process process(bench);
  process.have(10);
  bench.drain(10s, move);
  process.orders.look(kBegan);
  CHECK_FALSE(process.orders.look(kBegan + 10'000));
  CHECK(process.close_told() == kAll);
  process.own.cells[kMember].leaving = 10;
  process.orders.look(kBegan + 10'500);
  CHECK(process.told() == 0);
  process.have(11);  // A handshake that took long.
  process.orders.look(kBegan + 11'000);
  CHECK(process.told() == (move == Move::drain ? kAll : 0));
}

TEST_CASE("a drain that is taken back is not followed any more", "[orders]") {
  OrderBench bench;
  Process process(bench);
  process.have(10);
  bench.drain(10s);
  process.orders.look(kBegan);
  process.orders.look(kBegan + 5000);
  bench.order({});
  CHECK_FALSE(process.orders.look(kBegan + 5100));
  CHECK(process.told() == 0);
  CHECK_FALSE(process.orders.look(kBegan + 20'000));
  CHECK(process.told() == 0);
}

TEST_CASE("a process that sees a drain late has its own part to do", "[orders]") {
  OrderBench bench;
  Process process(bench);
  process.have(4);
  bench.drain(10s);
  CHECK(process.orders.look(kBegan + 5000));
  CHECK(process.told() == 2);
}

TEST_CASE("processes share what is to be given by what they have", "[orders]") {
  OrderBench bench;
  Process big(bench);
  Process small(bench);
  Process none(bench);
  big.have(80);
  small.have(20);
  bench.order({.move = Move::some, .began_ms = kBegan, .amount = 10});
  std::uint32_t of_big = 0;
  std::uint32_t of_small = 0;
  for (int look = 0; look < 20; ++look) {
    none.orders.look(kBegan);
    small.orders.look(kBegan);
    big.orders.look(kBegan);
    of_big += big.close_told();
    of_small += small.close_told();
    CHECK(none.told() == 0);
  }
  CHECK(of_big + of_small == 10);
  CHECK(of_small >= 2);
  CHECK(of_big >= 6);
  CHECK(bench.left() == 0);
  CHECK_FALSE(big.orders.look(kBegan + 1000));
}

TEST_CASE("what a process cannot give others may", "[orders]") {
  OrderBench bench;
  Process process(bench);
  process.have(5);
  bench.order({.move = Move::some, .began_ms = kBegan, .amount = 5});
  CHECK(process.orders.look(kBegan));
  CHECK(bench.left() == 0);
  process.have(0);  // They ended by themselves; the order stays with the relay.
  process.orders.look(kBegan + 100);
  CHECK(bench.left() == 5);
  CHECK(process.told() == 0);

  process.have(5);
  process.orders.look(kBegan + 200);
  bench.order({.move = Move::some, .began_ms = kBegan + 300, .amount = 1});
  process.have(0);
  process.orders.look(kBegan + 300);
  CHECK(bench.left() == 1);  // Nothing of the order before.
}

TEST_CASE("an order for another kind of end takes the place of the one before", "[orders]") {
  OrderBench bench;
  Process process(bench);
  process.have(10);
  bench.drain(10s);
  process.orders.look(kBegan + 5000);
  bench.order({.move = Move::down, .began_ms = kBegan + 6000});
  process.orders.look(kBegan + 6000);
  CHECK(process.told() == kAll);
}

TEST_CASE("orders of a row that another member gets are gone", "[orders]") {
  OrderBench bench;
  bench.drain(10s);
  bench.rows.member_row(kMember).zero_counts();
  CHECK(bench.rows.member_row(kMember).moves.order == 0);
  CHECK(bench.rows.member_row(kMember).up_since_ms == 0);
}

TEST_CASE("tunnels that leave are not those that stay", "[orders]") {
  OrderBench bench;
  Process one(bench);
  Process two(bench);
  one.have(5);
  two.have(7);
  two.own.cells[kMember].leaving = 3;
  CHECK(bench.rows.sum_of(kMember).tunnels == 12);
  CHECK(bench.rows.sum_of(kMember).staying() == 9);
  bench.rows.release(*two.own.row, bench.self);
  CHECK(bench.rows.sum_of(kMember).leaving == 0);
}

}  // namespace
}  // namespace wsbalance::httpd
