#include "relay/tunnel.h"

#include <algorithm>
#include <utility>

#include "relay/loop_services.h"

namespace wsbalance::relay {
namespace {

// The close timer looks soon after the first end, when bytes usually wait for an acknowledgement
// only, then less and less often. A stall is noticed that much late.
constexpr std::chrono::milliseconds kFirstLook{50};
constexpr int kLooksPerTimeout = 4;

// What is over sooner has not come to much (TunnelSummary::is_short).
constexpr std::chrono::milliseconds kShortTunnel{1000};

// For epoll. A tunnel's address is even, so the lowest bit is free for the side.
std::uint64_t tag_of(const Tunnel& tunnel, Side side) {
  static_assert(alignof(Tunnel) >= 2);
  return reinterpret_cast<std::uintptr_t>(&tunnel) | static_cast<std::uint64_t>(side);
}

}  // namespace

Tunnel::Tunnel(std::shared_ptr<const TunnelSettings> settings,
               std::unique_ptr<TunnelContext> context)
    : shared_settings_(std::move(settings)),
      to_member_(settings_.buffer_bytes_max,
                 settings_.frames[static_cast<std::size_t>(Side::client)]),
      to_client_(settings_.buffer_bytes_max,
                 settings_.frames[static_cast<std::size_t>(Side::member)]),
      context_(std::move(context)) {}

void Tunnel::adopt(Connection client, Connection member, std::span<const std::byte> from_client,
                   std::span<const std::byte> from_member) noexcept {
  end(Side::client).endpoint.open(std::move(client));
  end(Side::member).endpoint.open(std::move(member));
  was_refused_ = !to_member_.put_first(from_client) || !to_client_.put_first(from_member);
}

Tunnel::Target Tunnel::from_tag(std::uint64_t tag) noexcept {
  return {reinterpret_cast<Tunnel*>(static_cast<std::uintptr_t>(tag & ~std::uint64_t{1})),
          static_cast<Side>(tag & 1)};
}

void Tunnel::begin(LoopServices& loop) noexcept {
  began_ = loop.now;
  clock_.begin(settings_.times, static_cast<std::uint16_t>(loop.random()), loop.now);
  to_member_.count_memory(loop.budget);
  to_client_.count_memory(loop.budget);
  if (was_refused_ || !end(Side::client).endpoint.prepare(settings_.keep_alive) ||
      !end(Side::member).endpoint.prepare(settings_.keep_alive)) {
    return finish(EndReason::resources, loop);
  }
  for (const Side side : {Side::client, Side::member}) {
    if (from(side).frames().has_close() && !first_close_) first_close_ = side;
  }
  flush_to(Side::member, loop);
  if (!is_over()) flush_to(Side::client, loop);
  for (const Side side : {Side::client, Side::member}) {
    if (!is_over()) note_carried(side, {}, loop);
  }
  settle(loop);
  if (!is_over()) arm_timer(loop);
}

void Tunnel::on_ready(Side side, Readiness ready, LoopServices& loop) noexcept {
  const bool was_broken = end(side).is_broken;
  if ((ready & (kWritable | kHungUp)) && end(side).endpoint.wants_flush()) {
    flush_endpoint(side, loop);
    if (is_over()) return;
  }
  // A descriptor that hung up answers a read or a write with what happened to it.
  const auto writable = end(side).endpoint.write_waits_for_input() ? kReadable : kWritable;
  if ((ready & (writable | kHungUp)) && to(side).wants_destination()) flush_to(side, loop);
  if (is_over()) return;

  if (end(side).is_broken != was_broken) {
    // That was found by the write, and what it sent was looked at then.
  } else if (is_read(side, loop)) {
    if (ready & (kReadable | kHungUp)) carry_from(side, loop);
  } else {
    if (ready & (kPeerEnded | kHungUp)) note_peer_ended(side);
    if ((ready & kHungUp) && !to(side).wants_destination()) on_useless_hang_up(side, loop);
  }
  if ((ready & kHungUp) && !is_over() && end(side).endpoint.is_gone_at_hang_up()) {
    mark_gone(side, loop);
  }
  settle(loop);
}

bool Tunnel::is_read(Side side, const LoopServices& loop) const noexcept {
  return !end(side).is_throttled && from(side).wants_source(loop.budget);
}

// Its end of file stands behind bytes that wait for the other side. The close timer has to run from
// now on, or a side that takes nothing would keep the tunnel for ever.
void Tunnel::note_peer_ended(Side side) noexcept {
  end(side).has_peer_ended = true;
  if (!first_end_) first_end_ = side;
}

// Nothing can be read or written now. The bytes that it sent, if any, stay in the kernel.
void Tunnel::on_useless_hang_up(Side side, LoopServices& loop) noexcept {
  End& hung_up = end(side);
  if (!hung_up.is_broken && hung_up.endpoint.is_broken()) {
    mark_broken(side, loop);
  } else {
    hung_up.watch.mute(loop.poller, hung_up.endpoint.fd());
  }
}

void Tunnel::on_timer(LoopServices& loop) noexcept {
  end_throttles(loop);
  if (is_ending_) {
    // A side may have ended long ago and still be sent data.
    if (clock_.lifetime_end() <= loop.now && may_still_close()) {
      close_for_lifetime(loop);
      if (is_over()) return;
    }
    const bool waits = end(Side::client).is_throttled || end(Side::member).is_throttled;
    if (look_at_unsent() || waits) moved_ = loop.now;
    const bool is_late = loop.now - moved_ >= settings_.close_timeout || loop.now >= cut_at_;
    if (is_complete() || is_late) {
      return finish(reason_for_end(), loop);
    }
    look_after_ = std::min(look_after_ * 2, settings_.close_timeout / kLooksPerTimeout);
  } else {
    act_on_clock(loop);
  }
  settle(loop);
  if (!is_over() && !timer_.is_armed()) arm_timer(loop);
}

TunnelSummary Tunnel::summary() const noexcept {
  TunnelSummary summary;
  summary.reason = reason_;
  if (first_close_) {
    summary.close_code = from(*first_close_).frames().close_code();
    summary.closer = *first_close_ == Side::client ? Closer::client : Closer::member;
  } else if (to_client_.has_put_close() || to_member_.has_put_close()) {
    summary.close_code = std::max(our_codes_[0], our_codes_[1]);
    summary.closer = Closer::proxy;
  }
  summary.duration = std::chrono::duration_cast<std::chrono::milliseconds>(ended_ - began_);
  summary.is_short = is_short_;
  summary.to_member = counts(Side::client);
  summary.to_client = counts(Side::member);
  for (const Side side : {Side::client, Side::member}) {
    summary.pings[static_cast<std::size_t>(side)] = end(side).pings_sent;
    // After its close frame a side has said all that it will (RFC 6455 5.5.1).
    if (end(side).was_truncated && !from(side).frames().has_close()) summary.is_truncated = true;
  }
  return summary;
}

DirectionCounts Tunnel::counts(Side source) const noexcept {
  const protocol::FrameScanner& frames = from(source).frames();
  return {.bytes = from(source).bytes(),
          .frames = frames.frames(),
          .messages = frames.messages(),
          .throttled = end(source).throttled,
          .violations = frames.violations(),
          .broken_rules = frames.broken_rules()};
}

void Tunnel::list_descriptors(std::vector<int>& found) const {
  for (const End& end : ends_) found.push_back(end.endpoint.fd());
}

void Tunnel::close_descriptors() noexcept {
  for (End& end : ends_) end.endpoint.close_descriptor();
}

void Tunnel::carry_from(Side source, LoopServices& loop) noexcept {
  Direction& direction = from(source);
  Endpoint& destination = end(other(source)).endpoint;
  const Mark before = mark(source);
  const bool had_close = direction.frames().has_close();
  auto step = direction.carry(end(source).endpoint, destination, loop.budget,
                              read_buffer_for(source, loop));
  // A broken source that has nothing now will never have.
  if (step == Direction::Step::idle && end(source).is_broken) {
    step = direction.end_source(destination, loop.budget);
  }
  if (!first_close_ && our_reason_ == EndReason::none && direction.frames().has_close()) {
    first_close_ = source;
  }
  if (!first_end_ && direction.has_source_ended()) first_end_ = source;
  // What comes behind a close frame brings no end nearer.
  if (had_close && step == Direction::Step::moved) step = Direction::Step::blocked;
  apply(step, source, loop);
  if (!is_over()) note_carried(source, before, loop);
  if (!is_over() && our_reason_ != EndReason::none) send_close(other(source), loop);
}

// What TLS has decrypted and kept. The socket may say nothing more about it.
void Tunnel::carry_pending(Side source, LoopServices& loop) noexcept {
  while (end(source).endpoint.has_pending() && is_read(source, loop)) {
    const std::uint64_t bytes_before = from(source).bytes();
    carry_from(source, loop);
    if (is_over() || from(source).bytes() == bytes_before) return;
  }
}

void Tunnel::flush_to(Side destination, LoopServices& loop) noexcept {
  const auto step = to(destination).flush(end(destination).endpoint, loop.budget);
  apply(step, other(destination), loop);
}

void Tunnel::flush_endpoint(Side side, LoopServices& loop) noexcept {
  const IoResult result = end(side).endpoint.flush().result;
  if (result == IoResult::ok && is_progress(side)) moved_ = loop.now;
  if (result == IoResult::error) mark_broken(side, loop);
  if (result == IoResult::refused) finish(EndReason::resources, loop);
}

void Tunnel::apply(Direction::Step step, Side source, LoopServices& loop) noexcept {
  switch (step) {
    case Direction::Step::idle:
    case Direction::Step::blocked:
      return;
    case Direction::Step::moved:
      if (is_ending_ && is_progress(other(source))) moved_ = loop.now;
      return;
    case Direction::Step::source_broke:
      return mark_broken(source, loop);
    case Direction::Step::destination_broke:
      return mark_broken(other(source), loop);
    case Direction::Step::refused:
      return finish(EndReason::resources, loop);
  }
}

void Tunnel::mark_broken(Side side, LoopServices& loop) noexcept {
  if (end(side).is_broken) return;
  if (broken_reason_ == EndReason::none) {
    broken_reason_ = side == Side::client ? EndReason::client_error : EndReason::member_error;
  }
  mark_gone(side, loop);
}

// Nothing can be delivered to that side any more. What it sent before can still be read.
void Tunnel::mark_gone(Side side, LoopServices& loop) noexcept {
  if (end(side).is_broken) return;
  end(side).is_broken = true;
  if (!first_end_) first_end_ = side;
  to(side).abandon(loop.budget);
  if (from(side).wants_source(loop.budget)) carry_from(side, loop);
}

// After whatever happened: is it over, and what is to be watched for now?
void Tunnel::settle(LoopServices& loop) noexcept {
  for (const Side side : {Side::client, Side::member}) {
    if (!is_over()) carry_pending(side, loop);
  }
  if (our_reason_ != EndReason::none) {
    for (const Side side : {Side::client, Side::member}) {
      if (!is_over()) send_close(side, loop);
    }
  }
  if (is_over()) return;
  if (has_end_begun()) {
    if (is_complete()) return finish(reason_for_end(), loop);
    if (!is_ending_) begin_end(loop);
  }
  if (!update_watch(Side::client, loop) || !update_watch(Side::member, loop)) {
    finish(EndReason::resources, loop);
  }
}

bool Tunnel::holds_unsent(Side side) const noexcept {
  return !end(side).is_broken && end(side).endpoint.wants_flush();
}

bool Tunnel::is_complete() const noexcept {
  if (holds_unsent(Side::client) || holds_unsent(Side::member)) return false;
  if (our_reason_ != EndReason::none) {
    return is_over_with(Side::client) && is_over_with(Side::member);
  }
  const bool client_broke = end(Side::client).is_broken;
  const bool member_broke = end(Side::member).is_broken;
  if (client_broke && member_broke) return true;
  if (!client_broke && !member_broke) return to_member_.is_done() && to_client_.is_done();

  const Side broken = client_broke ? Side::client : Side::member;
  const Side alive = other(broken);
  if (!from(broken).is_done()) return false;
  // Closing a socket to which more comes discards what it has not sent. So the side that is alive
  // gets the time to take it, and to end after the end of file that it has been sent.
  return from(alive).has_source_ended() || end(alive).endpoint.unsent_bytes() == 0;
}

// This proxy closes the tunnel: has that side got its close frame, and answered or ended?
bool Tunnel::is_over_with(Side side) const noexcept {
  if (end(side).is_broken) return true;
  const Direction& sent = to(side);
  if (!sent.is_empty()) return false;
  if (!sent.has_close_gone() && !sent.has_ended_output()) return false;
  if (from(side).has_source_ended()) return true;
  return sent.has_close_gone() && from(side).frames().has_close();
}

bool Tunnel::has_end_begun() const noexcept {
  return first_end_ || first_close_ || broken_reason_ != EndReason::none ||
         our_reason_ != EndReason::none;
}

// Does a byte that moves to that side bring the end nearer? Once there is a close frame it has to
// be delivered and answered; what else moves must not hold that up.
bool Tunnel::is_progress(Side destination) const noexcept {
  const bool is_handshake = first_close_ || our_reason_ != EndReason::none;
  return !is_handshake || to(destination).has_close_gone();
}

// Did bytes leave the kernel's send queues since the last look?
bool Tunnel::look_at_unsent() noexcept {
  bool have_left = false;
  for (const Side side : {Side::client, Side::member}) {
    End& looked_at = end(side);
    if (looked_at.is_broken) continue;
    const std::uint32_t unsent_bytes = looked_at.endpoint.unsent_bytes();
    if (unsent_bytes < looked_at.unsent_bytes && is_progress(side)) have_left = true;
    looked_at.unsent_bytes = unsent_bytes;
  }
  return have_left;
}

// The timer cuts what comes to no end. Bytes that move do not touch it: it looks at moved_.
void Tunnel::begin_end(LoopServices& loop) noexcept {
  is_ending_ = true;
  moved_ = loop.now;
  is_short_ = loop.now - began_ < kShortTunnel;
  look_after_ = std::min(kFirstLook, settings_.close_timeout / kLooksPerTimeout);
  look_at_unsent();
  arm_timer(loop);
}

bool Tunnel::update_watch(Side side, LoopServices& loop) noexcept {
  unsigned interest = 0;
  End& watched = end(side);
  if (is_read(side, loop)) {
    interest |= kReadable;
  } else if (!from(side).has_source_ended() && !watched.has_peer_ended) {
    interest |= kPeerEnded;
  }
  if (watched.endpoint.wants_flush()) {
    interest |= kWritable;
  } else if (to(side).wants_destination()) {
    interest |= watched.endpoint.write_waits_for_input() ? kReadable : kWritable;
  }
  const bool is_paused = (interest & kReadable) == 0;
  if (is_paused != watched.is_paused) note_paused(side, is_paused, loop);
  return watched.watch.set(loop.poller, watched.endpoint.fd(), tag_of(*this, side),
                           static_cast<Readiness>(interest));
}

EndReason Tunnel::reason_for_end() const noexcept {
  if (our_reason_ != EndReason::none) return our_reason_;
  if (broken_reason_ != EndReason::none) return broken_reason_;
  if (first_close_) {
    return *first_close_ == Side::client ? EndReason::client_close : EndReason::member_close;
  }
  return first_end_ == Side::client ? EndReason::client_eof : EndReason::member_eof;
}

void Tunnel::finish(EndReason reason, LoopServices& loop) noexcept {
  reason_ = reason;
  ended_ = loop.now;
  if (!is_ending_) is_short_ = ended_ - began_ < kShortTunnel;
  timer_.cancel();
  for (End& end : ends_) {
    end.watch.remove(loop.poller, end.endpoint.fd());
    end.was_truncated = end.endpoint.was_truncated();
    end.endpoint.close();
  }
  to_member_.release(loop.budget);
  to_client_.release(loop.budget);
}

}  // namespace wsbalance::relay
