#include "relay/relay_thread.h"

#include <array>
#include <cstdio>

namespace wsbalance::relay {

RelayThread::RelayThread(unsigned number, BufferBudget& budget, GroupOrders& group_orders,
                         TunnelObserver& observer, std::atomic<std::uint32_t>& open_tunnels,
                         const TimeSource& time)
    : number_(number), loop_(budget, group_orders, observer, open_tunnels, time) {}

int RelayThread::start() noexcept {
  std::array<char, 16> name{};
  std::snprintf(name.data(), name.size(), "wsb-relay-%u", number_);
  return thread_.start(name.data());
}

void RelayThread::run(void* self) noexcept { static_cast<RelayThread*>(self)->loop_.run(); }

}  // namespace wsbalance::relay
