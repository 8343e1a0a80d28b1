// log_file.h - an open log: a file, or the pipe to a program.
//
// Layer:    httpd (pure: no header of httpd or APR).
// Owns:     nothing: the descriptor is the pool's.
// Threads:  the log writer.
// Errors:   values. It never waits longer than it is told to.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace wsbalance::httpd {

class LogFile {
 public:
  enum class Result : std::uint8_t {
    written,
    works_again,   // Written; it was not before.
    not_taken,     // A pipe is full: its program does not read, or too slowly.
    broke,         // An error: last_error() and lost() tell. The first since it worked.
    still_broken,  // One more.
  };

  // `name` is for the log and must outlive it. A pipe's descriptor is set non-blocking.
  LogFile(const char* name, int fd) noexcept;

  // Writes one line with one system call, unless a pipe takes a part of it only. Waits at most
  // `patience` for a program to read, and not at all if it did not do that for the last line.
  Result write(std::string_view line, std::chrono::milliseconds patience) noexcept;

  const char* name() const noexcept { return name_; }
  int descriptor() const noexcept { return fd_; }
  int last_error() const noexcept { return error_; }
  // Lines that an error cost since it worked last.
  std::uint64_t lost() const noexcept { return lost_; }

 private:
  enum class Put : std::uint8_t { all, full, failed };
  Put put(std::string_view line, std::chrono::milliseconds patience) noexcept;
  bool wait_writable(std::chrono::milliseconds patience) const noexcept;

  const char* name_;
  int fd_;
  int error_ = 0;            // An errno value; 0: the last line has been written.
  std::uint64_t lost_ = 0;   // Since then.
  bool is_stalled_ = false;  // The last line was not taken.
  bool is_cut_ = false;      // A part of a line stands at the end.
};

}  // namespace wsbalance::httpd
