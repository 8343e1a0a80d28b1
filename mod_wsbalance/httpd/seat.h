// seat.h - a place at a member: of a handshake under way, then of its tunnel; and how many a member
// has.
//
// Layer:    httpd.
// Owns:     a Seat: one count in this child's cell of the member, until its end or keep(). What a
//           process held goes with its row (shared_rows.h).
// Threads:  any worker thread, without a lock.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "httpd/child.h"
#include "httpd/httpd_api.h"
#include "httpd/members.h"

namespace wsbalance::httpd {

// 0: no limit.
struct SeatLimits {
  std::uint32_t child_max = 0;   // max= of the member: in each child.
  std::uint32_t server_max = 0;  // WSBalanceMaxPerMember: over all processes.

  bool are_there() const { return child_max != 0 || server_max != 0; }
};

// `balancer`: the member's, or null.
SeatLimits seat_limits(const ModuleState& state, const server_rec* server,
                       const proxy_worker* worker, const proxy_balancer* balancer);

// What of a member's counts is the asker's own.
struct OwnCounts {
  std::uint32_t seats = 0;
  std::uint32_t requests = 0;
};

// Has the member no room for one more? max= is for plain requests to it too, as they take
// connections from mod_proxy's pool, and nobody shall wait for one of those.
bool is_full(const ModuleState& state, const SeatLimits& limits, std::uint16_t member,
             const OwnCounts& own = {});

class Seat {
 public:
  Seat() = default;
  Seat(Seat&& other) noexcept
      : cell_(std::exchange(other.cell_, nullptr)), has_left_row_(other.has_left_row_) {}
  Seat& operator=(Seat&& other) noexcept {
    std::swap(cell_, other.cell_);
    std::swap(has_left_row_, other.has_left_row_);
    return *this;
  }
  ~Seat() { leave(); }

  // False: the member is full. Two that come at the same time may both be turned away at a limit,
  // but never both be let in above it. `has_counted_request`: the asker's own is one of the requests.
  [[nodiscard]] bool take(const ModuleState& state, const SeatLimits& limits, std::uint16_t member,
                          bool has_counted_request);

  // Child::tunnel_ended() gives it back.
  void keep() noexcept { cell_ = nullptr; }

 private:
  void leave() noexcept;

  MemberCell* cell_ = nullptr;
  const std::atomic<bool>* has_left_row_ = nullptr;
};

}  // namespace wsbalance::httpd
