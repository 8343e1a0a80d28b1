// member_row.h - what all processes count of one member: a row of the shared memory.
//
// Layer:    httpd (pure: no header of httpd or APR).
// Threads:  any thread of any process counts; names change only while a row is claimed (shared_rows).
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

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
  std::atomic<std::int64_t> drift_least{0};  // That was seen in the last looks.
  std::atomic<std::int64_t> drift_most{0};
  std::atomic<std::uint32_t> drift_looks{0};

  void name(const MemberNames& names, std::uint64_t hash_of_names);
  void zero_counts();
  void count_end(const relay::TunnelSummary& summary) noexcept;
};

std::uint64_t hash_of(const MemberNames& names);

}  // namespace wsbalance::httpd
