// shared_rows.h - what all processes count together, in shared memory that lives over restarts.
//
// Layer:    httpd (pure: no header of httpd or APR).
// Owns:     nothing: a view of memory that others make (shared_segment.h).
// Threads:  any thread of any process.
// Errors:   claim() gives an empty row and member() kOtherMember where all rows are taken.
//
// A row for each process that owns tunnels, so that one that dies by a signal can be taken out of
// every sum; a row for each member; and a cell for each pair of them. Processes
// find each other's rows by number: the memory may begin elsewhere in each of them.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "httpd/member_row.h"
#include "httpd/process_row.h"

namespace wsbalance::httpd {

struct RowNumbers {
  std::uint32_t processes = 0;
  std::uint32_t members = 0;
};

// How handshakes get on in all children: a slot that is freed is progress (handshake_slot.h).
struct alignas(64) HandshakeProgress {
  std::atomic<std::uint32_t> freed{0};
  std::atomic<std::uint32_t> stalled_at{~0u};  // What `freed` was when nothing went on any more.
};

struct Totals {
  std::uint32_t open_tunnels = 0;
  std::uint32_t waiting_handshakes = 0;
  std::uint32_t carriers = 0;
  std::uint32_t carrier_tunnels = 0;  // Of the open ones.
};

// Of a member, over all processes: as MemberCell has them.
struct MemberSum {
  std::uint32_t tunnels = 0;
  std::uint32_t requests = 0;
  std::uint32_t handshakes = 0;
  std::uint32_t plain = 0;
  std::uint32_t leaving = 0;

  std::uint32_t staying() const { return tunnels - std::min(tunnels, leaving); }
};

class SharedRows {
 public:
  static constexpr std::size_t kAlignment = 64;

  // The row of members that have none of their own.
  static constexpr std::uint16_t kOtherMember = 0;
  static constexpr std::uint32_t kMembersMax = 0xffff;

  static std::size_t bytes_for(RowNumbers numbers);

  // Makes rows in memory that is all zero.
  static SharedRows make(void* memory, RowNumbers numbers);

  // The rows that another generation has made. Empty: another version of this module did, and they
  // are laid out in another way.
  static std::optional<SharedRows> find(void* memory, std::size_t bytes);

  RowNumbers numbers() const { return header_->numbers; }

  // A configuration begins: in the parent, before its children. Its number is not 0.
  std::uint32_t begin_epoch() const { return header_->epoch.fetch_add(1) + 1; }
  std::uint32_t epoch() const { return header_->epoch.load(std::memory_order_relaxed); }

  // ---- processes

  // A free row for a child, zeroed.
  OwnRow claim(const ProcessId& child, std::uint32_t epoch, std::uint32_t generation) const;

  // The child that owns the row has no requests any more. Nobody may count in it meanwhile: so before
  // there is a carrier.
  void keep_tunnels_only(ProcessRow& row, const ProcessId& child) const;

  // The child that owns the row gives it to its carrier, with all that is open, before it ends
  // itself. False: it does not own it.
  bool hand_over(ProcessRow& row, const ProcessId& child, const ProcessId& carrier) const;

  // Is there room for one carrier more, with so many tunnels, where `most` of them may stay? If not,
  // the one with the fewest tunnels is told to close, unless it has more than the new one; `told`
  // says which.
  struct Room {
    bool is_there = false;
    std::optional<ProcessId> told{};
    std::uint32_t tunnels = 0;  // Of the one that was told.
  };
  Room make_room(std::uint32_t most, std::uint32_t tunnels) const;

  // The owner ends in order and frees its row; what is still open in it ends by `shutdown`. Does
  // nothing if the row is another's. Safe in a signal handler.
  void release(ProcessRow& row, const ProcessId& owner) const;

  // The rows of a child that has ended (hand_over() was before that), or of any process that is gone:
  // what is open in them is lost.
  void clear_ended(pid_t pid, const ProcessId& by) const;
  void clear_dead(const ProcessId& by) const;

  // Calls tell(const ProcessId&) for each carrier.
  template <typename Tell>
  void for_each_carrier(Tell&& tell) const {
    for (const ProcessRow& row : processes_) {
      const RowOwner owner(row.owner.load(std::memory_order_relaxed));
      if (owner.kind() == ProcessKind::carrier) tell(owner.process());
    }
  }

  // The sums over all rows. Each figure is exact only while nobody counts.
  Totals totals() const;

  // ---- members

  // The row of a member, by name; claimed if there is none yet. `epoch`: of the configuration that
  // names it. May wait some milliseconds.
  std::uint16_t member(const MemberNames& names, std::uint32_t epoch, const ProcessId& by) const;
  MemberRow& member_row(std::uint32_t number) const { return members_[number]; }
  // All that have ever been used. The others are not looked at: to read a page would make it.
  std::span<MemberRow> members() const { return members_.first(header_->members_used.load()); }

  // The sums of each of members(); `sums` has room for numbers().members.
  void sum_members(std::span<MemberSum> sums) const;
  MemberSum sum_of(std::uint32_t member) const;
  std::uint32_t open_of(std::uint32_t member) const { return sum_of(member).tunnels; }
  std::uint32_t seats_of(std::uint32_t member) const;

  // What MemberRow::all of each of them says. A process that dies between its cell and that leaves it
  // wrong: correct_totals() takes out what it differed from the sums by at each of some looks, where
  // `before` and what it says by now are the totals on both sides of `sums`. One process at a time.
  void read_totals(std::span<MemberSum> totals) const;
  void correct_totals(std::span<const MemberSum> before, std::span<const MemberSum> sums) const;

  // Changes with each change of an order of any member (member_order.h): nobody else has to look at
  // all of them.
  std::uint32_t orders() const { return header_->orders.load(); }
  void note_order() const { header_->orders.fetch_add(1); }

  // Frees rows of members that no configuration names any more which a living child might use, and on
  // which nothing is open.
  void free_unnamed(std::span<const MemberSum> sums, const ProcessId& by) const;

  // True for the first one that asks: rows have run out.
  bool should_tell_full() const { return header_->has_told_full.exchange(1) == 0; }

  // ---- the rest

  HandshakeProgress& progress() const { return header_->progress; }
  EndCounts& ends() const { return header_->ends; }

  // Is it this process' turn to look after the rows? One process gets a yes in each `every_ms`.
  bool take_turn(std::int64_t now_ms, std::int64_t every_ms) const;

  // Is it this process that checks members? It has to ask again within `lease_ms`; another one gets a
  // yes only when it did not, when it is gone, or after release_checks().
  bool hold_checks(const ProcessId& self, std::int64_t now_ms, std::int64_t lease_ms) const;
  void release_checks(const ProcessId& self) const;

 private:
  struct Header {
    // These stay where they are in every version.
    std::uint64_t magic;
    std::uint32_t version;
    std::uint32_t header_bytes;
    std::uint32_t process_bytes;
    std::uint32_t member_bytes;
    RowNumbers numbers;

    std::atomic<std::uint32_t> epoch;
    std::atomic<std::uint32_t> members_used;  // Rows from here on never were.
    std::atomic<std::uint32_t> has_told_full;
    std::atomic<std::uint32_t> orders;
    std::atomic<std::uint64_t> naming_by;  // Who claims or frees rows of members now: a RowOwner.
    std::atomic<std::int64_t> turn_at_ms;
    std::atomic<std::uint64_t> checks_by;  // A RowOwner; 0: nobody.
    std::atomic<std::int64_t> checks_until_ms;
    HandshakeProgress progress;
    EndCounts ends;
  };

  class NamingLock;

  SharedRows(void* memory, RowNumbers numbers);
  static RowNumbers within_bounds(RowNumbers numbers);
  MemberCell* cells_of(const ProcessRow& row) const {
    return cells_ + static_cast<std::size_t>(&row - processes_.data()) * members_.size();
  }
  bool is_shared(const ProcessRow& row) const;
  void clear(ProcessRow& row, RowOwner expected, const ProcessId& by, bool is_in_order) const;
  std::uint16_t find_member(std::uint64_t hash) const;
  std::uint32_t oldest_child_epoch() const;

  Header* header_;
  std::span<ProcessRow> processes_;
  std::span<MemberRow> members_;
  MemberCell* cells_;  // [process][member]
};

}  // namespace wsbalance::httpd
