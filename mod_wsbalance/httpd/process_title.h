// process_title.h - what ps(1) and top(1) show of this process.
//
// Layer:    httpd (pure: no header of httpd or APR).
// Owns:     the memory of the process' arguments and environment, from the first show() on.
// Threads:  show() first in a process with one thread, later from one at a time.
// Errors:   none: where it cannot be done, the old title stays.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace wsbalance::httpd {

class ProcessTitle {
 public:
  // `name`: of the process, 15 characters count. `title`: its command line, cut where there is no
  // room for all of it.
  void show(const char* name, std::string_view title) noexcept;

 private:
  void find_room() noexcept;

  bool has_looked_ = false;
  std::span<char> room_{};
  std::size_t used_ = 0;  // From its beginning: what held the arguments, or a longer title.
};

}  // namespace wsbalance::httpd
