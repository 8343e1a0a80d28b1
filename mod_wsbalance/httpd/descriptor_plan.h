// descriptor_plan.h - how the descriptors of a child are divided between tunnels and httpd.
//
// Layer:    httpd (pure: knows no httpd, makes no call).
// Threads:  stateless.
//
// A new descriptor gets the lowest number that is free. So where tunnels hold only numbers below a
// line, all above it are left for everybody else, whatever other modules have open and without
// anybody counting.
#pragma once

#include <cstdint>

namespace wsbalance::httpd {

// What is known of a child before it has served anybody.
struct DescriptorNeeds {
  std::uint64_t limit = 0;        // RLIMIT_NOFILE
  std::uint64_t always = 0;       // Listeners, logs, epoll, whatever modules keep open.
  std::uint64_t connections = 0;  // Of clients, as many as the MPM holds at a time.
  std::uint64_t threads = 0;      // That serve requests: workers, and those of HTTP/2.
  std::uint64_t members = 0;      // With each of which a thread may leave a connection open.

  bool operator==(const DescriptorNeeds&) const = default;
};

struct DescriptorPlan {
  std::uint64_t line = 0;     // Tunnels have numbers below it.
  std::uint64_t reserve = 0;  // The others.
  std::uint64_t tunnels = 0;  // How many fit into the child.
  bool is_short = false;      // httpd alone may need more than there is.
};

// Of what is not always open, httpd gets all that it can need, but no more than half for connections
// that members' pools keep, and never more than three quarters: some tunnels fit where the limit is
// low.
DescriptorPlan plan_descriptors(const DescriptorNeeds& needs);

}  // namespace wsbalance::httpd
