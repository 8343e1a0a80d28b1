#include "httpd/handshake_slot.h"

#include <utility>

namespace wsbalance::httpd {

// Counts in, then looks whether all together are still within the limit: two that come at the same
// time may both be turned away at the limit, but never both be let in above it.
bool HandshakeSlot::try_count_in(const ModuleState& state, ProcessRow& row) {
  row.waiting_handshakes.fetch_add(1);
  if (state.waiting_handshakes_max == 0 ||
      state.rows->totals().waiting_handshakes <= state.waiting_handshakes_max) {
    return true;
  }
  row.waiting_handshakes.fetch_sub(1, std::memory_order_relaxed);
  return false;
}

HandshakeSlot::HandshakeSlot(const ModuleState& state, ProcessRow& row)
    : progress_(state.rows->progress()) {
  std::uint32_t freed = progress_.freed.load(std::memory_order_relaxed);
  int quiet_looks = 0;
  for (int looks = 0; looks < kLooksMax; ++looks) {
    if (try_count_in(state, row)) {
      row_ = &row;
      return;
    }
    if (progress_.stalled_at.load(std::memory_order_relaxed) == freed) return;

    apr_sleep(kLookEvery);
    const std::uint32_t freed_now = progress_.freed.load(std::memory_order_relaxed);
    quiet_looks = freed_now == freed ? quiet_looks + 1 : 0;
    freed = freed_now;
    if (quiet_looks == kQuietLooks) {
      progress_.stalled_at.store(freed, std::memory_order_relaxed);
      return;
    }
  }
}

void HandshakeSlot::release() {
  if (ProcessRow* row = std::exchange(row_, nullptr)) {
    row->waiting_handshakes.fetch_sub(1, std::memory_order_relaxed);
    progress_.freed.fetch_add(1, std::memory_order_relaxed);
  }
}

}  // namespace wsbalance::httpd
