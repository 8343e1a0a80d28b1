#include "balance/member_state.h"

namespace wsbalance::balance {
namespace {

constexpr std::uint32_t kSeen = 1;
constexpr std::uint32_t kDown = 2;
constexpr int kDutyShift = 2;

}  // namespace

std::uint32_t MemberState::packed() const noexcept {
  return kSeen | (is_down ? kDown : 0) | static_cast<std::uint32_t>(duty) << kDutyShift;
}

MemberState MemberState::unpacked(std::uint32_t word) noexcept {
  return {.is_down = (word & kDown) != 0, .duty = static_cast<Duty>(word >> kDutyShift)};
}

Move move_for(const MemberState& state, const MoveWishes& wishes) noexcept {
  if (state.is_down && wishes.closes_when_down) return Move::down;
  if (state.duty == Duty::full || !wishes.closes_at_drain) return Move::none;
  return state.duty == Duty::draining ? Move::drain_earlier : Move::drain;
}

std::uint32_t due_by(std::uint32_t total, std::chrono::milliseconds elapsed,
                     std::chrono::milliseconds over) noexcept {
  if (elapsed >= over) return total;
  if (elapsed.count() <= 0) return 0;
  const auto part = static_cast<std::uint64_t>(elapsed.count());
  return static_cast<std::uint32_t>(total * part / static_cast<std::uint64_t>(over.count()));
}

}  // namespace wsbalance::balance
