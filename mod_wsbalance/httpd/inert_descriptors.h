// inert_descriptors.h - descriptors that are open, connected to nothing and fail every read and
// write at once: what httpd is left with when a tunnel takes a connection away from it.
//
// Layer:    httpd.
// Owns:     one that all others are copies of.
// Threads:  any.
// Errors:   the constructor throws std::system_error; later an empty result.
//
// They are made before a member is asked. That shows whether the child has room for a tunnel, and
// keeps it: a tunnel holds only numbers below the line (descriptor_plan.h), those of its own
// connections or, where those are above it, of its two inert ones.
#pragma once

#include <cstdint>

#include "httpd/httpd_api.h"
#include "relay/unique_fd.h"

namespace wsbalance::httpd {

// For the two connections of a tunnel to be.
struct InertPair {
  relay::UniqueFd client;
  relay::UniqueFd member;

  explicit operator bool() const { return client && member; }
};

class InertDescriptors {
 public:
  // `line`: the lowest number that no tunnel may have.
  explicit InertDescriptors(std::uint64_t line);

  // Empty if there is no room for another tunnel.
  InertPair make_pair() const;

  // Leaves the socket with an inert descriptor and returns the one that its connection has now,
  // which is below the line if `inert` is.
  relay::UniqueFd take(apr_socket_t* socket, relay::UniqueFd inert) const;

 private:
  relay::UniqueFd make() const;

  relay::UniqueFd master_;
  int line_;
};

// A look when something else could not be opened: is there a descriptor left at all?
bool is_descriptor_left();

}  // namespace wsbalance::httpd
