#include "relay/poller.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <system_error>

namespace wsbalance::relay {
namespace {

epoll_event event_for(std::uint64_t tag, Readiness interest) {
  epoll_event event{};
  if (interest & kReadable) event.events |= EPOLLIN;
  if (interest & kWritable) event.events |= EPOLLOUT;
  if (interest & kPeerEnded) event.events |= EPOLLRDHUP;
  event.data.u64 = tag;
  return event;
}

Readiness readiness_of(std::uint32_t events) {
  unsigned ready = 0;
  if (events & EPOLLIN) ready |= kReadable;
  if (events & EPOLLOUT) ready |= kWritable;
  if (events & EPOLLRDHUP) ready |= kPeerEnded;
  if (events & (EPOLLHUP | EPOLLERR)) ready |= kHungUp;
  return static_cast<Readiness>(ready);
}

[[noreturn]] void throw_errno(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

Poller::Poller()
    : epoll_(::epoll_create1(EPOLL_CLOEXEC)), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!epoll_) throw_errno("epoll_create1");
  if (!wake_) throw_errno("eventfd");
  if (!add(wake_.get(), kWakeTag, kReadable)) throw_errno("epoll_ctl");
}

bool Poller::add(int fd, std::uint64_t tag, Readiness interest) noexcept {
  epoll_event event = event_for(tag, interest);
  return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

bool Poller::change(int fd, std::uint64_t tag, Readiness interest) noexcept {
  epoll_event event = event_for(tag, interest);
  return ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0;
}

void Poller::remove(int fd) noexcept {
  (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

std::span<PollEvent> Poller::wait(std::span<PollEvent, kEventsMax> events,
                                  std::chrono::milliseconds limit) noexcept {
  std::array<epoll_event, kEventsMax> raw;
  const int timeout_ms =
      static_cast<int>(std::clamp<std::chrono::milliseconds::rep>(limit.count(), -1, INT_MAX));
  const int count =
      ::epoll_wait(epoll_.get(), raw.data(), static_cast<int>(raw.size()), timeout_ms);
  if (count <= 0) return {};

  const auto filled = events.first(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < filled.size(); ++i) {
    filled[i] = {.tag = raw[i].data.u64, .ready = readiness_of(raw[i].events)};
  }
  return filled;
}

void Poller::wake() noexcept {
  const int saved_errno = errno;
  const std::uint64_t one = 1;
  // It can only fail where the counter is full, and then wait() returns anyway.
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof one);
  errno = saved_errno;
}

void Poller::clear_wake() noexcept {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t taken = ::read(wake_.get(), &count, sizeof count);
}

void Poller::close() noexcept {
  epoll_.reset();
  wake_.reset();
}

bool Watch::set(Poller& poller, int fd, std::uint64_t tag, Readiness interest) noexcept {
  if (state_ == State::watched) {
    if (interest == interest_) return true;
    interest_ = interest;
    return poller.change(fd, tag, interest);
  }
  if (state_ == State::muted && interest == 0) return true;
  if (!poller.add(fd, tag, interest)) return false;
  state_ = State::watched;
  interest_ = interest;
  return true;
}

void Watch::mute(Poller& poller, int fd) noexcept {
  if (state_ == State::watched) poller.remove(fd);
  state_ = State::muted;
  interest_ = 0;
}

void Watch::remove(Poller& poller, int fd) noexcept {
  if (state_ == State::watched) poller.remove(fd);
  state_ = State::absent;
  interest_ = 0;
}

}  // namespace wsbalance::relay
