// process_row.h - what one process that owns tunnels counts: a row of the shared memory.
//
// Layer:    httpd (pure: no header of httpd or APR).
// Threads:  any thread of any process; all but must_close is written by the row's owner
//           alone.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "httpd/process_id.h"

namespace wsbalance::httpd {

enum class ProcessKind : std::uint8_t {
  none,      // The row is free.
  changing,  // Somebody, the owner for now, claims it or clears it.
  child,
  carrier,
};

// Who owns a row, in one word: a row is never seen with the pid of one process and the start time of
// another.
class RowOwner {
 public:
  RowOwner() = default;
  RowOwner(ProcessKind kind, const ProcessId& process)
      : word_(std::uint64_t{static_cast<std::uint8_t>(kind)} << kKindShift |
              (process.start & kStartMask) << kPidBits |
              (static_cast<std::uint64_t>(process.pid) & kPidMask)) {}
  explicit RowOwner(std::uint64_t word) : word_(word) {}

  std::uint64_t word() const { return word_; }
  ProcessKind kind() const { return static_cast<ProcessKind>(word_ >> kKindShift); }
  ProcessId process() const {
    return {static_cast<pid_t>(word_ & kPidMask), word_ >> kPidBits & kStartMask};
  }

 private:
  static constexpr int kPidBits = 22;  // PID_MAX_LIMIT of Linux.
  static constexpr int kKindShift = 62;
  static constexpr std::uint64_t kPidMask = (std::uint64_t{1} << kPidBits) - 1;
  static constexpr std::uint64_t kStartMask = (std::uint64_t{1} << (kKindShift - kPidBits)) - 1;

  std::uint64_t word_ = 0;
};

// A cache line each: processes write their own rows all the time, nobody else's.
struct alignas(64) ProcessRow {
  std::atomic<std::uint64_t> owner{0};  // A RowOwner's word.
  std::atomic<std::uint32_t> open_tunnels{0};
  std::atomic<std::uint32_t> waiting_handshakes{0};
  std::atomic<std::uint32_t> epoch{0};       // Of the configuration that a child runs with.
  std::atomic<std::uint32_t> generation{0};  // The same in httpd's count.
  std::atomic<std::uint32_t> must_close{0};  // A carrier that has to make room for a larger one.

  // Is it a living process'? Of others no cell is read: to read a page would make it.
  bool is_counting() const {
    const ProcessKind kind = RowOwner(owner.load(std::memory_order_relaxed)).kind();
    return kind == ProcessKind::child || kind == ProcessKind::carrier;
  }
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free &&
                  std::atomic<std::uint32_t>::is_always_lock_free,
              "rows are shared by processes");

// What a process has with one member; or what all of them have (MemberRow::all).
struct alignas(16) MemberCell {
  std::atomic<std::uint32_t> tunnels{0};
  std::atomic<std::uint32_t> requests{0};  // That mod_proxy counts as busy (member_feed.h).

  // On their way to the member (in_flight.h).
  std::atomic<std::uint32_t> handshakes{0};
  std::atomic<std::uint32_t> plain{0};  // Other requests.

  // Not in MemberRow::all: whoever asks adds them up.
  std::atomic<std::uint32_t> seats{0};    // Tunnels, and handshakes under way (seat.h).
  std::atomic<std::uint32_t> leaving{0};  // Of the tunnels: closed by an order, not over yet.
};

using CellNumber = std::atomic<std::uint32_t> MemberCell::*;
inline constexpr std::array<CellNumber, 4> kCellNumbers{
    &MemberCell::tunnels, &MemberCell::requests, &MemberCell::handshakes, &MemberCell::plain};

// A number of a process' cell, and the same in what all of them have.
struct Counter {
  std::atomic<std::uint32_t>& own;
  std::atomic<std::uint32_t>& all;

  Counter(CellNumber number, MemberCell& own_cell, MemberCell& all_cells)
      : own(own_cell.*number), all(all_cells.*number) {}
  void add_one() const noexcept {
    own.fetch_add(1, std::memory_order_relaxed);
    all.fetch_add(1, std::memory_order_relaxed);
  }
  void subtract_one() const noexcept {
    own.fetch_sub(1, std::memory_order_relaxed);
    all.fetch_sub(1, std::memory_order_relaxed);
  }
};

// The row of this process, and its cells: one for each member.
struct OwnRow {
  ProcessRow* row = nullptr;
  MemberCell* cells = nullptr;

  explicit operator bool() const { return row != nullptr; }
};

}  // namespace wsbalance::httpd
