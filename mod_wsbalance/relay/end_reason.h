// end_reason.h - why a tunnel ended. One list for the code, the log and the documentation.
//
// Layer:    relay.
// Threads:  stateless.
#pragma once

#include <cstddef>
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
  idle,                 // No byte for WSBalanceIdleTimeout.
  data_idle,            // No data for WSBalanceDataTimeout.
  ping_timeout_client,  // No byte after a ping (WSBalancePing).
  ping_timeout_member,
  lifetime,         // WSBalanceLifetime is over.
  protocol_client,  // The client broke a rule of RFC 6455 (WSBalanceFrames strict).
  protocol_member,
  limit_frame,         // WSBalanceMaxFrame
  limit_message,       // WSBalanceMaxMessage
  limit_message_rate,  // WSBalanceMessageRate with action=close
  limit_byte_rate,     // WSBalanceByteRate with action=close
  resources,           // A system call or an allocation that the tunnel needs was refused.
  member_down,         // WSBalanceOnMemberDown close
  member_drain,        // WSBalanceOnDrain close
  rebalance,           // WSBalanceRebalance
  drain,     // Its process has ended gracefully: WSBalanceDrainTimeout or WSBalanceMaxCarriers.
  shutdown,  // The server stops.
};
inline constexpr std::size_t kEndReasons = static_cast<std::size_t>(EndReason::shutdown) + 1;

// "client-close" and so on, as the log and the manual write it.
const char* name_of(EndReason reason);

}  // namespace wsbalance::relay
