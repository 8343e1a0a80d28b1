// io_outcome.h - what a read or a write of an endpoint came to.
//
// Layer:    relay.
// Threads:  values, copied freely.
#pragma once

#include <cstddef>
#include <cstdint>

namespace wsbalance::relay {

enum class IoResult : std::uint8_t {
  ok,  // At least one byte.
  would_block,
  end_of_file,  // Reads only.
  error,        // The connection is broken.
  refused,      // The system has no memory for it.
};

struct IoOutcome {
  IoResult result = IoResult::ok;
  std::size_t bytes = 0;  // 0 unless ok.
};

}  // namespace wsbalance::relay
