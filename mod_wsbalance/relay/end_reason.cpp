#include "relay/end_reason.h"

namespace wsbalance::relay {

const char* name_of(EndReason reason) {
  switch (reason) {
    case EndReason::none:
      return "none";
    case EndReason::client_close:
      return "client-close";
    case EndReason::member_close:
      return "member-close";
    case EndReason::client_eof:
      return "client-eof";
    case EndReason::member_eof:
      return "member-eof";
    case EndReason::client_error:
      return "client-error";
    case EndReason::member_error:
      return "member-error";
    case EndReason::idle:
      return "idle";
    case EndReason::data_idle:
      return "data-idle";
    case EndReason::ping_timeout_client:
      return "ping-timeout-client";
    case EndReason::ping_timeout_member:
      return "ping-timeout-member";
    case EndReason::lifetime:
      return "lifetime";
    case EndReason::protocol_client:
      return "protocol-client";
    case EndReason::protocol_member:
      return "protocol-member";
    case EndReason::limit_frame:
      return "limit-frame";
    case EndReason::limit_message:
      return "limit-message";
    case EndReason::limit_message_rate:
      return "limit-message-rate";
    case EndReason::limit_byte_rate:
      return "limit-byte-rate";
    case EndReason::resources:
      return "resources";
    case EndReason::member_down:
      return "member-down";
    case EndReason::member_drain:
      return "member-drain";
    case EndReason::rebalance:
      return "rebalance";
    case EndReason::drain:
      return "drain";
    case EndReason::shutdown:
      return "shutdown";
  }
  return "none";
}

}  // namespace wsbalance::relay
