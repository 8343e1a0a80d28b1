// poller.h - epoll with a way to wake it, and what is watched of one descriptor.
//
// Layer:    relay.
// Owns:     an epoll descriptor and an eventfd.
// Threads:  wake() from any thread and in signal handlers, the rest from the loop's thread.
// Errors:   the constructor throws std::system_error; later refusals are values.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "relay/unique_fd.h"

namespace wsbalance::relay {

// Bits of what is watched for, and of what is there.
using Readiness = std::uint8_t;
inline constexpr Readiness kReadable = 1;
inline constexpr Readiness kWritable = 2;
inline constexpr Readiness kHungUp = 4;  // An error or the end of both ways; always watched for.
// The other end has ended its way; what it sent may still wait to be read.
inline constexpr Readiness kPeerEnded = 8;

// Something happened at the descriptor that was added with `tag`.
struct PollEvent {
  std::uint64_t tag = 0;
  Readiness ready = 0;
};

class Poller {
 public:
  static constexpr std::uint64_t kWakeTag = 0;
  static constexpr std::size_t kEventsMax = 256;  // Of one wait().

  Poller();

  [[nodiscard]] bool add(int fd, std::uint64_t tag, Readiness interest) noexcept;
  [[nodiscard]] bool change(int fd, std::uint64_t tag, Readiness interest) noexcept;
  void remove(int fd) noexcept;

  // Waits for events, at most `limit`; without end if that is negative. Returns those of `events`
  // that were filled. A signal ends it early.
  std::span<PollEvent> wait(std::span<PollEvent, kEventsMax> events,
                            std::chrono::milliseconds limit) noexcept;

  // Makes wait() return with kWakeTag until clear_wake(). Leaves errno as it is.
  void wake() noexcept;
  void clear_wake() noexcept;

  void list_descriptors(std::vector<int>& found) const {
    found.insert(found.end(), {epoll_.get(), wake_.get()});
  }

  // Closes its descriptors, which another process shares and goes on with: no call reaches what is
  // behind them from here on.
  void close() noexcept;

 private:
  UniqueFd epoll_;
  UniqueFd wake_;
};

// What epoll knows of one descriptor, so that it is told only of changes.
class Watch {
 public:
  // False if the kernel refused.
  [[nodiscard]] bool set(Poller& poller, int fd, std::uint64_t tag, Readiness interest) noexcept;

  // Takes it out until there is an interest again. An end that nobody can act upon yet would be
  // reported without pause otherwise: epoll cannot be told not to.
  void mute(Poller& poller, int fd) noexcept;

  // To be called before the descriptor is closed: where a fork has copied it, closing alone would
  // leave it in epoll.
  void remove(Poller& poller, int fd) noexcept;

 private:
  enum class State : std::uint8_t { absent, muted, watched };
  State state_ = State::absent;
  Readiness interest_ = 0;
};

}  // namespace wsbalance::relay
