#include "httpd/ejection.h"

#include <set>

#include "httpd/shared_clock.h"
#include "rows_bench.h"
#include "support/catch.h"

namespace wsbalance::httpd {
namespace {

// How many clients these addresses are for a member's ring.
std::size_t clients(std::initializer_list<const char*> addresses) {
  RowsBench bench;
  for (const char* address : addresses) note_member_failure(bench.rows, 1, address);
  FailureRing::List list;
  const std::size_t count = bench.rows.member_row(1).failures.read(list);
  REQUIRE(count == addresses.size());
  std::set<std::uint32_t> found;
  for (std::size_t i = 0; i < count; ++i) found.insert(list[i].client);
  return found.size();
}

TEST_CASE("clients are told apart by address, of IPv6 by /64", "[rows]") {
  CHECK(clients({"10.0.0.1", "10.0.0.2", "10.0.1.1"}) == 3);
  CHECK(clients({"10.0.0.1", "10.0.0.1"}) == 1);
  CHECK(clients({"10.0.0.1", "::ffff:10.0.0.1"}) == 1);
  CHECK(clients({"::ffff:10.0.0.1", "::ffff:10.0.0.2"}) == 2);
  CHECK(clients({"2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:0:9::"}) == 1);
  CHECK(clients({"2001:db8::1", "2001:db8:0:1::1"}) == 2);
  CHECK(clients({"", "not an address"}) == 1);
}

TEST_CASE("a failure has the time of now", "[rows]") {
  RowsBench bench;
  const std::int64_t before = shared_clock_ms();
  note_member_failure(bench.rows, 1, "10.0.0.1");
  FailureRing::List list;
  REQUIRE(bench.rows.member_row(1).failures.read(list) == 1);
  CHECK(list[0].at.count() >= before);
  CHECK(list[0].at.count() <= shared_clock_ms());
}

TEST_CASE("members that share a row fail for nobody", "[rows]") {
  RowsBench bench;
  note_member_failure(bench.rows, SharedRows::kOtherMember, "10.0.0.1");
  FailureRing::List list;
  CHECK(bench.rows.member_row(SharedRows::kOtherMember).failures.read(list) == 0);
}

TEST_CASE("a tunnel that its member cuts at once is a failure", "[rows]") {
  relay::TunnelSummary cut;
  cut.reason = relay::EndReason::member_eof;
  cut.is_short = true;
  CHECK(is_cut_at_start(cut));
  cut.reason = relay::EndReason::member_error;
  CHECK(is_cut_at_start(cut));
  cut.to_client.bytes = 9;
  cut.to_client.frames = 1;
  CHECK(is_cut_at_start(cut));

  SECTION("not later") { cut.is_short = false; }
  SECTION("not by the client") { cut.reason = relay::EndReason::client_eof; }
  SECTION("not with a close frame") { cut.closer = relay::Closer::member; }
  SECTION("nor with one of the client") { cut.closer = relay::Closer::client; }
  SECTION("not where nobody saw whether there was one") { cut.to_client.frames = 0; }
  SECTION("nor on the other side") { cut.to_member.bytes = 8; }
  CHECK_FALSE(is_cut_at_start(cut));
}

constexpr std::int64_t kLease = 2000;

TEST_CASE("one process holds the checks until it lets go", "[rows]") {
  RowsBench bench;
  OtherProcess other;
  CHECK(bench.rows.hold_checks(other.id(), 1000, kLease));
  CHECK_FALSE(bench.rows.hold_checks(bench.self, 1000, kLease));
  CHECK(bench.rows.hold_checks(other.id(), 2500, kLease));
  CHECK_FALSE(bench.rows.hold_checks(bench.self, 4499, kLease));

  SECTION("or has not asked for too long") {
    CHECK(bench.rows.hold_checks(bench.self, 4500, kLease));
    CHECK_FALSE(bench.rows.hold_checks(other.id(), 4500, kLease));
  }
  SECTION("or is gone") {
    other.kill();
    other.reap();
    CHECK(bench.rows.hold_checks(bench.self, 2501, kLease));
  }
  SECTION("by its own word only") {
    bench.rows.release_checks(bench.self);
    CHECK_FALSE(bench.rows.hold_checks(bench.self, 2501, kLease));
    bench.rows.release_checks(other.id());
    CHECK(bench.rows.hold_checks(bench.self, 2501, kLease));
  }
}

}  // namespace
}  // namespace wsbalance::httpd
