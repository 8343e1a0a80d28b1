#include "httpd/parent_watch.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace wsbalance::httpd {

ParentWatch::ParentWatch() noexcept
    : pid_(::getppid()), fd_(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0))) {
  // It may have gone before the descriptor was open, and the descriptor be another process'.
  was_gone_ = ::getppid() != pid_;
}

bool ParentWatch::is_gone() const noexcept {
  if (was_gone_) return true;
  if (fd_) {
    pollfd gone{fd_.get(), POLLIN, 0};
    return ::poll(&gone, 1, 0) > 0;
  }
  return ::kill(pid_, 0) != 0 && errno == ESRCH;
}

}  // namespace wsbalance::httpd
