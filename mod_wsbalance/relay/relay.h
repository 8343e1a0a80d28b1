// relay.h - the relay of a process: threads that carry tunnels, and the way into them.
//
// Layer:    relay (POSIX, Linux, OpenSSL, protocol/; knows no httpd, no member's name).
// Owns:     its threads and every tunnel that was handed to it.
// Threads:  submit(), close_tunnels() and load() from any thread; the rest from the one that owns
//           the Relay.
// Errors:   the constructor and start() throw std::system_error or std::bad_alloc; nothing else
// throws.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "relay/tunnel_settings.h"

namespace wsbalance::relay {

class BufferBudget;  // relay/buffer_budget.h
class GroupOrders;   // relay/group_orders.h
struct GroupOrder;   // relay/group_orders.h
class RelayThread;   // relay/relay_thread.h
class TimeSource;    // relay/time_source.h
class Tunnel;  // relay/tunnel.h: ready but for its descriptors when it is made, so that a 101 is
               // never sent for a tunnel that then cannot be.

// What the owner of a tunnel wants to have with it when it ends. Handed to the TunnelObserver then;
// if stop() ended the tunnel, destroyed by whoever destroys the Relay.
struct TunnelContext {
  virtual ~TunnelContext() = default;
};

// Told about ends of tunnels, on a relay thread. Must not block and must not throw: all tunnels of
// that thread would wait.
class TunnelObserver {
 public:
  virtual ~TunnelObserver() = default;
  // `context` is what the tunnel was made with and may be null; the observer's from now on.
  virtual void tunnel_ended(const TunnelSummary& summary,
                            std::unique_ptr<TunnelContext> context) noexcept = 0;
  // A tunnel is closed by Relay::close_group(): once for each, before its end. It keeps its
  // context, which may be null.
  virtual void tunnel_leaves(TunnelContext*) noexcept {}
};

struct RelaySettings {
  unsigned threads = 1;                                    // WSBalanceThreads
  std::size_t buffer_total_bytes_max = 256 * 1024 * 1024;  // WSBalanceBufferTotal
  std::size_t groups = 0;                                  // For close_group().
};

class Relay {
 public:
  // `observer` and `open_tunnels` (raised by submit, lowered when a tunnel has ended) must live
  // until stop() has returned.
  Relay(const RelaySettings& settings, TunnelObserver& observer,
        std::atomic<std::uint32_t>& open_tunnels);
  // Frees the tunnels that stop() ended, so not in a signal handler. After start() it needs a
  // stop() that returned true: otherwise threads still run, and what they use is left to them.
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  // Starts the threads, all signals blocked in them. If that fails, they are paused as after
  // pause().
  void start();

  // To move the tunnels into another process: pause(), fork(), then abandon() in the process that
  // forked and start() in the forked one. If the fork fails, start() in the one that there is.

  // Ends the threads between two turns of their loops and joins them. Tunnels, timers and queues
  // stay as they are; what submit() and close_tunnels() bring meanwhile waits, and so does what the
  // sides send, in the kernel: start() goes on with all of it at once. False if `limit` was not
  // enough: some threads may go on then, and start() or stop() has to follow. Not for signal
  // handlers.
  bool pause(std::chrono::milliseconds limit) noexcept;

  // While it is paused, where no thread can be made: one turn of each loop on the calling thread,
  // which waits for at most `wait_max`. False: it has threads of its own.
  bool turn_here(std::chrono::milliseconds wait_max) noexcept;

  // While it is paused: adds every descriptor that it needs. May throw std::bad_alloc.
  void list_descriptors(std::vector<int>& found);

  // After a fork that followed a pause(), in the process that does not go on with the tunnels:
  // closes its copies of their descriptors and of the relay's own, by close(2) only, which changes
  // nothing of what is shared. Later calls do nothing any more, but submit() closes the tunnel; the
  // destructor frees memory. `open_tunnels` is left to the other process. Do not be late with it: a
  // side sees that its tunnel has ended when both processes have closed its descriptor.
  void abandon() noexcept;

  // Gives each tunnel a closing handshake, with 1001 to both sides, spread evenly over `over`: at
  // once if that is zero. Each thread does it with its own tunnels; until a tunnel has its turn it
  // goes on as ever. From then on it is cut after `close_timeout`, or before where
  // WSBalanceCloseTimeout says so; one whose end had begun already, too. Tunnels that are submitted
  // later are closed as well. tunnel_ended() is called as ever, with `reason`. A later call
  // replaces the plan for all tunnels that are left, those that close included. Safe in a signal
  // handler; of calls that meet, a thread follows any.
  void close_tunnels(EndReason reason, std::chrono::milliseconds over,
                     std::chrono::milliseconds close_timeout) noexcept;

  // The same at once, for tunnels that are bound to this process (Tunnel::bind()) only.
  void close_bound_tunnels(EndReason reason, std::chrono::milliseconds close_timeout) noexcept;

  // Closes tunnels of a group (Tunnel::set_group()) with 1012, of each loop the oldest first, and
  // soon, but never so many in a turn that others wait for it. Tunnels whose end has begun do not
  // count. Replaces the order that there was for the group. Safe in a signal handler.
  void close_group(std::uint16_t group, const GroupOrder& order) noexcept;

  // Takes the order for the group back. How many tunnels it would have closed beside those that it
  // has: where there are not as many, or before each loop had its time.
  std::uint32_t take_back_order(std::uint16_t group) noexcept;

  // How many tunnels it has.
  std::uint32_t load() const noexcept;

  // Takes the tunnel over. Its descriptors are set non-blocking and TCP_NODELAY (where TCP) by the
  // relay. Never fails: a tunnel that cannot be carried ends with `resources`; after stop() it is
  // closed at once.
  void submit(std::unique_ptr<Tunnel> tunnel) noexcept;

  // Ends all tunnels and the threads, if there are any; no tunnel_ended() is called for these ends
  // (they would be `shutdown`), but `open_tunnels` is lowered. Safe in a signal handler that
  // interrupted any code of this process (prefork ends its children there): a relay thread that
  // sees it closes descriptors and allocates, frees, locks and logs nothing any more, and this only
  // waits. At most `limit`; false if that was not enough. It never is where a relay thread was
  // about to free memory and the interrupted code holds the heap's lock. The threads and the
  // descriptors then go with the process, so do not make `limit` long in a signal handler. May be
  // called again.
  bool stop(std::chrono::milliseconds limit) noexcept;

 private:
  RelayThread& least_loaded() noexcept;

  std::unique_ptr<BufferBudget> budget_;
  std::unique_ptr<GroupOrders> group_orders_;
  std::unique_ptr<TimeSource> time_;
  std::vector<std::unique_ptr<RelayThread>> threads_;
  std::atomic<std::size_t> first_asked_{0};  // By close_group(): each thread in its turn.
};

}  // namespace wsbalance::relay
