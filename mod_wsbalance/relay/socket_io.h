// socket_io.h - recv and send on a socket that does not block, without errno and without signals.
//
// Layer:    relay.
// Threads:  any.
#pragma once

#include <cstddef>
#include <span>

#include "relay/io_outcome.h"

namespace wsbalance::relay {

// One system call each, repeated only if a signal interrupts it. The spans are not empty. `flags`
// as of recv(2).
IoOutcome receive(int fd, std::span<std::byte> into, int flags) noexcept;
IoOutcome send(int fd, std::span<const std::byte> data) noexcept;

}  // namespace wsbalance::relay
