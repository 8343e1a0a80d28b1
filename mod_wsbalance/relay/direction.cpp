#include "relay/direction.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

namespace wsbalance::relay {
namespace {

using protocol::FrameScanner;

// With less room than this in the budget, system calls for crumbs would cost more than passing
// through does.
constexpr std::size_t kSmallestRead = 4 * 1024;

// What pass_through() cannot deliver it copies again the next time.
constexpr std::size_t kPassThroughMax = 16 * 1024;

}  // namespace

Direction::Direction(std::size_t buffer_bytes_max, const protocol::FrameRules& rules) noexcept
    : rules_(rules),
      buffer_bytes_max_(static_cast<std::uint32_t>(
          std::clamp<std::size_t>(buffer_bytes_max, 1, ByteQueue::kCapacityMax))) {}

bool Direction::put_first(std::span<const std::byte> data) noexcept {
  assert(queue_.is_empty() && held_size_ == 0);
  if (data.empty()) return true;
  bytes_ += data.size();
  std::size_t passed = data.size();
  if (is_followed()) {
    const FrameScanner::Result result = scanner_.scan(data, rules_);
    passed = result.passed;
    is_refused_ = result.stop == FrameScanner::Stop::refused;
    if (!is_refused_) {
      held_size_ = static_cast<std::uint8_t>(data.size() - passed);
      std::copy_n(data.begin() + static_cast<std::ptrdiff_t>(passed), held_size_, held_.begin());
    }
  }
  return passed == 0 || queue_.append(data.first(passed), passed);
}

bool Direction::wants_source(const BufferBudget& budget) const noexcept {
  if (source_ended_ || waits_for_close()) return false;
  if (drops()) return true;
  if (queue_.is_empty()) return !waits_for_destination_;
  return room_to_read(budget) > 0;
}

Direction::Step Direction::carry(Endpoint& source, Endpoint& destination, BufferBudget& budget,
                                 std::span<std::byte> read_buffer) noexcept {
  if (drops()) return drop(source, destination, budget, read_buffer);
  const std::size_t room = room_to_read(budget);
  if (room == 0) {
    // Another thread may have used the budget up since wants_source() looked. New bytes may not
    // overtake those that are kept.
    return queue_.is_empty() ? pass_through(source, destination, budget, read_buffer)
                             : Step::blocked;
  }

  const auto [result, bytes] = source.read(limited(behind_held(read_buffer), room));
  if (result != IoResult::ok) return source_stopped(result, destination, budget);
  return pass(read_buffer.first(held_size_ + bytes), destination, budget);
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

// A part of a header that was held back goes out now: what was read is delivered.
Direction::Step Direction::end_source(Endpoint& destination, BufferBudget& budget) noexcept {
  source_ended_ = true;
  Step step = Step::moved;
  if (held_sent_ < held_size_ && !drops() && !is_refused_) {
    const std::size_t sent = std::exchange(held_sent_, held_size_);
    step = deliver(std::span(held_).subspan(sent, held_size_ - sent), destination, budget);
  }
  half_close_when_drained(destination);
  return step;
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

Direction::Step Direction::ping(const protocol::ControlFrame& frame, Endpoint& destination,
                                BufferBudget& budget) noexcept {
  assert(at_boundary() && queue_.is_empty());
  const auto [result, bytes] = destination.write(frame.bytes());
  if (result == IoResult::error) return Step::destination_broke;
  if (result == IoResult::refused) return Step::refused;
  if (bytes == 0) return Step::idle;
  return deliver(frame.bytes().subspan(bytes), destination, budget);
}

Direction::Step Direction::put_close(const protocol::ControlFrame& frame, Endpoint& destination,
                                     BufferBudget& budget) noexcept {
  assert(waits_for_close());
  is_close_put_ = true;
  const Step step = deliver(frame.bytes(), destination, budget);
  half_close_when_drained(destination);
  return step;
}

void Direction::end_output(Endpoint& destination) noexcept {
  ends_output_ = true;
  half_close_when_drained(destination);
}

// Is what comes now of no use for the destination?
bool Direction::drops() const noexcept {
  return discards_ || (is_closing_ && (has_close_gone() || half_closed_ || !is_followed()));
}

bool Direction::waits_for_close() const noexcept {
  return is_closing_ && !drops() && at_boundary();
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

// Puts what was held back in front, and gives the room behind it.
std::span<std::byte> Direction::behind_held(std::span<std::byte> read_buffer) const noexcept {
  if (held_size_ > 0) std::memcpy(read_buffer.data(), held_.data(), held_size_);
  return read_buffer.subspan(held_size_);
}

// While a close frame of ours waits for the end of a frame, nothing behind that is read; nor behind
// a header that went on in part: it is no pong of ours, but what comes after it may be.
std::span<std::byte> Direction::limited(std::span<std::byte> into,
                                        std::size_t bytes_max) const noexcept {
  bytes_max = held_sent_ > 0 ? 1 : std::min(bytes_max, into.size());
  if (is_closing_ && scanner_.payload_left() > 0) {
    bytes_max =
        static_cast<std::size_t>(std::min<std::uint64_t>(bytes_max, scanner_.payload_left()));
  }
  return into.first(bytes_max);
}

// Follows frames in `data`, which begins with what was held back. Moves what may go on to its front
// and returns how much that is; holds the rest back.
std::size_t Direction::judge(std::span<std::byte> data) noexcept {
  if (!is_followed()) return data.size();
  std::size_t passed = scanner_.pass_messages(data, rules_);
  if (passed == data.size()) {
    held_size_ = 0;
    return passed;
  }
  const protocol::PingTag* const tag = held_sent_ == 0 ? pong_tag_ : nullptr;
  std::size_t done = passed;
  for (;;) {
    const FrameScanner::Result result = scanner_.scan(data.subspan(done), rules_, tag);
    if (passed != done) std::memmove(data.data() + passed, data.data() + done, result.passed);
    passed += result.passed;
    done += result.passed;
    if (result.stop == FrameScanner::Stop::own_pong) {
      done += result.skip;
      own_pong_bytes_ += static_cast<std::uint32_t>(result.skip);
      continue;
    }
    is_refused_ = result.stop == FrameScanner::Stop::refused;
    held_size_ = is_refused_ ? 0 : static_cast<std::uint8_t>(data.size() - done);
    if (held_size_ > 0) std::memcpy(held_.data(), &data[done], held_size_);
    return passed;
  }
}

Direction::Step Direction::source_stopped(IoResult result, Endpoint& destination,
                                          BufferBudget& budget) noexcept {
  switch (result) {
    case IoResult::ok:
    case IoResult::would_block:
      return Step::idle;
    case IoResult::end_of_file:
      return end_source(destination, budget);
    case IoResult::error:
      (void)end_source(destination, budget);
      return Step::source_broke;
    case IoResult::refused:
      return Step::refused;
  }
  return Step::idle;
}

// What moves here is no progress: nobody gets it.
Direction::Step Direction::drop(Endpoint& source, Endpoint& destination, BufferBudget& budget,
                                std::span<std::byte> read_buffer) noexcept {
  const auto [result, bytes] = source.read(behind_held(read_buffer));
  if (result != IoResult::ok) return source_stopped(result, destination, budget);
  if (is_closing_) {
    const bool had_close = scanner_.has_close();
    bytes_ += bytes;
    (void)judge(read_buffer.first(held_size_ + bytes));
    if (!had_close) has_dropped_close_ = scanner_.has_close();
  }
  return Step::blocked;
}

// `data` begins with what was held back.
Direction::Step Direction::pass(std::span<std::byte> data, Endpoint& destination,
                                BufferBudget& budget) noexcept {
  bytes_ += data.size() - held_size_;
  const std::size_t passed = judge(data);
  const std::size_t sent = held_sent_;
  held_sent_ = static_cast<std::uint8_t>(sent > passed ? sent - passed : 0);
  if (passed <= sent) return is_refused_ ? Step::blocked : Step::moved;
  return deliver(data.subspan(sent, passed - sent), destination, budget);
}

Direction::Step Direction::deliver(std::span<const std::byte> data, Endpoint& destination,
                                   BufferBudget& budget) noexcept {
  if (queue_.is_empty() && !data.empty()) {
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

// Without memory to keep anything: looks at what the source has, writes, and takes from the source
// only what the destination took. That may end inside a header, which then was sent in part.
Direction::Step Direction::pass_through(Endpoint& source, Endpoint& destination,
                                        BufferBudget& budget,
                                        std::span<std::byte> read_buffer) noexcept {
  const std::size_t held = held_size_;
  const std::size_t sent = held_sent_;
  const auto into = limited(behind_held(read_buffer), kPassThroughMax);
  const auto [result, seen] = source.peek(into);
  if (result != IoResult::ok) return source_stopped(result, destination, budget);

  auto data = read_buffer.first(held + seen);
  std::size_t passed = data.size();
  if (is_followed()) {
    // On a copy: nobody knows yet how much of it will be taken.
    FrameScanner ahead = scanner_;
    const auto outlook = ahead.scan(data, rules_, sent == 0 ? pong_tag_ : nullptr);
    passed = outlook.passed;
    if (outlook.stop == FrameScanner::Stop::own_pong) data = data.first(passed + outlook.skip);
  }
  std::size_t written = 0;
  if (passed > sent) {
    const IoOutcome outcome = destination.write(data.subspan(sent, passed - sent));
    if (outcome.result == IoResult::error) return Step::destination_broke;
    if (outcome.result == IoResult::refused) return Step::refused;
    written = outcome.bytes;
    waits_for_destination_ = sent + written < passed;
    if (waits_for_destination_) data = data.first(std::max(held, sent + written));
  }

  const std::size_t taken = data.size() - held;
  bytes_ += taken;
  const std::size_t judged = judge(data);
  held_sent_ = static_cast<std::uint8_t>(sent + written > judged ? sent + written - judged : 0);
  // The bytes are there already, so that this goes round once.
  for (std::size_t left = taken; left > 0;) {
    const auto again = source.read(read_buffer.first(left));
    if (again.result != IoResult::ok) return source_stopped(again.result, destination, budget);
    left -= again.bytes;
  }
  return written > 0 || (taken > 0 && !is_refused_) ? Step::moved : Step::blocked;
}

void Direction::half_close_when_drained(Endpoint& destination) noexcept {
  if (!(source_ended_ || ends_output_) || !queue_.is_empty() || half_closed_ || discards_) return;
  half_closed_ = true;
  destination.shutdown_write();
}

}  // namespace wsbalance::relay
