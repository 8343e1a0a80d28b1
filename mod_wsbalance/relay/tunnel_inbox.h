// tunnel_inbox.h - hands tunnels from any thread to a loop, without locks and without memory.
//
// Layer:    relay.
// Owns:     the tunnels in it.
// Threads:  push() from any thread, the rest from the loop's thread.
// Errors:   none.
//
// No lock, because a signal handler may have interrupted a thread in the middle of push() and then
// wait for the loop to stop.
#pragma once

#include <atomic>
#include <memory>

namespace wsbalance::relay {

class Tunnel;

class TunnelInbox {
 public:
  enum class Push { first, more, closed };

  TunnelInbox() = default;
  ~TunnelInbox();  // Frees the tunnels in it.
  TunnelInbox(const TunnelInbox&) = delete;
  TunnelInbox& operator=(const TunnelInbox&) = delete;

  // Takes the tunnel over and says whether it is the first one to wait, so that the loop has to be
  // woken. After close() the tunnel stays with the caller.
  Push push(std::unique_ptr<Tunnel>& tunnel) noexcept;

  // Calls take(Tunnel&) for each tunnel in the order of their arrival; the callee owns them.
  template <typename Take>
  void take_all(Take&& take) noexcept {
    Tunnel* tunnel = take_chain(nullptr);
    while (tunnel != nullptr) {
      Tunnel* const next = next_of(*tunnel);
      take(*tunnel);
      tunnel = next;
    }
  }

  // The same, and nothing comes in any more.
  template <typename Take>
  void close(Take&& take) noexcept {
    Tunnel* tunnel = take_chain(closed_mark());
    while (tunnel != nullptr) {
      Tunnel* const next = next_of(*tunnel);
      take(*tunnel);
      tunnel = next;
    }
  }

 private:
  // An address that is no tunnel's.
  Tunnel* closed_mark() noexcept { return reinterpret_cast<Tunnel*>(this); }

  // Leaves `replacement` and returns what was there, the oldest first.
  Tunnel* take_chain(Tunnel* replacement) noexcept;
  static Tunnel* next_of(const Tunnel& tunnel) noexcept;

  std::atomic<Tunnel*> newest_{nullptr};
};

}  // namespace wsbalance::relay
