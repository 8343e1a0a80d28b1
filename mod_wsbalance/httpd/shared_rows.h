// shared_rows.h - what the children of one generation count together, in shared memory.
//
// Layer:    httpd.
// Owns:     nothing: the segment belongs to the configuration pool that it was made in.
// Threads:  any thread of any process; each row is written by one process.
// Errors:   create() returns nullptr when there is no shared memory; claim() when all rows are
// taken.
//
// One row for each child, so that a child that dies by a signal can be taken out of every sum: the
// parent clears the row of a pid that has ended.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "httpd/httpd_api.h"
#include "relay/end_reason.h"

namespace wsbalance::httpd {

// A cache line each: children write their rows all the time, nobody else's.
struct alignas(64) ChildRow {
  std::atomic<std::int32_t> pid{0};  // 0: free.
  std::atomic<std::uint32_t> open_tunnels{0};
  std::atomic<std::uint32_t> waiting_handshakes{0};
};
static_assert(std::atomic<std::uint32_t>::is_always_lock_free, "rows are shared by processes");

// How handshakes get on in all children: a slot that is freed is progress (handshake_slot.h).
struct alignas(64) HandshakeProgress {
  std::atomic<std::uint32_t> freed{0};
  std::atomic<std::uint32_t> stalled_at{~0u};  // What `freed` was when nothing went on any more.
};

// How the tunnels of all children ended since the last restart. Counted once for each tunnel.
struct alignas(64) EndCounts {
  std::array<std::atomic<std::uint64_t>, relay::kEndReasons> ended{};
  std::atomic<std::uint64_t> throttled{0};   // How often a limit made a side wait.
  std::atomic<std::uint64_t> violations{0};  // Frames that broke a rule.
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "counts are shared by processes");

struct Totals {
  std::uint32_t open_tunnels = 0;
  std::uint32_t waiting_handshakes = 0;
};

class SharedRows {
 public:
  // A segment for `rows` children that lives as long as `pool`; rv tells why there is none.
  static SharedRows* create(apr_pool_t* pool, std::size_t rows, apr_status_t* rv);

  // A free row for the process `pid`, zeroed.
  ChildRow* claim(pid_t pid);

  // Frees the row of `pid`, if it has one.
  void release(pid_t pid);

  // The sums over all rows. Each figure is exact only while nobody counts.
  Totals totals() const;

  HandshakeProgress& progress() const { return common_->progress; }
  EndCounts& ends() const { return common_->ends; }

 private:
  // What is not of one child.
  struct Common {
    HandshakeProgress progress;
    EndCounts ends;
  };

  SharedRows(Common* common, std::span<ChildRow> rows) : common_(common), rows_(rows) {}

  Common* common_;
  std::span<ChildRow> rows_;
};

}  // namespace wsbalance::httpd
