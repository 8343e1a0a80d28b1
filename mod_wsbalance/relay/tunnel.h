// tunnel.h - one tunnel: two endpoints, two directions, and the one reason why it ended.
//
// Layer:    relay.
// Owns:     both descriptors, what is queued, its context.
// Threads:  made by any thread; from Relay::submit() on only its relay thread touches it.
// Errors:   the constructor may throw std::bad_alloc; nothing throws after it.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "relay/direction.h"
#include "relay/endpoint.h"
#include "relay/list_node.h"
#include "relay/poller.h"
#include "relay/rate_limit.h"
#include "relay/relay.h"
#include "relay/side.h"
#include "relay/timer_wheel.h"
#include "relay/tunnel_clock.h"
#include "relay/tunnel_settings.h"

namespace wsbalance::relay {

struct LoopServices;

// The next deadline of a tunnel.
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
  Tunnel(std::shared_ptr<const TunnelSettings> settings, std::unique_ptr<TunnelContext> context);

  // Gives it its connections and what was already read from them: `from_client` goes to the member
  // before anything else, `from_member` to the client. Copies the bytes. Without memory for them
  // the tunnel ends with `resources` when it is submitted.
  void adopt(Connection client, Connection member, std::span<const std::byte> from_client,
             std::span<const std::byte> from_member) noexcept;

  // One of its connections needs a thread of this process: it cannot go on in another one. Before
  // submit().
  void bind() noexcept { is_bound_ = true; }

  // The group that it belongs to (Relay::close_group()). Before submit().
  void set_group(std::uint16_t group) noexcept { group_ = group; }

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

  // This proxy ends it: a closing handshake with 1001 to both sides, unless its end has begun
  // already. After `limit` it is cut in any case. A second call may make that sooner.
  void close_within(std::chrono::milliseconds limit, EndReason reason, LoopServices& loop) noexcept;

  // This proxy ends it so that the client connects again: a closing handshake with 1012 to the
  // client. Only while its end has not begun.
  void leave(EndReason reason, LoopServices& loop) noexcept;
  bool has_end_begun() const noexcept;

  // It has ended: its descriptors are closed, it holds no buffer and no timer.
  bool is_over() const noexcept { return reason_ != EndReason::none; }

  // Of a tunnel that is over.
  TunnelSummary summary() const noexcept;
  std::unique_ptr<TunnelContext> take_context() noexcept { return std::move(context_); }

  void list_descriptors(std::vector<int>& found) const;

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
    bool is_throttled = false;       // A rate limit lets nothing be read from it until ready_at.
    bool is_paused = false;          // As clock_ was told.
    std::uint32_t unsent_bytes = 0;  // When the close timer last looked.
    std::uint32_t throttled = 0;     // How often it was.
    std::uint32_t pings_sent = 0;
    Clock::time_point ready_at{};
    RateLimit ping_limit;
  };

  // What a direction had counted before it carried something.
  struct Mark {
    std::uint64_t bytes;
    std::uint64_t data_bytes;
    std::uint64_t messages;
    std::uint32_t pings;
  };

  End& end(Side side) noexcept { return ends_[static_cast<std::size_t>(side)]; }
  const End& end(Side side) const noexcept { return ends_[static_cast<std::size_t>(side)]; }
  Direction& from(Side side) noexcept { return side == Side::client ? to_member_ : to_client_; }
  const Direction& from(Side side) const noexcept { return const_cast<Tunnel*>(this)->from(side); }
  Direction& to(Side side) noexcept { return from(other(side)); }

  const Direction& to(Side side) const noexcept { return from(other(side)); }
  bool is_read(Side side, const LoopServices& loop) const noexcept;
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
  bool is_over_with(Side side) const noexcept;
  bool is_progress(Side destination) const noexcept;
  bool look_at_unsent() noexcept;
  void begin_end(LoopServices& loop) noexcept;
  bool update_watch(Side side, LoopServices& loop) noexcept;
  EndReason reason_for_end() const noexcept;
  void finish(EndReason reason, LoopServices& loop) noexcept;

  // tunnel_life.cpp: what this proxy does to a tunnel of its own accord.
  Mark mark(Side source) const noexcept;
  DirectionCounts counts(Side source) const noexcept;
  void note_paused(Side side, bool is_paused, LoopServices& loop) noexcept;
  std::span<std::byte> read_buffer_for(Side source, const LoopServices& loop) const noexcept;
  void note_carried(Side source, const Mark& before, LoopServices& loop) noexcept;
  void check_rates(Side source, const Mark& before, LoopServices& loop) noexcept;
  void exceed(Side source, const RateLimit& limit, const RateSettings& settings, EndReason reason,
              LoopServices& loop) noexcept;
  void end_throttles(LoopServices& loop) noexcept;
  void arm_timer(LoopServices& loop) noexcept;
  bool can_be_pinged() const noexcept {
    // A ping stands between frames of one direction, and its pong comes in the other one.
    return to_member_.is_followed() && to_client_.is_followed();
  }
  void act_on_clock(LoopServices& loop) noexcept;
  void send_ping(Side side, LoopServices& loop) noexcept;
  void refuse(Side offender, LoopServices& loop) noexcept;
  void close_both(EndReason reason, std::uint16_t code_client, std::uint16_t code_member,
                  LoopServices& loop) noexcept;
  bool may_still_close() const noexcept;
  void close_for_lifetime(LoopServices& loop) noexcept;
  void close_dead(Side dead, LoopServices& loop) noexcept;
  void send_close(Side side, LoopServices& loop) noexcept;

  const std::shared_ptr<const TunnelSettings> shared_settings_;
  const TunnelSettings& settings_{*shared_settings_};
  std::array<End, 2> ends_;
  Direction to_member_;
  Direction to_client_;
  std::unique_ptr<TunnelContext> context_;
  Tunnel* next_in_inbox_ = nullptr;

  TunnelTimer timer_{*this};
  Clock::time_point timer_at_{};  // For when it was armed.
  TunnelClock clock_;
  RateLimit byte_limit_;
  RateLimit message_limit_;
  protocol::PingTag ping_tag_{};
  std::chrono::milliseconds look_after_{0};  // How long the timer waited last, in an end.
  Clock::time_point began_{};
  Clock::time_point moved_{};                            // In an end: when it last made progress.
  Clock::time_point cut_at_ = Clock::time_point::max();  // See close_within().
  Clock::time_point ended_{};

  EndReason reason_ = EndReason::none;
  EndReason broken_reason_ = EndReason::none;  // Of the side that broke first.
  EndReason our_reason_ = EndReason::none;     // Why this proxy closes it.
  std::array<std::uint16_t, 2> our_codes_{};   // Of the close frames that it sends to each side.
  std::optional<Side> first_close_;            // Whose close frame passed first.
  std::optional<Side> first_end_;              // Who ended first.
  std::uint16_t group_ = 0;
  bool is_ending_ : 1 = false;    // begin_end() was called.
  bool is_short_ : 1 = false;     // It was, in the tunnel's first second.
  bool was_refused_ : 1 = false;  // adopt() found no memory.
  bool is_bound_ : 1 = false;     // bind() was called.
  bool waits_for_turn_ = false;   // To be closed; its loop's note.
};

// An idle tunnel holds no memory but this and its context.
static_assert(sizeof(Tunnel) <= 696);

}  // namespace wsbalance::relay
