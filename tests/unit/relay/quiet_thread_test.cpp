#include "relay/quiet_thread.h"

#include <atomic>
#include <chrono>

#include "relay/time_source.h"
#include "support/catch.h"
#include "unit/relay/peer.h"

namespace wsbalance::relay {
namespace {

using namespace std::chrono_literals;

// Runs until it is told to end.
struct Worker {
  static void run(void* self) noexcept {
    auto& worker = *static_cast<Worker*>(self);
    ++worker.runs;
    while (!worker.must_end) ::poll(nullptr, 0, 1);
  }
  std::atomic<int> runs{0};
  std::atomic<bool> must_end{false};
  QuietThread thread{run, this};
};

TEST_CASE("a thread is seen to end, is joined and starts again", "[relay]") {
  const SteadyTime time;
  Worker worker;
  worker.thread.join();  // Nothing to join.
  for (int run = 1; run <= 3; ++run) {
    worker.must_end = false;
    REQUIRE(worker.thread.start("test") == 0);
    CHECK(worker.thread.is_started());
    CHECK(wait_until([&] { return worker.runs == run; }));
    CHECK_FALSE(worker.thread.is_done());
    CHECK_FALSE(worker.thread.wait_gone(time.now() + 5ms));
    worker.must_end = true;
    CHECK(worker.thread.wait_gone(time.now() + 10s));
    CHECK(worker.thread.is_done());
    worker.thread.join();
    CHECK_FALSE(worker.thread.is_started());
  }
}

}  // namespace
}  // namespace wsbalance::relay
