#include "httpd/carrier.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>
#include <vector>

#include "httpd/child_end.h"
#include "httpd/guard.h"
#include "httpd/lineage.h"
#include "httpd/log_writer.h"
#include "httpd/open_descriptors.h"
#include "httpd/order_follower.h"
#include "httpd/parent_watch.h"
#include "httpd/process_title.h"
#include "httpd/shared_clock.h"
#include "httpd/shared_rows.h"
#include "relay/relay.h"
#include "relay/unique_fd.h"

namespace wsbalance::httpd {
namespace {

using relay::EndReason;
using std::chrono::milliseconds;

// Between looks whether the last tunnel has ended.
constexpr milliseconds kLookEvery{250};
constexpr milliseconds kLookEveryAtStop{20};

// For the log lines that wait at the end.
constexpr milliseconds kLogStopLimit{1000};
constexpr milliseconds kRelayStopLimit{500};

// A time that WSBalanceCloseTimeout is always below.
constexpr milliseconds kNoCloseLimit = std::chrono::hours(24);

// SIGTERM is read from a descriptor; everything else is as in a process that was just started.
relay::UniqueFd reset_signals() noexcept {
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);
  // As httpd does it: what a terminal or a script says to the server's group is not for a carrier.
  ::signal(SIGHUP, SIG_IGN);
  ::signal(SIGUSR1, SIG_IGN);
  ::signal(SIGWINCH, SIG_IGN);
  sigset_t terminate;
  ::sigemptyset(&terminate);
  ::sigaddset(&terminate, SIGTERM);
  ::sigaddset(&terminate, SIGINT);
  ::pthread_sigmask(SIG_SETMASK, &terminate, nullptr);
  return relay::UniqueFd(::signalfd(-1, &terminate, SFD_CLOEXEC | SFD_NONBLOCK));
}

class Carrier {
 public:
  explicit Carrier(const Inheritance& inheritance) noexcept
      : in_(inheritance), signals_(reset_signals()) {}

  void run();

 private:
  void close_what_is_not_needed();
  void start();
  void show_title();
  void wait();
  void look_at_server();
  void close_tunnels(EndReason reason, milliseconds over, milliseconds limit) noexcept {
    in_.relay.close_tunnels(reason, over, limit);
  }

  const Inheritance& in_;
  relay::UniqueFd signals_;
  ProcessTitle title_;
  std::uint32_t shown_tunnels_ = ~0u;
  bool has_orders_ = false;                           // For tunnels of some members.
  bool is_making_room_ = false;                       // Another carrier took its place.
  milliseconds stopping_over_ = milliseconds::max();  // As the order said; max: no order.
};

void Carrier::close_what_is_not_needed() {
  std::vector<int> kept = {STDIN_FILENO,   STDOUT_FILENO,   STDERR_FILENO,
                           signals_.get(), in_.parent.fd(), in_.lineage.stop_fd()};
  in_.relay.list_descriptors(kept);
  in_.log_writer.list_descriptors(kept);
  close_all_but(std::move(kept));
}

void Carrier::start() {
  in_.log_writer.forward();
  in_.log_writer.start();
  in_.relay.start();
  if (in_.drain_timeout.count() > 0) {
    close_tunnels(EndReason::drain, in_.drain_timeout, kNoCloseLimit);
  }
}

void Carrier::show_title() {
  const std::uint32_t tunnels = in_.relay.load();
  if (tunnels == shown_tunnels_) return;
  shown_tunnels_ = tunnels;
  std::array<char, 80> text;
  const int size =
      std::snprintf(text.data(), text.size(), "apache2: wsbalance carrier (gen %d, %u tunnels)",
                    in_.generation, tunnels);
  title_.show("wsb-carrier", {text.data(), static_cast<std::size_t>(size)});
}

void Carrier::wait() {
  const bool is_stopping = stopping_over_ != milliseconds::max();
  std::array<pollfd, 3> woken = {pollfd{signals_.get(), POLLIN, 0},
                                 pollfd{in_.parent.fd(), POLLIN, 0},
                                 pollfd{in_.lineage.stop_fd(), POLLIN, 0}};
  // Once the end has begun, the two descriptors that stay readable say nothing new.
  if (is_stopping) woken[1].fd = woken[2].fd = -1;
  milliseconds limit = has_orders_ ? milliseconds(OrderFollower::kSoonMs) : kLookEvery;
  if (is_stopping) limit = kLookEveryAtStop;
  ::poll(woken.data(), woken.size(), static_cast<int>(limit.count()));
}

// A stop is never taken back, but may become a quicker one.
void Carrier::look_at_server() {
  milliseconds over = milliseconds::max();
  const StopOrder& order = in_.lineage.stop_order();
  if (order.is_given.load() != 0) over = milliseconds(order.over_ms.load());
  signalfd_siginfo signal{};
  const bool is_signalled = ::read(signals_.get(), &signal, sizeof(signal)) == sizeof(signal);
  if (is_signalled || in_.parent.is_gone()) over = milliseconds(0);
  if (over == milliseconds::max() && in_.row.must_close.load() != 0 && !is_making_room_) {
    is_making_room_ = true;
    return close_tunnels(EndReason::drain, kCloseOver, kNoCloseLimit);
  }
  if (over >= stopping_over_) return;
  stopping_over_ = over;
  close_tunnels(EndReason::shutdown, over, kCloseLimitAtStop);
}

void Carrier::run() {
  ::setsid();
  close_what_is_not_needed();
  show_title();
  start();
  while (in_.relay.load() > 0) {
    wait();
    look_at_server();
    has_orders_ = in_.orders.look(shared_clock_ms());
    show_title();
  }
}

// Where a thread could not be made, this one carries the tunnels to their end.
void close_without_threads(relay::Relay& relay) noexcept {
  using Clock = std::chrono::steady_clock;
  relay.close_tunnels(EndReason::drain, milliseconds(0), kCloseLimitAtStop);
  const auto deadline = Clock::now() + kCloseLimitAtStop + kRelayStopLimit;
  while (relay.load() > 0 && Clock::now() < deadline && relay.turn_here(kLookEveryAtStop)) {
  }
}

}  // namespace

void run_carrier(const Inheritance& inheritance) noexcept {
  const int code = guarded(inheritance.server, "carrier", 1, [&] {
    Carrier(inheritance).run();
    return 0;
  });
  if (code != 0) close_without_threads(inheritance.relay);
  inheritance.relay.stop(kRelayStopLimit);
  inheritance.log_writer.stop(kLogStopLimit);
  inheritance.rows.release(inheritance.row, inheritance.self);
  ::_exit(code);
}

}  // namespace wsbalance::httpd
