#include "httpd/order_follower.h"

#include <algorithm>
#include <chrono>

#include "relay/group_orders.h"
#include "relay/relay.h"

namespace wsbalance::httpd {
namespace {

using balance::Move;
using relay::GroupOrder;
using std::chrono::milliseconds;

relay::EndReason reason_of(Move move) {
  switch (move) {
    case Move::down:
      return relay::EndReason::member_down;
    case Move::some:
      return relay::EndReason::rebalance;
    default:
      return relay::EndReason::member_drain;
  }
}

// Later tunnels of a member that takes handshakes again, or from some clients, are left alone.
relay::Clock::time_point before_of(const MemberOrder& order) {
  const bool is_for_earlier = order.move == Move::down || order.move == Move::drain_earlier;
  return is_for_earlier ? relay::Clock::time_point(milliseconds(order.began_ms))
                        : relay::Clock::time_point::max();
}

}  // namespace

OrderFollower::OrderFollower(const SharedRows& rows, const OwnRow& own, relay::Relay& relay)
    : rows_(rows), own_(own), relay_(relay), followed_(rows.numbers().members) {}

bool OrderFollower::look(std::int64_t now_ms) noexcept {
  const std::uint32_t orders = rows_.orders();
  if (orders == seen_orders_ && !has_orders_) return false;
  seen_orders_ = orders;
  has_orders_ = false;
  bool is_under_way = false;
  const std::span<MemberRow> members = rows_.members();
  for (std::size_t i = 0; i < members.size(); ++i) {
    const std::uint64_t word = members[i].moves.order.load();
    Followed& followed = followed_[i];
    if (word == 0 && followed.order == 0) continue;
    has_orders_ = has_orders_ || word != 0;
    if (follow(static_cast<std::uint16_t>(i), word, followed, now_ms)) is_under_way = true;
  }
  return is_under_way;
}

bool OrderFollower::follow(std::uint16_t member, std::uint64_t word, Followed& followed,
                           std::int64_t now_ms) noexcept {
  const MemberOrder order = MemberOrder::unpacked(word);
  if (!order.is_same(MemberOrder::unpacked(followed.order))) {
    relay_.take_back_order(member);
    followed = {.order = word, .total = staying(member)};
  }
  switch (order.move) {
    case Move::none:
      return false;
    case Move::down:
      if (followed.given == 0) give(member, order, followed, GroupOrder::kAll);
      return false;
    case Move::drain_earlier:
    case Move::drain:
      return drain(member, order, followed, now_ms);
    case Move::some:
      return give_some(member, word, followed);
  }
  return false;
}

bool OrderFollower::drain(std::uint16_t member, const MemberOrder& order, Followed& followed,
                          std::int64_t now_ms) noexcept {
  const milliseconds elapsed(now_ms - order.began_ms);
  if (elapsed >= order.over()) {
    // A handshake that was under way may have become a tunnel since.
    const bool has_late = order.move == Move::drain && staying(member) > 0;
    if (followed.given != GroupOrder::kAll || has_late) {
      give(member, order, followed, GroupOrder::kAll);
    }
    return false;
  }
  settle(member, followed);
  const std::uint32_t due = balance::due_by(followed.total, elapsed, order.over());
  if (due > followed.done) give(member, order, followed, due - followed.done);
  return followed.total > followed.done;
}

// Each process takes its part of what is left again and again: so it is shared out by how many
// tunnels each has, to the last one, and never more than that is closed.
bool OrderFollower::give_some(std::uint16_t member, std::uint64_t word,
                              Followed& followed) noexcept {
  settle(member, followed);
  const std::uint32_t own = staying(member);
  MemberOrder order = MemberOrder::unpacked(word);
  const std::uint32_t left = order.amount;
  if (left == 0 || own == 0) return left > 0;
  const std::uint64_t all = std::max(rows_.sum_of(member).staying(), own);
  const auto part = static_cast<std::uint32_t>(std::uint64_t{left} * own / all);
  const std::uint32_t taken = std::min({std::max(part, 1u), left, own});
  order.amount -= taken;
  if (rows_.member_row(member).moves.order.compare_exchange_strong(word, order.packed())) {
    give(member, order, followed, taken);
  }
  return true;
}

void OrderFollower::give(std::uint16_t member, const MemberOrder& order, Followed& followed,
                         std::uint32_t count) noexcept {
  followed.given = count;
  relay_.close_group(member,
                     {.reason = reason_of(order.move), .count = count, .before = before_of(order)});
}

// What the relay had no tunnels for is due still.
void OrderFollower::settle(std::uint16_t member, Followed& followed) noexcept {
  if (followed.given == 0) return;
  const std::uint32_t rest = std::min(relay_.take_back_order(member), followed.given);
  followed.done += followed.given - rest;
  followed.given = 0;
  if (rest == 0 || MemberOrder::unpacked(followed.order).move != Move::some) return;
  std::atomic<std::uint64_t>& word = rows_.member_row(member).moves.order;
  std::uint64_t before = word.load();
  MemberOrder order = MemberOrder::unpacked(before);
  do {
    order = MemberOrder::unpacked(before);
    if (!order.is_same(MemberOrder::unpacked(followed.order))) return;
    order.amount += rest;
  } while (!word.compare_exchange_weak(before, order.packed()));
}

std::uint32_t OrderFollower::staying(std::uint16_t member) const noexcept {
  if (own_.cells == nullptr) return 0;
  const MemberCell& cell = own_.cells[member];
  return MemberSum{.tunnels = cell.tunnels, .leaving = cell.leaving}.staying();
}

}  // namespace wsbalance::httpd
