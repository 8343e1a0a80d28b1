// side.h - the two sides of a tunnel.
//
// Layer:    relay.
// Threads:  values.
#pragma once

#include <cstdint>

namespace wsbalance::relay {

enum class Side : std::uint8_t { client, member };

constexpr Side other(Side side) { return side == Side::client ? Side::member : Side::client; }

}  // namespace wsbalance::relay
