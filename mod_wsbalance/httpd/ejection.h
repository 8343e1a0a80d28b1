// ejection.h - counts how members fail their clients (WSBalanceEject). Who decides on it is
// checked_members.h.
//
// Layer:    httpd (pure: no header of httpd or APR).
// Threads:  any; without a lock, and nothing here waits or allocates.
#pragma once

#include <cstdint>

#include "httpd/shared_rows.h"
#include "relay/tunnel_settings.h"

namespace wsbalance::httpd {

// A connection or TLS that failed, an answer that came too late or broke a rule, a tunnel that was
// cut at its start. `client`: its address as text. IPv6 addresses of one /64 are one client.
void note_member_failure(const SharedRows& rows, std::uint16_t member, const char* client) noexcept;

// Did the member end a tunnel, without a close frame of anybody, in its first second?
bool is_cut_at_start(const relay::TunnelSummary& summary) noexcept;

}  // namespace wsbalance::httpd
