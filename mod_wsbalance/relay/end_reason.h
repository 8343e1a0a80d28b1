// end_reason.h - why a tunnel ended. One list for the code, the log and the documentation.
//
// Layer:    relay.
// Threads:  stateless.
#pragma once

#include <cstdint>

namespace wsbalance::relay {

enum class EndReason : std::uint8_t {
  none,          // It has not ended.
  client_close,  // The client sent the first close frame.
  member_close,  // The member did.
  client_eof,    // The client ended its side without a close frame.
  member_eof,
  client_error,  // The client's connection was reset or broke.
  member_error,
  resources,  // A system call or an allocation that the tunnel needs was refused.
  shutdown,   // The process ends.
};

// "client-close" and so on, as the log and the manual write it.
const char* name_of(EndReason reason);

}  // namespace wsbalance::relay
