// process_id.h - a process, told from a later one with the same pid.
//
// Layer:    httpd (pure: no header of httpd or APR).
// Threads:  stateless; all of it safe in a signal handler.
// Errors:   a start time that cannot be read is 0, and fits any.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace wsbalance::httpd {

struct ProcessId {
  pid_t pid = 0;
  std::uint64_t start = 0;  // Field 22 of /proc/<pid>/stat: ticks since the system started.

  bool operator==(const ProcessId&) const = default;
};

// The process that has this pid now.
ProcessId process_id_of(pid_t pid);

// Has it not ended? A zombie has.
bool is_alive(const ProcessId& process);

}  // namespace wsbalance::httpd
