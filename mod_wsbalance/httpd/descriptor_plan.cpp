#include "httpd/descriptor_plan.h"

#include <algorithm>

namespace wsbalance::httpd {
namespace {

// A file or a connection to a member, and for a moment the socketpair of a pumped tunnel, the pipes
// of a program, the inert descriptor with which a handshake finds that there is no room.
constexpr std::uint64_t kPerThread = 4;

// A name server, a socket to a database, what nobody thought of.
constexpr std::uint64_t kSpare = 16;

constexpr std::uint64_t kPerTunnel = 2;

}  // namespace

DescriptorPlan plan_descriptors(const DescriptorNeeds& needs) {
  const std::uint64_t at_once = needs.connections + kPerThread * needs.threads + kSpare;
  const std::uint64_t room = needs.limit - std::min(needs.limit, needs.always);
  DescriptorPlan plan;
  const std::uint64_t with_pools = at_once + needs.threads * needs.members;
  plan.reserve = std::max(std::min(with_pools, room / 2), std::min(at_once, room / 4 * 3));
  plan.line = needs.limit - plan.reserve;
  plan.tunnels = (room - plan.reserve) / kPerTunnel;
  plan.is_short = at_once > room;
  return plan;
}

}  // namespace wsbalance::httpd
