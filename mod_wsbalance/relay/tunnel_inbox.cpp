#include "relay/tunnel_inbox.h"

#include <utility>

#include "relay/tunnel.h"

namespace wsbalance::relay {

TunnelInbox::~TunnelInbox() {
  take_all([](Tunnel& tunnel) { delete &tunnel; });
}

TunnelInbox::Push TunnelInbox::push(std::unique_ptr<Tunnel>& tunnel) noexcept {
  Tunnel* newest = newest_.load(std::memory_order_relaxed);
  do {
    if (newest == closed_mark()) return Push::closed;
    tunnel->next_in_inbox_ = newest;
  } while (!newest_.compare_exchange_weak(newest, tunnel.get(), std::memory_order_release,
                                          std::memory_order_relaxed));
  (void)tunnel.release();
  return newest == nullptr ? Push::first : Push::more;
}

Tunnel* TunnelInbox::take_chain(Tunnel* replacement) noexcept {
  Tunnel* newest = newest_.exchange(replacement, std::memory_order_acquire);
  if (newest == closed_mark()) return nullptr;
  Tunnel* oldest = nullptr;
  while (newest != nullptr) {
    Tunnel* const next = std::exchange(newest->next_in_inbox_, oldest);
    oldest = std::exchange(newest, next);
  }
  return oldest;
}

Tunnel* TunnelInbox::next_of(const Tunnel& tunnel) noexcept { return tunnel.next_in_inbox_; }

}  // namespace wsbalance::relay
