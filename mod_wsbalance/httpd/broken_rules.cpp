#include "httpd/broken_rules.h"

#include <algorithm>

namespace wsbalance::httpd {

std::uint16_t BrokenRules::take_new(std::string_view member, relay::Side side,
                                    std::uint16_t rules) {
  auto found = std::find_if(members_.begin(), members_.end(),
                            [member](const Member& m) { return m.name == member; });
  if (found == members_.end()) {
    if (members_.size() == kMembersMax) return 0;
    members_.push_back({std::string(member)});
    found = members_.end() - 1;
  }
  std::uint16_t& known = found->rules[static_cast<std::size_t>(side)];
  const auto is_new = static_cast<std::uint16_t>(rules & ~known);
  known = static_cast<std::uint16_t>(known | rules);
  return is_new;
}

}  // namespace wsbalance::httpd
