#include "httpd/seat.h"

#include "httpd/balancer_config.h"
#include "httpd/explicit_parameters.h"
#include "httpd/module_state.h"
#include "httpd/shared_rows.h"

namespace wsbalance::httpd {

SeatLimits seat_limits(const ModuleState& state, const server_rec* server,
                       const proxy_worker* worker, const proxy_balancer* balancer) {
  SeatLimits limits;
  limits.child_max = state.parameters->connections_max(worker);
  if (balancer == nullptr) return limits;
  limits.server_max = balancer_config(server, balancer).tunnels_per_member_max;
  return limits;
}

bool is_full(const ModuleState& state, const SeatLimits& limits, std::uint16_t member,
             const OwnCounts& own) {
  // Members without a row of their own are counted together.
  if (!limits.are_there() || member == SharedRows::kOtherMember) return false;
  const MemberCell* const cell = state.child->cell(member);
  if (cell == nullptr) return false;
  if (limits.child_max != 0 && (cell->seats >= limits.child_max + own.seats ||
                                cell->requests >= limits.child_max + own.requests)) {
    return true;
  }
  return limits.server_max != 0 && state.rows->seats_of(member) >= limits.server_max + own.seats;
}

bool Seat::take(const ModuleState& state, const SeatLimits& limits, std::uint16_t member,
                bool has_counted_request) {
  OwnCounts own{.requests = has_counted_request ? 1u : 0u};
  // Looks before it counts: whoever asks a full member must not make it fuller for others.
  if (is_full(state, limits, member, own)) return false;
  MemberCell* const cell = state.child->cell(member);
  if (cell == nullptr) return true;
  cell->seats.fetch_add(1);
  cell_ = cell;
  has_left_row_ = &state.child->has_left_row();
  own.seats = 1;
  if (!is_full(state, limits, member, own)) return true;
  leave();
  return false;
}

void Seat::leave() noexcept {
  if (cell_ == nullptr) return;
  MemberCell* const cell = std::exchange(cell_, nullptr);
  if (!*has_left_row_) cell->seats.fetch_sub(1);
}

}  // namespace wsbalance::httpd
