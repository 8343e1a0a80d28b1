// member_watch.h - follows the state of each member of a balancer, and orders what is to become of
// its tunnels (member_order.h).
//
// Layer:    httpd.
// Owns:     nothing; what it has seen and ordered stands in the members' rows, and so it goes on in
//           another process and over reloads.
// Threads:  look() of one process at a time; set_move_rules() the parent's main thread, and for a
//           member that was added at run time any worker thread.
// Errors:   none but the constructor's std::bad_alloc.
//
// A member is down while mod_proxy's record says so, however it came to that; it is back when
// mod_proxy lets handshakes go to it again, be it to try it. What closes tunnels of others for its
// sake waits for more: until it has got a tunnel, one tunnel at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "balance/member_state.h"
#include "balance/rebalance.h"
#include "httpd/httpd_api.h"
#include "httpd/member_order.h"
#include "httpd/shared_rows.h"

namespace wsbalance::httpd {

struct BalancerConfig;

// What a member's row says of its balancer's section.
void set_move_rules(MemberMoves& moves, const BalancerConfig& config);

// A member of this configuration, with its record: whether it was there from the beginning or has
// come at run time.
void note_member(MemberRow& row, const proxy_worker_shared& record, bool is_first_start);

class MemberWatch {
 public:
  // `server`: for its lines in the error log.
  MemberWatch(const SharedRows& rows, std::uint32_t epoch, const server_rec* server);

  // `sums`: of rows.members(). Allocates nothing.
  void look(std::span<const MemberSum> sums, std::int64_t now_ms) noexcept;

 private:
  const proxy_worker_shared* record_of(const MemberRow& row) const noexcept;
  std::optional<balance::MemberState> see(const MemberRow& row) const noexcept;
  void follow(MemberRow& row, const MemberSum& sum, std::int64_t now_ms) noexcept;
  void come(MemberRow& row, std::int64_t now_ms) noexcept;
  void order(MemberRow& row, const balance::MemberState& state, std::uint32_t tunnels,
             std::int64_t now_ms) noexcept;
  void tell(const MemberRow& row, const MemberOrder& order, std::uint32_t tunnels) const noexcept;

  void step(MemberRow& row, std::span<const MemberSum> sums, std::int64_t now_ms) noexcept;
  bool gather(const MemberRow& row, std::span<const MemberSum> sums) noexcept;
  bool begin_steps(MemberRow& row, std::int64_t now_ms) noexcept;
  std::uint32_t take_back(const MemberRow& row) noexcept;

  const SharedRows rows_;
  const std::uint32_t epoch_;
  const server_rec* const server_;
  std::vector<balance::MemberLoad> loads_;  // Of one balancer, in a step.
};

}  // namespace wsbalance::httpd
