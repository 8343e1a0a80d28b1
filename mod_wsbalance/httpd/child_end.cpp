#include "httpd/child_end.h"

#include <signal.h>

namespace wsbalance::httpd {

bool is_in_stop_handler() noexcept {
  sigset_t blocked;
  if (::pthread_sigmask(SIG_BLOCK, nullptr, &blocked) != 0) return false;
  return ::sigismember(&blocked, SIGTERM) == 1 || ::sigismember(&blocked, SIGHUP) == 1;
}

}  // namespace wsbalance::httpd
