#include "relay/direction.h"

#include <algorithm>
#include <cassert>

namespace wsbalance::relay {
namespace {

// With less room than this in the budget, system calls for crumbs would cost more than passing
// through does.
constexpr std::size_t kSmallestRead = 4 * 1024;

// What pass_through() cannot deliver it copies again the next time.
constexpr std::size_t kPassThroughMax = 16 * 1024;

}  // namespace

Direction::Direction(std::size_t buffer_bytes_max) noexcept
    : buffer_bytes_max_(static_cast<std::uint32_t>(
          std::clamp<std::size_t>(buffer_bytes_max, 1, ByteQueue::kCapacityMax))) {}

bool Direction::put_first(std::span<const std::byte> data) noexcept {
  assert(queue_.is_empty());
  if (data.empty()) {
    queue_.release();
    return true;
  }
  follow(data);
  return queue_.append(data, data.size());
}

bool Direction::wants_source(const BufferBudget& budget) const noexcept {
  if (source_ended_) return false;
  if (discards_) return true;
  if (queue_.is_empty()) return !waits_for_destination_;
  return room_to_read(budget) > 0;
}

Direction::Step Direction::carry(Endpoint& source, Endpoint& destination, BufferBudget& budget,
                                 std::span<std::byte> read_buffer) noexcept {
  if (discards_) return discard(source, destination, read_buffer);
  const std::size_t room = room_to_read(budget);
  if (room == 0) {
    // Another thread may have used the budget up since wants_source() looked. New bytes may not
    // overtake those that are kept.
    return queue_.is_empty() ? pass_through(source, destination, read_buffer) : Step::blocked;
  }

  const auto into = read_buffer.first(std::min(room, read_buffer.size()));
  const auto [result, bytes] = source.read(into);
  if (result != IoResult::ok) return source_stopped(result, destination);
  follow(into.first(bytes));
  return deliver(into.first(bytes), destination, budget);
}

Direction::Step Direction::flush(Endpoint& destination, BufferBudget& budget) noexcept {
  waits_for_destination_ = false;
  if (queue_.is_empty()) return Step::idle;

  const auto [result, bytes] = destination.write(queue_.bytes());
  if (result == IoResult::would_block) return Step::blocked;
  if (result == IoResult::refused) return Step::refused;
  if (result != IoResult::ok) return Step::destination_broke;

  const std::size_t held = queue_.capacity();
  queue_.consume(bytes);
  if (budget.is_tight()) queue_.shrink();
  budget.change(held, queue_.capacity());
  half_close_when_drained(destination);
  return Step::moved;
}

void Direction::end_source(Endpoint& destination) noexcept {
  source_ended_ = true;
  half_close_when_drained(destination);
}

void Direction::abandon(BufferBudget& budget) noexcept {
  release(budget);
  discards_ = true;
  waits_for_destination_ = false;
}

void Direction::release(BufferBudget& budget) noexcept {
  budget.change(queue_.capacity(), 0);
  queue_.release();
}

DirectionCounts Direction::counts() const noexcept {
  return {.bytes = bytes_, .frames = scanner_.frames(), .messages = scanner_.messages()};
}

// How much may be read so that all of it could be kept; 0: the source has to wait.
std::size_t Direction::room_to_read(const BufferBudget& budget) const noexcept {
  const std::size_t limit = budget.limit_now(buffer_bytes_max_);
  if (queue_.size() > limit / 2) return 0;
  const std::size_t allowed = limit - queue_.size();
  const std::size_t possible = queue_.capacity() - queue_.size() + budget.room();
  if (possible < std::min(allowed, kSmallestRead)) return 0;
  return std::min(allowed, possible);
}

Direction::Step Direction::source_stopped(IoResult result, Endpoint& destination) noexcept {
  switch (result) {
    case IoResult::ok:
    case IoResult::would_block:
      return Step::idle;
    case IoResult::end_of_file:
      end_source(destination);
      return Step::moved;
    case IoResult::error:
      end_source(destination);
      return Step::source_broke;
    case IoResult::refused:
      return Step::refused;
  }
  return Step::idle;
}

// What moves here is no progress: nobody gets it.
Direction::Step Direction::discard(Endpoint& source, Endpoint& destination,
                                   std::span<std::byte> read_buffer) noexcept {
  const IoResult result = source.read(read_buffer).result;
  return result == IoResult::ok ? Step::blocked : source_stopped(result, destination);
}

Direction::Step Direction::deliver(std::span<const std::byte> data, Endpoint& destination,
                                   BufferBudget& budget) noexcept {
  if (queue_.is_empty()) {
    const auto [result, bytes] = destination.write(data);
    if (result == IoResult::error) return Step::destination_broke;
    if (result == IoResult::refused) return Step::refused;
    data = data.subspan(bytes);
  }
  if (data.empty()) return Step::moved;

  const std::size_t held = queue_.capacity();
  const std::size_t capacity_max = std::min<std::size_t>(buffer_bytes_max_, held + budget.room());
  const bool is_kept = queue_.append(data, capacity_max);
  budget.change(held, queue_.capacity());
  return is_kept ? Step::moved : Step::refused;
}

Direction::Step Direction::pass_through(Endpoint& source, Endpoint& destination,
                                        std::span<std::byte> read_buffer) noexcept {
  const auto into = read_buffer.first(std::min(kPassThroughMax, read_buffer.size()));
  const auto [result, seen] = source.peek(into);
  if (result != IoResult::ok) return source_stopped(result, destination);

  const auto [write_result, written] = destination.write(into.first(seen));
  if (write_result == IoResult::error) return Step::destination_broke;
  if (write_result == IoResult::refused) return Step::refused;
  waits_for_destination_ = written < seen;
  follow(into.first(written));

  // The bytes are there already, so that this goes round once.
  for (std::size_t left = written; left > 0;) {
    const auto taken = source.read(into.first(left));
    if (taken.result != IoResult::ok) return source_stopped(taken.result, destination);
    left -= taken.bytes;
  }
  return written > 0 ? Step::moved : Step::blocked;
}

void Direction::follow(std::span<const std::byte> data) noexcept {
  bytes_ += data.size();
  scanner_.scan(data);
}

void Direction::half_close_when_drained(Endpoint& destination) noexcept {
  if (!is_done() || half_closed_ || discards_) return;
  half_closed_ = true;
  destination.shutdown_write();
}

}  // namespace wsbalance::relay
