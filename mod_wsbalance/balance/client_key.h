// client_key.h - what stands for a client where nothing else is said: its address.
//
// Layer:    balance (pure).
// Threads:  any.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace wsbalance::balance {

// Of the 4 bytes of an IPv4 address or the 16 of an IPv6 one, in the network's order, those that tell
// one client from another; else none. An IPv4 address that is mapped into IPv6 is the same client as
// the bare one (RFC 4291 2.5.5.2). Of IPv6 the network of 64 bits: all the rest is one client's to
// choose.
std::span<const std::uint8_t> client_bytes(std::span<const std::uint8_t> address) noexcept;

// The same in words: an IPv4 address, or a network of IPv6 ("2001:db8:0:1::/64").
std::string address_key(std::span<const std::uint8_t> address);

}  // namespace wsbalance::balance
