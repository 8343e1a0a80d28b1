// parent_watch.h - tells whether httpd's parent process still lives, to children and grandchildren.
//
// Layer:    httpd (pure: no header of httpd or APR).
// Owns:     a descriptor of the parent process (pidfd), where the kernel has such.
// Threads:  any.
// Errors:   without a descriptor the pid is asked for, which another process may have by then.
#pragma once

#include <sys/types.h>

#include "relay/unique_fd.h"

namespace wsbalance::httpd {

class ParentWatch {
 public:
  // Of the parent of this process, which the processes that it forks go on to watch.
  ParentWatch() noexcept;

  bool is_gone() const noexcept;

  // Readable when it is gone; -1: ask is_gone() now and then.
  int fd() const noexcept { return fd_.get(); }

 private:
  pid_t pid_;
  relay::UniqueFd fd_;
  bool was_gone_ = false;  // Already when this was made.
};

}  // namespace wsbalance::httpd
