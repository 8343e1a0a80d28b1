// rows_bench.h - rows as they stand in shared memory, and processes that come and go.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <utility>

#include "httpd/shared_rows.h"

namespace wsbalance::httpd {

// Memory as apr_shm_create() gives it: all zero.
class ZeroMemory {
 public:
  explicit ZeroMemory(std::size_t bytes)
      : memory_(std::aligned_alloc(SharedRows::kAlignment,
                                   (bytes / SharedRows::kAlignment + 1) * SharedRows::kAlignment)) {
    std::fill_n(static_cast<std::byte*>(memory_), bytes, std::byte{0});
  }
  ZeroMemory(const ZeroMemory&) = delete;
  ZeroMemory& operator=(const ZeroMemory&) = delete;
  ~ZeroMemory() { std::free(memory_); }
  void* get() const { return memory_; }

 private:
  void* memory_;
};

struct RowsBench {
  RowNumbers numbers{.processes = 3, .members = 4};
  ZeroMemory memory{SharedRows::bytes_for(numbers)};
  SharedRows rows = SharedRows::make(memory.get(), numbers);
  ProcessId self = process_id_of(::getpid());
};

// A process that lives until it is ended.
class OtherProcess {
 public:
  OtherProcess() : pid_(::fork()) {
    while (pid_ == 0) ::pause();
    id_ = process_id_of(pid_);
  }
  OtherProcess(const OtherProcess&) = delete;
  OtherProcess& operator=(const OtherProcess&) = delete;
  ~OtherProcess() { end(); }

  const ProcessId& id() const { return id_; }
  // By a signal. It is a zombie until it is reaped.
  void kill() { ::kill(pid_, SIGKILL); }
  void reap() {
    if (pid_ > 0) ::waitpid(std::exchange(pid_, -1), nullptr, 0);
  }
  void end() {
    if (pid_ > 0) kill();
    reap();
  }

 private:
  pid_t pid_;
  ProcessId id_;
};

}  // namespace wsbalance::httpd
