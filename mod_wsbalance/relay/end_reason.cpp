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
    case EndReason::resources:
      return "resources";
    case EndReason::shutdown:
      return "shutdown";
  }
  return "none";
}

}  // namespace wsbalance::relay
