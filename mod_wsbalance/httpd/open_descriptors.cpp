#include "httpd/open_descriptors.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>

namespace wsbalance::httpd {
namespace {

// The two and all between them. close_range(2) is older than glibc's function for it; where a kernel
// does not have it, there may be very many to try.
void close_from_to(int first, int last) noexcept {
  if (first > last) return;
  if (::syscall(SYS_close_range, first, last, 0) == 0) return;
  const long open_max = ::sysconf(_SC_OPEN_MAX);
  const int end = open_max > 0 && open_max <= last ? static_cast<int>(open_max) - 1 : last;
  for (int fd = first; fd <= end; ++fd) ::close(fd);
}

}  // namespace

void close_all_but(std::vector<int> kept) noexcept {
  std::sort(kept.begin(), kept.end());
  int next = 0;
  for (const int fd : kept) {
    if (fd < next) continue;
    close_from_to(next, fd - 1);
    next = fd + 1;
  }
  close_from_to(next, INT_MAX);
}

}  // namespace wsbalance::httpd
