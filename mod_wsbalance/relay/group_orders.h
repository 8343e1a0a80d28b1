// group_orders.h - which tunnels of which group are to be closed, so that their clients connect
// again: shared by the loops of a relay, each of which takes from an order what it can do.
//
// Layer:    relay.
// Threads:  any.
// Errors:   none but the constructor's std::bad_alloc.
//
// A group is a number that the owner of the tunnels gives to them. An order is one word, which
// loops count down: so no more tunnels are closed than were ordered, whoever closes them, and an
// order can be replaced or taken back at any time. No lock: threads that order may be interrupted
// by a signal handler that ends the process.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "relay/end_reason.h"
#include "relay/tunnel_settings.h"

namespace wsbalance::relay {

struct GroupOrder {
  // Or more.
  static constexpr std::uint32_t kAll = (std::uint32_t{1} << 20) - 1;

  EndReason reason = EndReason::none;
  std::uint32_t count = 0;                              // The most that is closed: kAll is all.
  Clock::time_point before = Clock::time_point::max();  // Only tunnels that began before.
};

class GroupOrders {
 public:
  // For groups below `groups`; others have no orders.
  explicit GroupOrders(std::size_t groups)
      : groups_(groups), words_(std::make_unique<std::atomic<std::uint64_t>[]>(groups)) {}

  // Replaces the one that there is.
  void give(std::size_t group, const GroupOrder& order) noexcept;

  // Takes it back; how many tunnels of it were not closed.
  std::uint32_t take_back(std::size_t group) noexcept;

  // One tunnel of the group, which began then: why it is to be closed, if it is. It counts as
  // closed from now on.
  std::optional<EndReason> take(std::size_t group, Clock::time_point began) noexcept;

 private:
  const std::size_t groups_;
  const std::unique_ptr<std::atomic<std::uint64_t>[]> words_;
};

}  // namespace wsbalance::relay
