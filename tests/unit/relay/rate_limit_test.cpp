#include "relay/rate_limit.h"

#include <algorithm>
#include <limits>
#include <random>

#include "support/catch.h"

namespace wsbalance::relay {
namespace {

using namespace std::chrono_literals;

constexpr auto kTick = Clock::duration(1);
constexpr auto kPerSecondMax = std::numeric_limits<std::uint32_t>::max();

const Clock::time_point kStart(1234567s);

RateSettings rate(std::uint32_t per_second, std::uint32_t burst) {
  return {.per_second = per_second, .burst = burst};
}

// ready_at() is the first moment at which one unit may be taken, to the tick.
void check_ready_at(const RateLimit& limit, const RateSettings& settings, Clock::time_point ready) {
  CHECK(limit.ready_at(settings) == ready);
  RateLimit too_early = limit;
  CHECK_FALSE(too_early.take(1, settings, ready - kTick));
  RateLimit in_time = limit;
  CHECK(in_time.take(1, settings, ready));
}

TEST_CASE("rate: without a limit all may be taken", "[relay]") {
  const RateSettings settings = rate(0, GENERATE(0u, 5u));
  RateLimit limit;
  for (int i = 0; i < 100; ++i) REQUIRE(limit.take(std::uint64_t{1} << 40, settings, kStart));
  CHECK(limit.ready_at(settings) == Clock::time_point::min());
}

TEST_CASE("rate: the burst at once from rest, and not one more", "[relay]") {
  const RateSettings settings = rate(10, 5);

  SECTION("one by one") {
    RateLimit limit;
    for (int i = 0; i < 5; ++i) REQUIRE(limit.take(1, settings, kStart));
    CHECK_FALSE(limit.take(1, settings, kStart));
  }
  SECTION("all in one") {
    RateLimit limit;
    CHECK(limit.take(5, settings, kStart));
    CHECK_FALSE(limit.take(1, settings, kStart));
  }
  SECTION("too many in one") {
    RateLimit limit;
    CHECK_FALSE(limit.take(6, settings, kStart));
  }
}

TEST_CASE("rate: a bucket at rest is ready, whatever the time", "[relay]") {
  const RateSettings settings = rate(GENERATE(1u, 7u, kPerSecondMax), GENERATE(1u, kPerSecondMax));
  RateLimit limit;
  CHECK(limit.ready_at(settings) == Clock::time_point::min());
  const auto now = GENERATE(kStart, Clock::time_point(-kStart.time_since_epoch()),
                            Clock::time_point{}, Clock::time_point::max());
  CHECK(limit.take(1, settings, now));
}

TEST_CASE("rate: it is ready when a whole unit is there", "[relay]") {
  const RateSettings settings = rate(10, 5);
  RateLimit limit;
  limit.take(4, settings, kStart);
  CHECK(limit.ready_at(settings) == kStart);

  limit.take(1, settings, kStart);
  check_ready_at(limit, settings, kStart + 100ms);
}

TEST_CASE("rate: what is taken beyond the burst has to be waited for", "[relay]") {
  const RateSettings settings = rate(10, 5);
  RateLimit limit;
  CHECK_FALSE(limit.take(25, settings, kStart));
  check_ready_at(limit, settings, kStart + 2s + 100ms);
  // Nothing of it is forgiven, and nothing that is refused is free.
  CHECK_FALSE(limit.take(10, settings, kStart + 2s));
  check_ready_at(limit, settings, kStart + 3s + 100ms);
  CHECK_FALSE(limit.take(0, settings, kStart + 3s - kTick));
  CHECK(limit.take(0, settings, kStart + 3s));
}

TEST_CASE("rate: rest fills the bucket up to its burst, however long", "[relay]") {
  const RateSettings settings = rate(10, 5);
  RateLimit limit;
  limit.take(5, settings, kStart);
  const auto rested = kStart + GENERATE(as<Clock::duration>{}, 500ms, 1s, 24h * 365 * 50);
  CHECK(limit.take(5, settings, rested));
  check_ready_at(limit, settings, rested + 100ms);
}

TEST_CASE("rate: a burst of 0 is one of 1", "[relay]") {
  const RateSettings settings = rate(10, 0);
  RateLimit limit;
  CHECK(limit.take(1, settings, kStart));
  check_ready_at(limit, settings, kStart + 100ms);
  CHECK_FALSE(limit.take(2, settings, kStart + 100ms));
}

TEST_CASE("rate: a unit that takes no whole number of ticks", "[relay]") {
  const RateSettings settings = rate(3, 1);
  RateLimit limit;
  limit.take(1, settings, kStart);
  check_ready_at(limit, settings, kStart + 333'333'334ns);
  limit.take(1, settings, kStart + 333'333'333ns);
  check_ready_at(limit, settings, kStart + 666'666'667ns);
  limit.take(1, settings, kStart + 666'666'666ns);
  check_ready_at(limit, settings, kStart + 1s);

  const RateSettings fast = rate(kPerSecondMax, 1);
  RateLimit many;
  // 4 units take less than a tick, 5 take more.
  for (int i = 0; i < 4; ++i) many.take(1, fast, kStart);
  check_ready_at(many, fast, kStart + 1ns);
  many.take(1, fast, kStart);
  check_ready_at(many, fast, kStart + 2ns);
}

TEST_CASE("rate: as much as was promised in an hour, taken whenever it is ready", "[relay]") {
  const auto per_second = GENERATE(1u, 3u, 7u, 60u);
  const RateSettings settings = rate(per_second, GENERATE(1u, 20u));
  const auto end = kStart + 1h;
  RateLimit limit;
  std::uint64_t taken = 0;
  bool was_refused = false;
  for (auto now = kStart; now < end; now = std::max(now, limit.ready_at(settings))) {
    was_refused |= !limit.take(1, settings, now);
    ++taken;
  }
  CHECK_FALSE(was_refused);
  // All waits for a whole tick together cost less than a unit.
  const std::uint64_t promised = settings.burst + std::uint64_t{3600} * per_second;
  CHECK(taken <= promised);
  CHECK(taken >= promised - 1);
}

TEST_CASE("rate: no drift when it is overdrawn in small parts", "[relay]") {
  // Nothing is waited for, so that each part is added to the last one.
  const auto per_second = GENERATE(3u, 7u, 1'000'003u, 3'000'000'019u, kPerSecondMax);
  const RateSettings settings = rate(per_second, 1);
  constexpr std::uint64_t kParts = 100'000;
  RateLimit limit;
  for (std::uint64_t i = 0; i < kParts; ++i) limit.take(1, settings, kStart);
  // Fills up to a whole number of seconds.
  const std::uint64_t seconds = kParts / per_second + 1;
  limit.take(seconds * per_second - kParts, settings, kStart);
  CHECK(limit.ready_at(settings) == kStart + std::chrono::seconds(seconds));
}

TEST_CASE("rate: large counts do not overflow", "[relay]") {
  constexpr auto kMany = std::uint64_t{1} << 40;
  RateLimit limit;

  SECTION("at the highest rate") {
    const RateSettings settings = rate(kPerSecondMax, kPerSecondMax);
    CHECK_FALSE(limit.take(kMany, settings, kStart));
    // 2^40 / (2^32 - 1) seconds, less those of the burst but for one unit.
    const auto expected = kStart + 255s + 60ns;
    CHECK(limit.ready_at(settings) == expected);
    CHECK(limit.take(1, settings, expected));
  }
  SECTION("at the lowest rate: not within the life of this clock") {
    const RateSettings settings = rate(1, GENERATE(1u, kPerSecondMax));
    for (int i = 0; i < 3; ++i) CHECK_FALSE(limit.take(kMany, settings, kStart));
    CHECK(limit.ready_at(settings) > kStart + 24h * 365 * 100);
    CHECK_FALSE(limit.take(1, settings, kStart + 24h * 365 * 100));
  }
  SECTION("a count whose nanoseconds would wrap to less than a second") {
    CHECK_FALSE(limit.take(18'446'744'074, rate(1, 1), kStart));
    CHECK(limit.ready_at(rate(1, 1)) > kStart + 24h * 365 * 100);
  }
  SECTION("the largest count there is") {
    const RateSettings settings = rate(GENERATE(1u, 3u, kPerSecondMax), 10);
    CHECK_FALSE(limit.take(std::numeric_limits<std::uint64_t>::max(), settings, kStart));
    CHECK_FALSE(limit.take(std::numeric_limits<std::uint64_t>::max(), settings, kStart));
    CHECK(limit.ready_at(settings) > kStart + 24h * 365 * 100);
  }
  SECTION("the largest burst at the lowest rate") {
    const RateSettings settings = rate(1, kPerSecondMax);
    CHECK(limit.take(kPerSecondMax, settings, kStart));
    check_ready_at(limit, settings, kStart + 1s);
  }
}

TEST_CASE("rate: at the end of time", "[relay]") {
  const RateSettings settings = rate(1, 10);
  RateLimit limit;
  CHECK(limit.take(10, settings, Clock::time_point::max() - 20s));
  CHECK_FALSE(limit.take(1, settings, Clock::time_point::max() - 20s));
}

// A bucket that is filled and emptied, counted in units of one in per_second * nanoseconds.
struct Bucket {
  explicit Bucket(const RateSettings& settings)
      : per_second(settings.per_second),
        full(std::int64_t{settings.burst} * 1'000'000'000),
        level(full) {}

  void earn(std::int64_t nanoseconds) { level = std::min(full, level + nanoseconds * per_second); }
  bool take(std::int64_t count) {
    level -= count * 1'000'000'000;
    return level >= 0;
  }
  // In how many nanoseconds it holds a unit.
  std::int64_t wait() const {
    const std::int64_t missing = 1'000'000'000 - level;
    return missing <= 0 ? 0 : (missing + per_second - 1) / per_second;
  }

  std::int64_t per_second;
  std::int64_t full;
  std::int64_t level;
};

TEST_CASE("rate: in whatever order, it says what a bucket says", "[relay]") {
  const auto seed = GENERATE(range(1u, 101u));
  std::mt19937_64 random(seed);
  const auto per_second =
      static_cast<std::uint32_t>((random() % kPerSecondMax >> (random() % 32)) + 1);
  const auto burst = static_cast<std::uint32_t>(random() % (1u << random() % 16) + 1);
  const RateSettings settings = rate(per_second, burst);
  // How long the whole burst takes; both are small enough for the bucket.
  const std::uint64_t span = burst * std::uint64_t{1'000'000'000} / per_second + 2;

  RateLimit limit;
  Bucket bucket(settings);
  Clock::time_point now = kStart;
  for (int step = 0; step < 1000; ++step) {
    CAPTURE(seed, step, per_second, burst);
    std::int64_t passed = 0;
    switch (random() % 4) {
      case 0:
        passed = static_cast<std::int64_t>(random() % span);
        break;
      case 1:
        passed = static_cast<std::int64_t>(random() % (span / burst + 1));
        break;
      case 2:
        passed = bucket.wait();
        break;
      default:
        break;
    }
    now += std::chrono::nanoseconds(passed);
    bucket.earn(passed);
    const std::uint64_t count = random() % 3 == 0 ? random() % burst : random() % 3;
    REQUIRE(limit.take(count, settings, now) == bucket.take(static_cast<std::int64_t>(count)));
    const std::int64_t wait = std::max<std::int64_t>(0, (limit.ready_at(settings) - now).count());
    REQUIRE(wait == bucket.wait());
  }
}

}  // namespace
}  // namespace wsbalance::relay
