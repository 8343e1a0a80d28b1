// child_end.h - how a child process ends, and what becomes of its tunnels then.
//
// Layer:    httpd (pure: no header of httpd or APR).
// Threads:  stateless.
#pragma once

#include <chrono>
#include <cstdint>

namespace wsbalance::httpd {

// For the closing handshakes of tunnels whose process cannot wait for long.
inline constexpr std::chrono::milliseconds kCloseLimitAtStop{800};

// In which tunnels are closed that cannot stay where they are: those of a child that gets no carrier,
// whose slot is held for so long, and those of a carrier that makes room.
inline constexpr std::chrono::milliseconds kCloseOver{3000};

// What httpd tells about the end of a child. (event.c, worker.c: signal_threads(),
// clean_child_exit(); prefork.c: clean_child_exit(), just_die(), stop_listening().)
//
//   | end of the child                   | event, worker        | prefork                       |
//   | ---------------------------------- | -------------------- | ----------------------------- |
//   | graceful restart, scale-down,      | child_stopping(1)    | child_stopping(0)             |
//   | MaxConnectionsPerChild,            |                      |                               |
//   | graceful-stop                      |                      |                               |
//   | restart, stop                      | child_stopping(0)    | child_stopping(0), within the |
//   |                                    |                      | handler of SIGHUP or SIGTERM  |
//   | accept() failed (no descriptor)    | child_stopping(1)    | nothing                       |
//   | it could not start                 | child_stopping(0) or | child_stopping(0) or nothing, |
//   |                                    | nothing, no tunnels  | no tunnels                    |
struct ChildEnd {
  bool is_threaded_mpm = false;
  bool was_told = false;           // child_stopping came.
  bool was_told_graceful = false;  // With this argument.
  bool is_in_signal_handler = false;
};

constexpr bool is_graceful(const ChildEnd& end) noexcept {
  if (end.is_in_signal_handler) return false;
  return end.is_threaded_mpm ? end.was_told && end.was_told_graceful : true;
}

// Is this called by the handler of a signal that ends a child at once? The kernel blocks a signal
// while it is handled, and httpd's processes block it at no other time that matters here.
bool is_in_stop_handler() noexcept;

}  // namespace wsbalance::httpd
