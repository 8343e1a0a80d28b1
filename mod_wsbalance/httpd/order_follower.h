// order_follower.h - does what members' orders (member_order.h) ask of the tunnels of this process.
//
// Layer:    httpd (pure: no header of httpd or APR).
// Owns:     what it has done of each order; a carrier goes on with what its child had done.
// Threads:  one at a time.
// Errors:   the constructor may throw std::bad_alloc.
#pragma once

#include <cstdint>
#include <vector>

#include "httpd/member_order.h"
#include "httpd/shared_rows.h"

namespace wsbalance::relay {
class Relay;
}

namespace wsbalance::httpd {

class OrderFollower {
 public:
  // How soon it wants to look again while something is under way.
  static constexpr int kSoonMs = 100;

  // `own`: of this process; without cells nothing moves for the sake of another member. `relay` has
  // the rows' numbers as groups. Both must outlive it.
  OrderFollower(const SharedRows& rows, const OwnRow& own, relay::Relay& relay);

  // Does what is due by now. True: something is under way. Allocates nothing and waits for nothing.
  bool look(std::int64_t now_ms) noexcept;

 private:
  // Of a member.
  struct Followed {
    std::uint64_t order = 0;  // As it was seen first.
    std::uint32_t total = 0;  // Tunnels at that time.
    std::uint32_t done = 0;   // That were closed for it.
    std::uint32_t given = 0;  // To the relay in the last look.
  };

  bool follow(std::uint16_t member, std::uint64_t word, Followed& followed,
              std::int64_t now_ms) noexcept;
  bool drain(std::uint16_t member, const MemberOrder& order, Followed& followed,
             std::int64_t now_ms) noexcept;
  bool give_some(std::uint16_t member, std::uint64_t word, Followed& followed) noexcept;
  void give(std::uint16_t member, const MemberOrder& order, Followed& followed,
            std::uint32_t count) noexcept;
  void settle(std::uint16_t member, Followed& followed) noexcept;
  std::uint32_t staying(std::uint16_t member) const noexcept;

  const SharedRows rows_;
  const OwnRow own_;
  relay::Relay& relay_;
  std::vector<Followed> followed_;
  std::uint32_t seen_orders_ = 0;
  bool has_orders_ = false;
};

}  // namespace wsbalance::httpd
