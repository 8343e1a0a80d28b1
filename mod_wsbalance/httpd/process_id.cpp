#include "httpd/process_id.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <string_view>

#include "relay/unique_fd.h"

namespace wsbalance::httpd {
namespace {

// Of proc(5), /proc/<pid>/stat, counted from the state, which is field 3.
constexpr int kStartTimeField = 22 - 3;

struct Stat {
  bool is_known = false;
  bool has_ended = false;
  std::uint64_t start = 0;
};

Stat read_stat(pid_t pid) {
  constexpr std::string_view kBegin = "/proc/";
  constexpr std::string_view kEnd = "/stat";
  std::array<char, 32> path{};
  char* at = std::copy(kBegin.begin(), kBegin.end(), path.data());
  at = std::to_chars(at, path.data() + path.size() - kEnd.size() - 1, pid).ptr;
  std::copy(kEnd.begin(), kEnd.end(), at);

  const relay::UniqueFd fd(::open(path.data(), O_RDONLY | O_CLOEXEC));
  if (!fd) return {};
  std::array<char, 512> buffer;
  const ssize_t size = ::read(fd.get(), buffer.data(), buffer.size());
  if (size <= 0) return {};
  // The name of the program stands in parentheses and may hold anything.
  std::string_view text(buffer.data(), static_cast<std::size_t>(size));
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string_view::npos || name_end + 2 >= text.size()) return {};
  text.remove_prefix(name_end + 2);

  Stat stat;
  stat.has_ended = text.front() == 'Z' || text.front() == 'X';
  for (int field = 0; field < kStartTimeField; ++field) {
    const std::size_t blank = text.find(' ');
    if (blank == std::string_view::npos) return {};
    text.remove_prefix(blank + 1);
  }
  stat.is_known =
      std::from_chars(text.data(), text.data() + text.size(), stat.start).ec == std::errc();
  return stat;
}

}  // namespace

ProcessId process_id_of(pid_t pid) {
  const int saved_errno = errno;
  const ProcessId process{pid, read_stat(pid).start};
  errno = saved_errno;
  return process;
}

bool is_alive(const ProcessId& process) {
  const int saved_errno = errno;
  const Stat stat = read_stat(process.pid);
  bool is_alive = false;
  if (stat.is_known) {
    is_alive = !stat.has_ended && (process.start == 0 || stat.start == process.start);
  } else {
    // No /proc here (ChrootDir), or there is no such process.
    is_alive = ::kill(process.pid, 0) == 0 || errno != ESRCH;
  }
  errno = saved_errno;
  return is_alive;
}

}  // namespace wsbalance::httpd
