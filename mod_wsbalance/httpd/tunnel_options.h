// tunnel_options.h - from what the administrator wants to what the relay is told for a tunnel.
//
// Layer:    httpd.
// Threads:  any.
#pragma once

#include "httpd/config.h"
#include "protocol/field.h"
#include "protocol/frame_rules.h"
#include "relay/side.h"
#include "relay/tunnel_settings.h"

namespace wsbalance::httpd {

// `answer`: the fields of the member's 101, of which Sec-WebSocket-Extensions says what frames may
// look like (RFC 6455 9.1).
relay::TunnelSettings tunnel_settings_for(const DirConfig& config, protocol::Fields answer);

// How what `from` sends is followed: WSBalanceFrames or its default.
protocol::Strictness strictness_of(const FrameConfig& config, relay::Side from);

}  // namespace wsbalance::httpd
