// broken_rules.h - which rules of RFC 6455 members and their clients have been told to break.
//
// Layer:    httpd (pure: no header of httpd or APR).
// Owns:     the names of members.
// Threads:  the log writer.
// Errors:   may throw std::bad_alloc.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "relay/side.h"

namespace wsbalance::httpd {

class BrokenRules {
 public:
  // Of `rules`, by protocol::rule_bit(), those that are new for that side of this member; they are
  // not from then on. Nothing is new of the members above kMembersMax.
  std::uint16_t take_new(std::string_view member, relay::Side side, std::uint16_t rules);

 private:
  static constexpr std::size_t kMembersMax = 1024;

  struct Member {
    std::string name;
    std::array<std::uint16_t, 2> rules{};  // Of each Side.
  };
  std::vector<Member> members_;
};

}  // namespace wsbalance::httpd
