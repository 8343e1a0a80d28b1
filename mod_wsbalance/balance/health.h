// health.h - what checks say of a member: down after some bad ones in a row, up again after some
// good ones; and when the next check is due.
//
// Layer:    balance (pure).
// Threads:  values.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace wsbalance::balance {

struct HealthRule {
  std::uint16_t rise = 2;  // Good checks in a row that bring a member back.
  std::uint16_t fall = 3;  // Bad ones that take it out.
};

struct Health {
  bool is_checked = false;    // There was a check.
  bool is_down = false;       // Until then a member counts as up.
  std::uint16_t against = 0;  // How many checks in a row have said otherwise.

  // For shared memory; all zero is a member that nobody has checked.
  std::uint32_t pack() const;
  static Health unpack(std::uint32_t word);
  bool operator==(const Health&) const = default;
};

enum class HealthChange : std::uint8_t { none, went_down, came_back };

// Takes in the result of a check.
HealthChange take_check(Health& health, bool was_good, const HealthRule& rule);

// Times are on any clock that only goes forward; 0 stands for "never".
struct CheckTimes {
  std::chrono::milliseconds interval{0};
  std::chrono::milliseconds timeout{0};
};

// How long a check that was begun keeps others from beginning one, if nobody tells of its end.
std::chrono::milliseconds claim_for(const CheckTimes& times);

// When the member `index` of `count` is due. `due` is what was said last; where that cannot be (never
// said, or of longer times), members begin evenly spread over the interval.
std::chrono::milliseconds due_at(std::chrono::milliseconds due, std::chrono::milliseconds now,
                                 const CheckTimes& times, std::size_t index, std::size_t count);

// When the check after one that began at `began` is due: one interval later, at `now` if that is over.
std::chrono::milliseconds due_after(std::chrono::milliseconds began, std::chrono::milliseconds now,
                                    const CheckTimes& times);

}  // namespace wsbalance::balance
