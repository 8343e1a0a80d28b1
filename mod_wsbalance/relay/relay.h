// relay.h - the relay of a process: threads that carry tunnels, and the way into them.
//
// Layer:    relay (POSIX, Linux, OpenSSL, protocol/; knows no httpd, no member's name).
// Owns:     its threads and every tunnel that was handed to it.
// Threads:  submit() from any thread; start() and stop() from the one that owns the Relay.
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
};

struct RelaySettings {
  unsigned threads = 1;                                    // WSBalanceThreads
  std::size_t buffer_total_bytes_max = 256 * 1024 * 1024;  // WSBalanceBufferTotal
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

  // Starts the threads, all signals blocked in them. If that fails none is left.
  void start();

  // Takes the tunnel over. Its descriptors are set non-blocking and TCP_NODELAY (where TCP) by the
  // relay. Never fails: a tunnel that cannot be carried ends with `resources`; after stop() it is
  // closed at once.
  void submit(std::unique_ptr<Tunnel> tunnel) noexcept;

  // Ends all tunnels and the threads; no tunnel_ended() is called for these ends (they would be
  // `shutdown`), but `open_tunnels` is lowered. Safe in a signal handler that interrupted any code
  // of this process (prefork ends its children there): a relay thread that sees it closes
  // descriptors and allocates, frees, locks and logs nothing any more, and this only waits. At most
  // `limit`; false if that was not enough. It never is where a relay thread was about to free
  // memory and the interrupted code holds the heap's lock. The threads and the descriptors then go
  // with the process, so do not make `limit` long in a signal handler. May be called again.
  bool stop(std::chrono::milliseconds limit) noexcept;

 private:
  RelayThread& least_loaded() noexcept;

  std::unique_ptr<BufferBudget> budget_;
  std::unique_ptr<TimeSource> time_;
  std::vector<std::unique_ptr<RelayThread>> threads_;
};

}  // namespace wsbalance::relay
