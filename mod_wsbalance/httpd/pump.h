// pump.h - carries bytes between connections that cannot leave httpd and the relay.
//
// Layer:    httpd.
// Owns:     one end of a socketpair for each connection; the relay has the other.
// Threads:  the worker thread of the request, which run() holds until the tunnel ends.
//
// An HTTP/2 stream has no descriptor, and a filter that we do not know may change bytes: such a
// connection can be used only through its filters and by the thread that httpd has given to it. Its
// tunnel is the same as any other to the relay, with a socketpair for that side.
#pragma once

#include <vector>

#include "httpd/httpd_api.h"
#include "relay/unique_fd.h"

namespace wsbalance::httpd {

class Child;

// The right of one request to hold a worker for its tunnel (WSBalanceMaxPumped).
class PumpSlot {
 public:
  PumpSlot() = default;
  PumpSlot(const PumpSlot&) = delete;
  PumpSlot& operator=(const PumpSlot&) = delete;
  ~PumpSlot();

  // False: as many as `limit` are pumped in this child.
  [[nodiscard]] bool acquire(Child& child, unsigned limit);
  bool is_held() const { return child_ != nullptr; }

 private:
  Child* child_ = nullptr;
};

// A connection and the end of a socketpair that stands for it.
struct PumpedSide {
  conn_rec* connection = nullptr;
  relay::UniqueFd fd;
};

// Carries bytes both ways for each side until its tunnel or its connection has ended. What each end
// sent before its end arrives. When the child has to end, its pumped tunnels are closed in order, and
// this returns soon in any case.
void run_pump(Child& child, std::vector<PumpedSide> sides);

}  // namespace wsbalance::httpd
