#include "httpd/member_watch.h"

#include <algorithm>
#include <chrono>
#include <string_view>

#include "balance/slow_start.h"
#include "httpd/balancer_config.h"
#include "httpd/member_feed.h"
#include "httpd/shared_clock.h"

namespace wsbalance::httpd {
namespace {

using balance::Duty;
using balance::MemberLoad;
using balance::MemberState;
using balance::Move;
using std::chrono::milliseconds;

// Steps end in any case after so many times those that a whole share needs, and some more.
constexpr std::uint32_t kStepsFactor = 4;
constexpr std::uint32_t kStepsMore = 10;

// Others ask these only when no other member is left.
constexpr unsigned kInReserve = PROXY_WORKER_HOT_STANDBY | PROXY_WORKER_HOT_SPARE;

MemberState state_of(const proxy_worker_shared& record) {
  constexpr unsigned kDown = PROXY_WORKER_IN_ERROR | PROXY_WORKER_HC_FAIL;
  constexpr unsigned kOut = PROXY_WORKER_DISABLED | PROXY_WORKER_STOPPED | PROXY_WORKER_IN_SHUTDOWN;
  const unsigned status = record.status;
  Duty duty = status & PROXY_WORKER_DRAIN ? Duty::draining : Duty::full;
  if (status & kOut) duty = Duty::none;
  return {.is_down = (status & kDown) != 0, .duty = duty};
}

bool are_of_one_balancer(const MemberRow& a, const MemberRow& b) {
  return std::string_view(a.balancer.data()) == b.balancer.data() &&
         std::string_view(a.server.data()) == b.server.data();
}

std::uint32_t ms_word(milliseconds time) { return static_cast<std::uint32_t>(time.count()); }

double share_of(const MemberMoves& moves) { return moves.rebalance_percent / 100.0; }

void end_steps(MemberMoves& moves) {
  moves.next_step_ms = 0;
  moves.steps_end_ms = 0;
}

}  // namespace

void set_move_rules(MemberMoves& moves, const BalancerConfig& config) {
  moves.closes_when_down = config.moves.closes_when_down;
  moves.closes_at_drain = config.moves.drain.has_value();
  moves.drain_over = ms_word(config.moves.drain.value_or(milliseconds(0)));
  moves.slow_start = ms_word(config.slow_start);
  moves.rebalance_percent = config.moves.rebalance_percent;
  moves.rebalance_every = ms_word(config.moves.rebalance_every);
  moves.is_followed = 1;
}

void note_member(MemberRow& row, const proxy_worker_shared& record, bool is_first_start) {
  if (row.moves.state != 0) return;
  if (is_first_start) {
    row.moves.state = state_of(record).packed();
  } else {
    row.up_since_ms = shared_clock_ms();  // Until it has been seen.
  }
}

MemberWatch::MemberWatch(const SharedRows& rows, std::uint32_t epoch, const server_rec* server)
    : rows_(rows), epoch_(epoch), server_(server) {
  loads_.reserve(rows.numbers().members);
}

void MemberWatch::look(std::span<const MemberSum> sums, std::int64_t now_ms) noexcept {
  const std::span<MemberRow> members = rows_.members().first(sums.size());
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (members[i].is_used != 0 && members[i].moves.is_followed != 0) {
      follow(members[i], sums[i], now_ms);
    }
  }
  for (MemberRow& row : members) {
    std::int64_t next = row.moves.next_step_ms;
    if (next != 0 && now_ms >= next &&
        row.moves.next_step_ms.compare_exchange_strong(next, now_ms + row.moves.rebalance_every)) {
      step(row, sums, now_ms);
    }
  }
}

const proxy_worker_shared* MemberWatch::record_of(const MemberRow& row) const noexcept {
  return static_cast<const proxy_worker_shared*>(RecordAddress::unpack(row.record, epoch_));
}

// Nothing: mod_proxy has it, but where its record is nobody knows yet.
std::optional<MemberState> MemberWatch::see(const MemberRow& row) const noexcept {
  if (row.named_in < epoch_) return MemberState{.duty = Duty::none};
  const proxy_worker_shared* const record = record_of(row);
  return record != nullptr ? std::optional(state_of(*record)) : std::nullopt;
}

void MemberWatch::follow(MemberRow& row, const MemberSum& sum, std::int64_t now_ms) noexcept {
  const std::optional<MemberState> state = see(row);
  if (!state) return;
  std::uint32_t before = row.moves.state;
  if (before != state->packed() &&
      row.moves.state.compare_exchange_strong(before, state->packed())) {
    const bool took_all = before != 0 && MemberState::unpacked(before).takes_all();
    if (!state->takes_all()) {
      row.up_since_ms = MemberRow::kNotUp;
    } else if (!took_all) {
      come(row, now_ms);
    }
  }
  order(row, *state, sum.staying(), now_ms);
}

// Of several that come to a balancer the last one's steps see to all of them.
void MemberWatch::come(MemberRow& row, std::int64_t now_ms) noexcept {
  row.up_since_ms = now_ms;
  if (row.moves.rebalance_percent == 0) return;
  for (MemberRow& other : rows_.members()) {
    if (other.moves.next_step_ms != 0 && are_of_one_balancer(other, row)) end_steps(other.moves);
  }
  row.moves.opened_before = row.opened.load();
  row.moves.steps_end_ms = 0;
  row.moves.next_step_ms = now_ms + row.moves.rebalance_every;
}

void MemberWatch::order(MemberRow& row, const MemberState& state, std::uint32_t tunnels,
                        std::int64_t now_ms) noexcept {
  MemberMoves& moves = row.moves;
  const Move wanted = move_for(state, {.closes_when_down = moves.closes_when_down != 0,
                                       .closes_at_drain = moves.closes_at_drain != 0});
  std::uint64_t word = moves.order;
  const MemberOrder before = MemberOrder::unpacked(word);
  const bool is_giving = before.move == Move::some && state.takes_all();
  if (wanted == before.move || (wanted == Move::none && is_giving)) return;
  const MemberOrder order{.move = wanted,
                          .began_ms = now_ms,
                          .amount = MemberOrder::amount_of(milliseconds(moves.drain_over))};
  // Unless a process counts it down at this moment; the next look will see to it.
  if (!moves.order.compare_exchange_strong(word, order.packed())) return;
  rows_.note_order();
  if (tunnels > 0) tell(row, wanted != Move::none ? order : before, tunnels);
}

void MemberWatch::tell(const MemberRow& row, const MemberOrder& order,
                       std::uint32_t tunnels) const noexcept {
  const char* const name = row.worker.data();
  const char* const balancer = row.balancer.data();
  if (row.moves.order == 0) {
    if (order.move == Move::some) return;
    ap_log_error(
        APLOG_MARK, APLOG_INFO, 0, server_,
        "WSB0543: the %u tunnels that member %s of %s still has are kept: it is back, or the "
        "configuration says so",
        tunnels, name, balancer);
  } else if (order.move == Move::down) {
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, server_,
                 "WSB0541: member %s of %s is down: its %u tunnels are closed "
                 "(WSBalanceOnMemberDown)",
                 name, balancer, tunnels);
  } else {
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, server_,
                 "WSB0542: member %s of %s is drained: its %u tunnels are closed within %.1f s "
                 "(WSBalanceOnDrain)",
                 name, balancer, tunnels, order.amount / 10.0);
  }
}

// The next part of what others give to this member.
void MemberWatch::step(MemberRow& row, std::span<const MemberSum> sums,
                       std::int64_t now_ms) noexcept {
  MemberMoves& moves = row.moves;
  const std::uint32_t rest = take_back(row);
  const bool is_first = moves.steps_end_ms == 0;
  if (!gather(row, sums) || (is_first && !begin_steps(row, now_ms))) return end_steps(moves);
  const std::uint32_t to_give = is_first ? moves.to_give.load() : moves.to_give + rest;
  if (to_give == 0 || now_ms >= moves.steps_end_ms ||
      balance::surplus(loads_, moves.reckoned) == 0) {
    ap_log_error(APLOG_MARK, APLOG_INFO, 0, server_,
                 "WSB0545: no more tunnels move to member %s of %s: it has %u", row.worker.data(),
                 row.balancer.data(),
                 sums[static_cast<std::size_t>(&row - &rows_.member_row(0))].staying());
    return end_steps(moves);
  }
  const milliseconds slow_start(moves.slow_start);
  for (MemberLoad& load : loads_) {
    const std::int64_t since = rows_.member_row(load.row).up_since_ms;
    if (since == 0 || slow_start == milliseconds(0)) continue;
    load.weight *= balance::slow_start_part(milliseconds(now_ms - since), slow_start);
  }
  // Whether it can be reached nobody knows before it has got one.
  const bool is_proven = row.opened != moves.opened_before;
  const std::uint32_t given =
      balance::plan_step(loads_, moves.reckoned, share_of(moves), is_proven ? to_give : 1);
  for (const MemberLoad& load : loads_) {
    if (load.closes == 0) continue;
    const MemberOrder order{.move = Move::some, .began_ms = now_ms, .amount = load.closes};
    std::uint64_t none = 0;
    rows_.member_row(load.row).moves.order.compare_exchange_strong(none, order.packed());
  }
  rows_.note_order();
  moves.to_give = to_give - given;
}

// The members that share handshakes with this one, by their full weights. False: it is not among
// them any more.
bool MemberWatch::gather(const MemberRow& row, std::span<const MemberSum> sums) noexcept {
  const proxy_worker_shared* const own = record_of(row);
  loads_.clear();
  bool is_there = false;
  for (std::size_t i = 0; own != nullptr && i < sums.size() && i < rows_.members().size(); ++i) {
    const MemberRow& other = rows_.members()[i];
    if (other.is_used == 0 || other.moves.is_followed == 0 || !are_of_one_balancer(other, row)) {
      continue;
    }
    const proxy_worker_shared* const record = other.named_in >= epoch_ ? record_of(other) : nullptr;
    if (record == nullptr || (record->status & kInReserve) || record->lbset != own->lbset ||
        !state_of(*record).takes_all()) {
      continue;
    }
    is_there = is_there || &other == &row;
    loads_.push_back({.row = static_cast<std::uint32_t>(i),
                      .tunnels = sums[i].staying(),
                      .weight = static_cast<double>(std::max(record->lbfactor, 1))});
  }
  return is_there;
}

// False: nothing has to move.
bool MemberWatch::begin_steps(MemberRow& row, std::int64_t now_ms) noexcept {
  MemberMoves& moves = row.moves;
  if (!balance::is_uneven(loads_, share_of(moves))) return false;
  std::uint32_t tunnels = 0;
  for (const MemberLoad& load : loads_) tunnels += load.tunnels;
  const std::uint32_t surplus = balance::surplus(loads_, 0);
  if (surplus == 0) return false;
  moves.reckoned = tunnels;
  moves.to_give = surplus;
  const std::uint32_t steps = kStepsFactor * 100 / moves.rebalance_percent + kStepsMore;
  moves.steps_end_ms = now_ms + moves.slow_start + std::int64_t{moves.rebalance_every} * steps;
  ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, server_,
               "WSB0544: member %s has come: %u of the %u tunnels of %s move by and by "
               "(WSBalanceRebalance)",
               row.worker.data(), surplus, tunnels, row.balancer.data());
  return true;
}

// What processes have not taken of the last step.
std::uint32_t MemberWatch::take_back(const MemberRow& row) noexcept {
  std::uint32_t rest = 0;
  for (MemberRow& other : rows_.members()) {
    std::uint64_t word = other.moves.order;
    while (MemberOrder::unpacked(word).move == Move::some && are_of_one_balancer(other, row)) {
      if (!other.moves.order.compare_exchange_weak(word, 0)) continue;
      rest += MemberOrder::unpacked(word).amount;
      break;
    }
  }
  return rest;
}

}  // namespace wsbalance::httpd
