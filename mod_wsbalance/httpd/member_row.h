// member_row.h - what all processes count of one member: a row of the shared memory.
//
// Layer:    httpd (pure: no header of httpd or APR).
// Threads:  any thread of any process counts; names change only while a row is claimed (shared_rows).
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>

#include "httpd/drift_watch.h"
#include "httpd/failure_ring.h"
#include "httpd/process_row.h"
#include "relay/end_reason.h"
#include "relay/tunnel_settings.h"

namespace wsbalance::httpd {

// What a member is known by over reloads.
struct MemberNames {
  std::string_view server;    // The virtual host that defines it.
  std::string_view balancer;  // Empty: of none.
  std::string_view worker;    // As ap_proxy_worker_name() has it.
};

// How tunnels ended, and what passed through them. Counted once for each tunnel, when it ends.
struct alignas(64) EndCounts {
  std::array<std::atomic<std::uint64_t>, relay::kEndReasons> ended{};
  std::atomic<std::uint64_t> lost{0};        // With a process that was killed: nobody saw the end.
  std::atomic<std::uint64_t> throttled{0};   // How often a limit made a side wait.
  std::atomic<std::uint64_t> violations{0};  // Frames that broke a rule.

  void count(const relay::TunnelSummary& summary) noexcept;
};

// How the member is followed, and what becomes of its tunnels (member_watch.h). Zero is: not at all.
struct MemberMoves {
  // What its balancer's section says, in the last configuration that named the member or its
  // balancer. Times are in milliseconds.
  std::atomic<std::uint32_t> is_followed{0};
  std::atomic<std::uint32_t> closes_when_down{0};  // WSBalanceOnMemberDown
  std::atomic<std::uint32_t> closes_at_drain{0};   // WSBalanceOnDrain
  std::atomic<std::uint32_t> drain_over{0};
  std::atomic<std::uint32_t> slow_start{0};         // WSBalanceSlowStart
  std::atomic<std::uint32_t> rebalance_percent{0};  // WSBalanceRebalance; 0: off
  std::atomic<std::uint32_t> rebalance_every{0};

  std::atomic<std::uint32_t> state{0};  // A balance::MemberState, as it was seen last.
  std::atomic<std::uint64_t> order{0};  // A MemberOrder.

  // It has come, and others give tunnels for it; times are of CLOCK_MONOTONIC.
  std::atomic<std::int64_t> next_step_ms{0};  // 0: they do not.
  std::atomic<std::int64_t> steps_end_ms{0};  // 0: the first step is still to come.
  std::atomic<std::uint32_t> reckoned{0};     // Tunnels of the balancer, at the first step.
  std::atomic<std::uint32_t> to_give{0};      // How many of them may still be closed.
  std::atomic<std::uint64_t> opened_before{0};

  void zero();
};

struct alignas(64) MemberRow {
  // Names are cut to what fits here; `hash` is of all of them.
  static constexpr std::size_t kServerMax = 320;
  static constexpr std::size_t kBalancerMax = 64;
  static constexpr std::size_t kWorkerMax = 512;

  std::atomic<std::uint32_t> is_used{0};
  std::atomic<std::uint32_t> named_in{0};  // The last epoch whose configuration had it.
  std::uint64_t hash = 0;
  std::array<char, kServerMax> server{};  // Each ends with a NUL.
  std::array<char, kBalancerMax> balancer{};
  std::array<char, kWorkerMax> worker{};

  std::atomic<std::uint64_t> opened{0};
  std::atomic<std::uint64_t> handshakes_failed{0};  // By the member's doing.
  std::atomic<std::uint64_t> bytes_to_member{0};
  std::atomic<std::uint64_t> bytes_to_client{0};
  std::atomic<std::uint64_t> messages_to_member{0};
  std::atomic<std::uint64_t> messages_to_client{0};
  EndCounts ends;

  // What mod_proxy's record of it has been told (member_feed.h).
  std::atomic<std::uint64_t> record{0};  // Where that is, with the epoch.
  std::atomic<std::uint64_t> fed_open{0};
  std::atomic<std::uint64_t> fed_to_member{0};
  std::atomic<std::uint64_t> fed_to_client{0};
  DriftWatch busy_drift;

  // What all processes have with it: the sum of their cells, each of which is changed before this
  // one. Who chooses a member has no time to look at all processes.
  alignas(64) MemberCell all;
  std::array<DriftWatch, kCellNumbers.size()> all_drift;

  // Slow start: since when the member takes handshakes again; CLOCK_MONOTONIC. 0: it always did. In
  // the far future while it takes none: when it does, that is seen a moment later.
  std::atomic<std::int64_t> up_since_ms{0};
  static constexpr std::int64_t kNotUp = std::numeric_limits<std::int64_t>::max();

  MemberMoves moves;

  // Health (health_checker.h); times are of CLOCK_MONOTONIC.
  std::atomic<std::uint32_t> health{0};       // A balance::Health, packed.
  std::atomic<std::int64_t> check_due_ms{0};  // 0: not known.
  std::atomic<std::uint64_t> checks{0};
  std::atomic<std::uint64_t> checks_failed{0};
  std::atomic<std::int64_t> ejected_until_ms{0};  // 0: it is not out.
  std::atomic<std::uint64_t> ejections{0};
  FailureRing failures;

  void name(const MemberNames& names, std::uint64_t hash_of_names);
  void zero_counts();
  void forget_health();  // What is of this moment; no count.
  void count_end(const relay::TunnelSummary& summary) noexcept;
};

std::uint64_t hash_of(const MemberNames& names);

}  // namespace wsbalance::httpd
