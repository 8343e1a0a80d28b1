#include "httpd/member_feed.h"

#include "support/catch.h"

namespace wsbalance::httpd {
namespace {

struct Bench {
  std::size_t busy = 0;
  std::int64_t transferred = 0;
  std::int64_t read = 0;
  MemberRow row;
  MemberRecord record{busy, transferred, read};
};

TEST_CASE("busy follows open tunnels, beside what mod_proxy counts", "[rows]") {
  Bench bench;
  seed(bench.row, 1, 0, bench.record);
  bench.busy += 2;  // Requests that mod_proxy serves.
  feed_opened(bench.row, 1, bench.busy);
  feed_opened(bench.row, 1, bench.busy);
  CHECK(bench.busy == 4);
  feed(bench.row, 1, 2, bench.record);
  CHECK(bench.busy == 4);
  feed(bench.row, 1, 1, bench.record);
  CHECK(bench.busy == 3);

  SECTION("whatever was told between") {
    feed(bench.row, 1, 3, bench.record);  // The cells were counted first.
    feed_opened(bench.row, 1, bench.busy);
    feed_opened(bench.row, 1, bench.busy);
    feed(bench.row, 1, 3, bench.record);
    CHECK(bench.busy == 5);
  }
  SECTION("never below nothing") {
    bench.busy = 0;  // Somebody has reset it.
    feed(bench.row, 1, 0, bench.record);
    CHECK(bench.busy == 0);
  }
}

TEST_CASE("a new record begins with the tunnels that others hold", "[rows]") {
  Bench bench;
  seed(bench.row, 1, 0, bench.record);
  feed_opened(bench.row, 1, bench.busy);

  Bench reloaded;
  reloaded.busy = 77;  // As BalancerPersist found it.
  reloaded.transferred = 5;
  seed(bench.row, 2, 1, reloaded.record);
  CHECK(reloaded.busy == 1);
  CHECK(reloaded.transferred == 5);

  SECTION("and an old child does not reach it") {
    feed_opened(bench.row, 1, bench.busy);
    CHECK(bench.busy == 1);
    feed(bench.row, 1, 5, bench.record);
    CHECK(bench.busy == 1);
    feed(bench.row, 2, 2, reloaded.record);
    CHECK(reloaded.busy == 2);
  }
  SECTION("also where it was added at run time") {
    Bench added;
    added.busy = 1;  // A request.
    feed_opened(bench.row, 3, added.busy);
    CHECK(added.busy == 1);
    feed(bench.row, 3, 4, added.record);
    CHECK(added.busy == 5);
  }
}

TEST_CASE("what mod_proxy counted wrong is taken out", "[rows]") {
  Bench bench;
  seed(bench.row, 1, 2, bench.record);
  const MemberSum sum{.tunnels = 2, .requests = 3};
  const auto look = [&](std::size_t busy) {
    bench.busy = busy;
    correct_drift(bench.row, sum, bench.record);
    return bench.busy;
  };
  SECTION("nothing where nothing is wrong") {
    for (std::uint32_t i = 0; i < 2 * DriftWatch::kLooks; ++i) CHECK(look(5) == 5);
  }
  SECTION("too much, when it was there at each look") {
    CHECK(look(9) == 9);
    CHECK(look(7) == 7);
    CHECK(look(8) == 6);
    CHECK(look(6) == 6);
  }
  SECTION("too little") {
    CHECK(look(3) == 3);
    CHECK(look(0) == 0);
    CHECK(look(2) == 4);
  }
  SECTION("not a request that only one of us counts yet") {
    CHECK(look(6) == 6);
    CHECK(look(5) == 5);
    CHECK(look(6) == 6);
    CHECK(look(4) == 4);
    CHECK(look(6) == 6);
    CHECK(look(6) == 6);
  }
}

TEST_CASE("bytes are told once", "[rows]") {
  Bench bench;
  bench.row.bytes_to_member = 100;  // Of an old configuration.
  seed(bench.row, 1, 0, bench.record);
  bench.row.bytes_to_member += 7;
  bench.row.bytes_to_client += 9;
  for (int i = 0; i < 2; ++i) feed(bench.row, 1, 0, bench.record);
  CHECK(bench.transferred == 7);
  CHECK(bench.read == 9);
}

TEST_CASE("the address of a record is of one epoch only", "[rows]") {
  int record = 0;
  const std::uint64_t word = RecordAddress::pack(&record, 5);
  CHECK(RecordAddress::unpack(word, 5) == &record);
  CHECK(RecordAddress::unpack(word, 6) == nullptr);
  CHECK(RecordAddress::unpack(0, 1) == nullptr);
  CHECK(RecordAddress::pack(reinterpret_cast<void*>(std::uintptr_t{1} << 50), 5) == 0);
}

}  // namespace
}  // namespace wsbalance::httpd
