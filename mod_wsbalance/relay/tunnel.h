// tunnel.h - one tunnel: two endpoints, two directions, and the one reason why it ended.
//
// Layer:    relay.
// Owns:     both descriptors, what is queued, its context.
// Threads:  made by any thread; from Relay::submit() on only its relay thread touches it.
// Errors:   the constructor may throw std::bad_alloc; nothing throws after it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "relay/direction.h"
#include "relay/endpoint.h"
#include "relay/list_node.h"
#include "relay/poller.h"
#include "relay/relay.h"
#include "relay/timer_wheel.h"
#include "relay/tunnel_settings.h"

namespace wsbalance::relay {

struct LoopServices;

enum class Side : std::uint8_t { client, member };

inline Side other(Side side) { return side == Side::client ? Side::member : Side::client; }

// One of the deadlines of a tunnel.
class TunnelTimer : public TimerNode {
 public:
  explicit TunnelTimer(Tunnel& tunnel) noexcept : tunnel_(tunnel) {}
  Tunnel& tunnel() const noexcept { return tunnel_; }

 private:
  Tunnel& tunnel_;
};

class Tunnel : private ListNode {
 public:
  // Allocates all that the tunnel needs to begin. May throw std::bad_alloc.
  Tunnel(const TunnelSettings& settings, std::unique_ptr<TunnelContext> context);

  // Gives it its connections and what was already read from them: `from_client` goes to the member
  // before anything else, `from_member` to the client. Copies the bytes. Without memory for them
  // the tunnel ends with `resources` when it is submitted.
  void adopt(Connection client, Connection member, std::span<const std::byte> from_client,
             std::span<const std::byte> from_member) noexcept;

  // From here on: for the loop that carries it.

  // What a loop's poller reports with an event.
  struct Target {
    Tunnel* tunnel;
    Side side;
  };
  static Target from_tag(std::uint64_t tag) noexcept;

  // Watches its descriptors and delivers what adopt() brought.
  void begin(LoopServices& loop) noexcept;

  // Something happened at the descriptor of that side. Not for a tunnel that is over.
  void on_ready(Side side, Readiness ready, LoopServices& loop) noexcept;

  void on_timer(LoopServices& loop) noexcept;

  // It has ended: its descriptors are closed, it holds no buffer and no timer.
  bool is_over() const noexcept { return reason_ != EndReason::none; }

  // Of a tunnel that is over.
  TunnelSummary summary() const noexcept;
  TunnelContext* context() const noexcept { return context_.get(); }

  // Closes the descriptors by system calls only, and nothing else: it leaks what TLS holds.
  void close_descriptors() noexcept;

 private:
  friend class RelayLoop;    // Keeps it in its list.
  friend class TunnelInbox;  // Links it while it is handed over.

  struct End {
    Endpoint endpoint;
    Watch watch;
    bool is_broken = false;          // It takes no more bytes.
    bool has_peer_ended = false;     // Seen while its bytes may not be read yet.
    bool was_truncated = false;      // When it was closed.
    std::uint32_t unsent_bytes = 0;  // When the close timer last looked.
  };

  End& end(Side side) noexcept { return ends_[static_cast<std::size_t>(side)]; }
  const End& end(Side side) const noexcept { return ends_[static_cast<std::size_t>(side)]; }
  Direction& from(Side side) noexcept { return side == Side::client ? to_member_ : to_client_; }
  const Direction& from(Side side) const noexcept { return const_cast<Tunnel*>(this)->from(side); }
  Direction& to(Side side) noexcept { return from(other(side)); }

  void note_peer_ended(Side side) noexcept;
  void on_useless_hang_up(Side side, LoopServices& loop) noexcept;
  void carry_from(Side source, LoopServices& loop) noexcept;
  void carry_pending(Side source, LoopServices& loop) noexcept;
  void flush_to(Side destination, LoopServices& loop) noexcept;
  void flush_endpoint(Side side, LoopServices& loop) noexcept;
  void apply(Direction::Step step, Side source, LoopServices& loop) noexcept;
  void mark_broken(Side side, LoopServices& loop) noexcept;
  void mark_gone(Side side, LoopServices& loop) noexcept;
  void settle(LoopServices& loop) noexcept;
  bool holds_unsent(Side side) const noexcept;
  bool is_complete() const noexcept;
  bool look_at_unsent() noexcept;
  void arm_close_timer(LoopServices& loop) noexcept;
  bool update_watch(Side side, LoopServices& loop) noexcept;
  EndReason reason_for_end() const noexcept;
  void finish(EndReason reason, LoopServices& loop) noexcept;

  std::array<End, 2> ends_;
  Direction to_member_;
  Direction to_client_;
  std::unique_ptr<TunnelContext> context_;
  Tunnel* next_in_inbox_ = nullptr;

  TunnelTimer close_timer_{*this};
  std::chrono::milliseconds close_timeout_;
  std::chrono::milliseconds look_after_{0};  // How long the close timer waited last.
  Clock::time_point began_{};
  Clock::time_point moved_{};  // When a byte last moved, or the first end was seen.
  Clock::time_point ended_{};

  EndReason reason_ = EndReason::none;
  EndReason broken_reason_ = EndReason::none;  // Of the side that broke first.
  std::optional<Side> first_close_;            // Whose close frame passed first.
  std::optional<Side> first_end_;              // Who ended first.
  bool was_refused_ = false;                   // adopt() found no memory.
};

// An idle tunnel holds no memory but this and its context.
static_assert(sizeof(Tunnel) <= 512);

}  // namespace wsbalance::relay
