#include "balance/ejection.h"

#include <vector>

#include "support/catch.h"

namespace {

using namespace wsbalance::balance;
using std::chrono::milliseconds;

constexpr EjectRule kRule{.failures = 5, .in = milliseconds(10'000)};
constexpr milliseconds kNow{100'000};

// So many failures of so many clients, the oldest `age` before now.
std::vector<Failure> failures(unsigned count, unsigned clients,
                              milliseconds age = milliseconds(9)) {
  std::vector<Failure> made;
  for (unsigned i = 0; i < count; ++i) made.push_back({kNow - age, i % clients});
  return made;
}

bool is_out(const std::vector<Failure>& all) {
  return is_too_much(count_recent(all, kNow, kRule), kRule);
}

TEST_CASE("enough failures of enough clients are too much", "[balance]") {
  CHECK(is_out(failures(5, 3)));
  CHECK(is_out(failures(kFailuresMax, kFailuresMax)));
  CHECK_FALSE(is_out(failures(4, 4)));
  CHECK_FALSE(is_out(failures(64, 2)));
  CHECK_FALSE(is_out(failures(64, 1)));
  CHECK_FALSE(is_out({}));
}

TEST_CASE("old failures do not count", "[balance]") {
  CHECK(is_out(failures(5, 3, milliseconds(9'999))));
  CHECK_FALSE(is_out(failures(5, 3, milliseconds(10'000))));
  auto some = failures(4, 2);
  for (const Failure& old : failures(9, 9, milliseconds(20'000))) some.push_back(old);
  CHECK_FALSE(is_out(some));
}

TEST_CASE("failures and clients are counted apart", "[balance]") {
  const FailureCount count = count_recent(failures(7, 4), kNow, kRule);
  CHECK(count.failures == 7);
  CHECK(count.clients == 4);
}

TEST_CASE("the last usable member stays", "[balance]") {
  CHECK_FALSE(may_eject({.members = 4, .ejected = 0, .usable = 1}, true, 100));
  CHECK(may_eject({.members = 4, .ejected = 0, .usable = 2}, true, 100));
  // One that is in error gets no handshake now, but would soon.
  CHECK(may_eject({.members = 4, .ejected = 0, .usable = 1}, false, 100));
  CHECK_FALSE(may_eject({.members = 4, .ejected = 0, .usable = 0}, false, 100));
}

TEST_CASE("no more than a part of the members is out at once", "[balance]") {
  CHECK(may_eject({.members = 4, .ejected = 1, .usable = 3}, true, 50));
  CHECK_FALSE(may_eject({.members = 4, .ejected = 2, .usable = 2}, true, 50));
  CHECK_FALSE(may_eject({.members = 3, .ejected = 1, .usable = 2}, true, 50));
  CHECK(may_eject({.members = 2, .ejected = 0, .usable = 2}, true, 50));
  CHECK_FALSE(may_eject({.members = 2, .ejected = 0, .usable = 2}, true, 49));
  CHECK(may_eject({.members = 3, .ejected = 1, .usable = 2}, true, 100));
}

}  // namespace
