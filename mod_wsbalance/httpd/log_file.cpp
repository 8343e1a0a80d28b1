#include "httpd/log_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace wsbalance::httpd {

LogFile::LogFile(const char* name, int fd) noexcept : name_(name), fd_(fd) {
  struct stat status {};
  if (::fstat(fd, &status) != 0 || S_ISREG(status.st_mode)) return;
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags >= 0) (void)::fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

LogFile::Result LogFile::write(std::string_view line, std::chrono::milliseconds patience) noexcept {
  const int error_before = error_;
  switch (put(line, is_stalled_ ? std::chrono::milliseconds(0) : patience)) {
    case Put::all:
      is_stalled_ = false;
      error_ = 0;
      return error_before != 0 ? Result::works_again : Result::written;
    case Put::full:
      is_stalled_ = true;
      return Result::not_taken;
    case Put::failed:
      break;
  }
  is_stalled_ = false;
  if (error_before == 0) lost_ = 0;
  ++lost_;
  return error_before == 0 ? Result::broke : Result::still_broken;
}

LogFile::Put LogFile::put(std::string_view line, std::chrono::milliseconds patience) noexcept {
  static constexpr char kLineFeed = '\n';
  bool may_wait = true;
  bool has_begun = false;
  while (!line.empty()) {
    // Behind a part of an earlier line this one begins on its own.
    const std::size_t lead = is_cut_ ? 1 : 0;
    const std::array<iovec, 2> parts = {iovec{const_cast<char*>(&kLineFeed), lead},
                                        iovec{const_cast<char*>(line.data()), line.size()}};
    const ssize_t count = ::writev(fd_, parts.data(), parts.size());
    if (count > 0) {
      // Where that was not all, the disk or the pipe is full, and the next call says which.
      line.remove_prefix(static_cast<std::size_t>(count) - lead);
      is_cut_ = false;
      has_begun = may_wait = true;
      continue;
    }
    const int error = count < 0 ? errno : EIO;
    if (error == EINTR) continue;
    if (error == EAGAIN && may_wait && wait_writable(patience)) {
      may_wait = false;
      continue;
    }
    if (has_begun) is_cut_ = true;
    if (error == EAGAIN) return Put::full;
    error_ = error;
    return Put::failed;
  }
  return Put::all;
}

bool LogFile::wait_writable(std::chrono::milliseconds patience) const noexcept {
  pollfd writable{fd_, POLLOUT, 0};
  return ::poll(&writable, 1, static_cast<int>(patience.count())) > 0;
}

}  // namespace wsbalance::httpd
