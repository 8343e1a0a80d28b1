#include "httpd/process_id.h"

#include <poll.h>
#include <unistd.h>

#include "rows_bench.h"
#include "support/catch.h"

namespace wsbalance::httpd {
namespace {

TEST_CASE("a process is known by pid and start time", "[rows]") {
  const ProcessId self = process_id_of(::getpid());
  CHECK(self.pid == ::getpid());
  CHECK(self.start > 0);
  CHECK(self == process_id_of(::getpid()));
  CHECK(is_alive(self));

  SECTION("one that had the pid before is gone") {
    CHECK_FALSE(is_alive({self.pid, self.start - 1}));
  }
  SECTION("without a start time the pid has to do") { CHECK(is_alive({self.pid, 0})); }
}

TEST_CASE("a process that has ended is gone, reaped or not", "[rows]") {
  OtherProcess other;
  REQUIRE(is_alive(other.id()));
  other.kill();
  // The kernel needs its time for that.
  for (int i = 0; i < 10'000 && is_alive(other.id()); ++i) ::poll(nullptr, 0, 1);
  CHECK_FALSE(is_alive(other.id()));
  other.reap();
  CHECK_FALSE(is_alive(other.id()));
  CHECK_FALSE(is_alive({other.id().pid, 0}));
}

TEST_CASE("questions about processes leave errno alone", "[rows]") {
  errno = EBADF;
  CHECK_FALSE(is_alive({0x3ffffe, 1}));
  CHECK(errno == EBADF);
}

}  // namespace
}  // namespace wsbalance::httpd
