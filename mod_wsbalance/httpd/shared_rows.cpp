#include "httpd/shared_rows.h"

#include <poll.h>

#include <algorithm>
#include <new>

namespace wsbalance::httpd {
namespace {

constexpr std::uint64_t kMagic = 0x776f722d62736c77;
// Raised whenever a field changes its meaning or place. Sizes are compared besides.
constexpr std::uint32_t kVersion = 2;

constexpr int kLockLooksMax = 500;  // A millisecond each.
constexpr int kLooksBeforeDoubt = 20;

constexpr std::string_view kOtherName = "other";

// What a process has no longer; returned.
std::uint32_t take_out(CellNumber number, MemberCell& cell, MemberRow& member) {
  const std::uint32_t count = (cell.*number).exchange(0);
  if (count != 0) (member.all.*number).fetch_sub(count);
  return count;
}

std::size_t align(std::size_t bytes) {
  return (bytes + SharedRows::kAlignment - 1) / SharedRows::kAlignment * SharedRows::kAlignment;
}

}  // namespace

// Held for some microseconds, when a member gets or loses its row. A process that dies with it
// loses it.
class SharedRows::NamingLock {
 public:
  NamingLock(std::atomic<std::uint64_t>& word, const ProcessId& by)
      : word_(word), mine_(RowOwner(ProcessKind::changing, by).word()) {
    for (int look = 0; look < kLockLooksMax; ++look) {
      std::uint64_t held_by = 0;
      if (word_.compare_exchange_strong(held_by, mine_)) {
        is_held_ = true;
        return;
      }
      if (look % kLooksBeforeDoubt == kLooksBeforeDoubt - 1 &&
          !is_alive(RowOwner(held_by).process()) && word_.compare_exchange_strong(held_by, mine_)) {
        is_held_ = true;
        return;
      }
      ::poll(nullptr, 0, 1);
    }
  }
  NamingLock(const NamingLock&) = delete;
  NamingLock& operator=(const NamingLock&) = delete;
  ~NamingLock() {
    std::uint64_t mine = mine_;
    if (is_held_) word_.compare_exchange_strong(mine, 0);
  }

  explicit operator bool() const { return is_held_; }

 private:
  std::atomic<std::uint64_t>& word_;
  const std::uint64_t mine_;
  bool is_held_ = false;
};

RowNumbers SharedRows::within_bounds(RowNumbers numbers) {
  numbers.members = std::clamp<std::uint32_t>(numbers.members, 1, kMembersMax);
  return numbers;
}

std::size_t SharedRows::bytes_for(RowNumbers numbers) {
  numbers = within_bounds(numbers);
  const std::size_t cells = std::size_t{numbers.processes} * numbers.members;
  return align(sizeof(Header)) + numbers.processes * sizeof(ProcessRow) +
         numbers.members * sizeof(MemberRow) + cells * sizeof(MemberCell);
}

SharedRows::SharedRows(void* memory, RowNumbers numbers) : header_(static_cast<Header*>(memory)) {
  auto* at = static_cast<std::byte*>(memory) + align(sizeof(Header));
  processes_ = {reinterpret_cast<ProcessRow*>(at), numbers.processes};
  at += processes_.size_bytes();
  members_ = {reinterpret_cast<MemberRow*>(at), numbers.members};
  at += members_.size_bytes();
  cells_ = reinterpret_cast<MemberCell*>(at);
}

SharedRows SharedRows::make(void* memory, RowNumbers numbers) {
  numbers = within_bounds(numbers);
  // Nothing else is written, so that pages that nobody needs are never there: all that is zero is
  // as its constructor would leave it.
  SharedRows rows(memory, numbers);
  auto* header = new (memory) Header{};
  header->version = kVersion;
  header->header_bytes = sizeof(Header);
  header->process_bytes = sizeof(ProcessRow);
  header->member_bytes = sizeof(MemberRow);
  header->numbers = numbers;
  header->magic = kMagic;
  MemberRow& other = rows.members_[kOtherMember];
  other.name({.server = "", .balancer = "", .worker = kOtherName}, 0);
  other.is_used = 1;
  header->members_used = 1;
  return rows;
}

std::optional<SharedRows> SharedRows::find(void* memory, std::size_t bytes) {
  if (memory == nullptr || bytes < sizeof(Header)) return std::nullopt;
  const auto* header = static_cast<const Header*>(memory);
  if (header->magic != kMagic || header->version != kVersion ||
      header->header_bytes != sizeof(Header) || header->process_bytes != sizeof(ProcessRow) ||
      header->member_bytes != sizeof(MemberRow) || bytes < bytes_for(header->numbers)) {
    return std::nullopt;
  }
  return SharedRows(memory, header->numbers);
}

OwnRow SharedRows::claim(const ProcessId& child, std::uint32_t epoch,
                         std::uint32_t generation) const {
  for (ProcessRow& row : processes_) {
    std::uint64_t free = 0;
    if (!row.owner.compare_exchange_strong(free, RowOwner(ProcessKind::changing, child).word())) {
      continue;
    }
    // Somebody may have counted here when the row was no longer theirs.
    MemberCell* const cells = cells_of(row);
    for (std::size_t member = 0; member < members().size(); ++member) {
      for (const auto number : kCellNumbers) cells[member].*number = 0;
      cells[member].seats = 0;
      cells[member].leaving = 0;
    }
    row.open_tunnels = 0;
    row.waiting_handshakes = 0;
    row.epoch = epoch;
    row.generation = generation;
    row.must_close = 0;
    row.owner = RowOwner(ProcessKind::child, child).word();
    return {&row, cells};
  }
  return {};
}

void SharedRows::keep_tunnels_only(ProcessRow& row, const ProcessId& child) const {
  if (!is_shared(row) || row.owner != RowOwner(ProcessKind::child, child).word()) return;
  row.waiting_handshakes = 0;
  MemberCell* const cells = cells_of(row);
  for (std::size_t member = 0; member < members().size(); ++member) {
    for (const auto number : kCellNumbers) {
      if (number != &MemberCell::tunnels) take_out(number, cells[member], members_[member]);
    }
    cells[member].seats = cells[member].tunnels.load();
  }
}

bool SharedRows::hand_over(ProcessRow& row, const ProcessId& child,
                           const ProcessId& carrier) const {
  if (!is_shared(row)) return false;
  std::uint64_t expected = RowOwner(ProcessKind::child, child).word();
  return row.owner.compare_exchange_strong(expected,
                                           RowOwner(ProcessKind::carrier, carrier).word());
}

SharedRows::Room SharedRows::make_room(std::uint32_t most, std::uint32_t tunnels) const {
  for (;;) {
    ProcessRow* smallest = nullptr;
    std::uint32_t fewest = tunnels;
    std::uint32_t staying = 0;
    for (ProcessRow& row : processes_) {
      if (RowOwner(row.owner).kind() != ProcessKind::carrier || row.must_close != 0) continue;
      ++staying;
      const std::uint32_t open = row.open_tunnels;
      if (open > fewest) continue;
      fewest = open;
      smallest = &row;
    }
    if (staying < most) return {.is_there = true};
    if (smallest == nullptr) return {};
    const ProcessId told = RowOwner(smallest->owner).process();
    std::uint32_t not_told = 0;  // Or another child was quicker.
    if (smallest->must_close.compare_exchange_strong(not_told, 1)) {
      return {.is_there = true, .told = told, .tunnels = fewest};
    }
  }
}

void SharedRows::release(ProcessRow& row, const ProcessId& owner) const {
  if (!is_shared(row)) return;
  const RowOwner found(row.owner.load());
  if (found.process() == owner) clear(row, found, owner, true);
}

void SharedRows::clear_ended(pid_t pid, const ProcessId& by) const {
  for (ProcessRow& row : processes_) {
    const RowOwner owner(row.owner.load(std::memory_order_relaxed));
    // A carrier that began meanwhile may have got the pid.
    if (owner.kind() != ProcessKind::none && owner.process().pid == pid &&
        !is_alive(owner.process())) {
      clear(row, owner, by, false);
    }
  }
}

void SharedRows::clear_dead(const ProcessId& by) const {
  for (ProcessRow& row : processes_) {
    const RowOwner owner(row.owner.load(std::memory_order_relaxed));
    if (owner.kind() != ProcessKind::none && !is_alive(owner.process())) {
      clear(row, owner, by, false);
    }
  }
}

// Whoever clears a row owns it meanwhile, so that it is done once and before anybody claims it; if
// he dies at it, the next one begins again, with what is left.
void SharedRows::clear(ProcessRow& row, RowOwner expected, const ProcessId& by,
                       bool is_in_order) const {
  const RowOwner clearing(ProcessKind::changing, by);
  std::uint64_t word = expected.word();
  if (!row.owner.compare_exchange_strong(word, clearing.word())) return;
  const auto shutdown = static_cast<std::size_t>(relay::EndReason::shutdown);
  MemberCell* const cells = cells_of(row);
  for (std::size_t member = 0; member < members().size(); ++member) {
    for (const auto number : kCellNumbers) {
      if (number != &MemberCell::tunnels) take_out(number, cells[member], members_[member]);
    }
    cells[member].seats = 0;
    cells[member].leaving = 0;
    const std::uint32_t open = take_out(&MemberCell::tunnels, cells[member], members_[member]);
    if (open == 0) continue;
    for (EndCounts* ends : {&members_[member].ends, &header_->ends}) {
      (is_in_order ? ends->ended[shutdown] : ends->lost).fetch_add(open, std::memory_order_relaxed);
    }
  }
  row.open_tunnels = 0;
  row.waiting_handshakes = 0;
  word = clearing.word();
  row.owner.compare_exchange_strong(word, 0);
}

Totals SharedRows::totals() const {
  Totals totals;
  for (const ProcessRow& row : processes_) {
    if (!row.is_counting()) continue;
    const std::uint32_t open = row.open_tunnels.load(std::memory_order_relaxed);
    totals.open_tunnels += open;
    totals.waiting_handshakes += row.waiting_handshakes.load();
    if (RowOwner(row.owner.load()).kind() != ProcessKind::carrier) continue;
    ++totals.carriers;
    totals.carrier_tunnels += open;
  }
  return totals;
}

std::uint16_t SharedRows::find_member(std::uint64_t hash) const {
  for (std::size_t i = kOtherMember + std::size_t{1}; i < members().size(); ++i) {
    const MemberRow& row = members_[i];
    if (row.is_used.load(std::memory_order_acquire) != 0 && row.hash == hash) {
      return static_cast<std::uint16_t>(i);
    }
  }
  return kOtherMember;
}

std::uint16_t SharedRows::member(const MemberNames& names, std::uint32_t epoch,
                                 const ProcessId& by) const {
  const std::uint64_t hash = hash_of(names);
  const NamingLock lock(header_->naming_by, by);
  if (!lock) return kOtherMember;
  std::uint16_t number = find_member(hash);
  if (number == kOtherMember) {
    const std::span<MemberRow> used = members();
    const auto free = std::find_if(used.begin(), used.end(),
                                   [](const MemberRow& row) { return row.is_used.load() == 0; });
    number = static_cast<std::uint16_t>(free - used.begin());
    if (number == members_.size()) return kOtherMember;
    MemberRow& row = members_[number];
    row.name(names, hash);
    row.zero_counts();
    row.named_in = epoch;
    row.is_used.store(1, std::memory_order_release);
    if (free == used.end()) header_->members_used.fetch_add(1);
  }
  // An old child may ask for a member that the new configuration has too.
  std::atomic<std::uint32_t>& named_in = members_[number].named_in;
  named_in = std::max(named_in.load(), epoch);
  return number;
}

// Only a child brings new tunnels, and only for members of its own configuration.
std::uint32_t SharedRows::oldest_child_epoch() const {
  std::uint32_t oldest = epoch();
  for (const ProcessRow& row : processes_) {
    const ProcessKind kind = RowOwner(row.owner.load()).kind();
    if (kind == ProcessKind::child) oldest = std::min(oldest, row.epoch.load());
    if (kind == ProcessKind::changing) oldest = 0;  // Which one it has nobody knows yet.
  }
  return oldest;
}

void SharedRows::free_unnamed(std::span<const MemberSum> sums, const ProcessId& by) const {
  const std::uint32_t oldest = oldest_child_epoch();
  const auto is_unnamed = [&](std::size_t member) {
    const MemberRow& row = members_[member];
    return row.is_used.load() != 0 && row.named_in.load() < oldest && sums[member].tunnels == 0;
  };
  for (std::size_t member = kOtherMember + std::size_t{1}; member < members().size(); ++member) {
    if (!is_unnamed(member)) continue;
    const NamingLock lock(header_->naming_by, by);
    if (lock && is_unnamed(member) && open_of(static_cast<std::uint32_t>(member)) == 0) {
      // That of a member that was drained stands until now: nobody shall follow it any more when the
      // row is another's.
      if (members_[member].moves.order.exchange(0) != 0) note_order();
      members_[member].is_used.store(0, std::memory_order_release);
      header_->has_told_full = 0;
    }
  }
}

bool SharedRows::take_turn(std::int64_t now_ms, std::int64_t every_ms) const {
  std::int64_t at = header_->turn_at_ms.load(std::memory_order_relaxed);
  return now_ms >= at && header_->turn_at_ms.compare_exchange_strong(at, now_ms + every_ms);
}

// For a moment two may believe that it is theirs: each check is claimed by itself besides.
bool SharedRows::hold_checks(const ProcessId& self, std::int64_t now_ms,
                             std::int64_t lease_ms) const {
  const std::uint64_t mine = RowOwner(ProcessKind::child, self).word();
  std::uint64_t held_by = header_->checks_by.load();
  if (held_by != mine) {
    if (held_by != 0 && now_ms < header_->checks_until_ms.load() &&
        is_alive(RowOwner(held_by).process())) {
      return false;
    }
    if (!header_->checks_by.compare_exchange_strong(held_by, mine)) return false;
  }
  header_->checks_until_ms = now_ms + lease_ms;
  return true;
}

void SharedRows::release_checks(const ProcessId& self) const {
  std::uint64_t mine = RowOwner(ProcessKind::child, self).word();
  header_->checks_by.compare_exchange_strong(mine, 0);
}

bool SharedRows::is_shared(const ProcessRow& row) const {
  return &row >= processes_.data() && &row < processes_.data() + processes_.size();
}

}  // namespace wsbalance::httpd
