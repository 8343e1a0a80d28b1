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

// For epoll. A tunnel's address is even, so the lowest bit is free for the side.
std::uint64_t tag_of(const Tunnel& tunnel, Side side) {
  static_assert(alignof(Tunnel) >= 2);
  return reinterpret_cast<std::uintptr_t>(&tunnel) | static_cast<std::uint64_t>(side);
}

}  // namespace

Tunnel::Tunnel(const TunnelSettings& settings, std::unique_ptr<TunnelContext> context)
    : to_member_(settings.buffer_bytes_max),
      to_client_(settings.buffer_bytes_max),
      context_(std::move(context)),
      close_timeout_(settings.close_timeout) {}

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
  began_ = moved_ = loop.now;
  to_member_.count_memory(loop.budget);
  to_client_.count_memory(loop.budget);
  if (was_refused_ || !end(Side::client).endpoint.prepare() ||
      !end(Side::member).endpoint.prepare()) {
    return finish(EndReason::resources, loop);
  }
  for (const Side side : {Side::client, Side::member}) {
    if (from(side).frames().has_close() && !first_close_) first_close_ = side;
  }
  flush_to(Side::member, loop);
  if (!is_over()) flush_to(Side::client, loop);
  settle(loop);
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
  } else if (from(side).wants_source(loop.budget)) {
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
  if (look_at_unsent()) moved_ = loop.now;
  if (is_complete() || loop.now - moved_ >= close_timeout_) return finish(reason_for_end(), loop);
  arm_close_timer(loop);
}

TunnelSummary Tunnel::summary() const noexcept {
  TunnelSummary summary;
  summary.reason = reason_;
  if (first_close_) summary.close_code = from(*first_close_).frames().close_code();
  summary.duration = std::chrono::duration_cast<std::chrono::milliseconds>(ended_ - began_);
  summary.to_member = to_member_.counts();
  summary.to_client = to_client_.counts();
  for (const Side side : {Side::client, Side::member}) {
    // After its close frame a side has said all that it will (RFC 6455 5.5.1).
    if (end(side).was_truncated && !from(side).frames().has_close()) summary.is_truncated = true;
  }
  return summary;
}

void Tunnel::close_descriptors() noexcept {
  for (End& end : ends_) end.endpoint.close_descriptor();
}

void Tunnel::carry_from(Side source, LoopServices& loop) noexcept {
  Direction& direction = from(source);
  Endpoint& destination = end(other(source)).endpoint;
  const auto step =
      direction.carry(end(source).endpoint, destination, loop.budget, loop.read_buffer);
  // A broken source that has nothing now will never have.
  if (step == Direction::Step::idle && end(source).is_broken) direction.end_source(destination);
  if (!first_close_ && direction.frames().has_close()) first_close_ = source;
  if (!first_end_ && direction.has_source_ended()) first_end_ = source;
  apply(step, source, loop);
}

// What TLS has decrypted and kept. The socket may say nothing more about it.
void Tunnel::carry_pending(Side source, LoopServices& loop) noexcept {
  while (end(source).endpoint.has_pending() && from(source).wants_source(loop.budget)) {
    const std::uint64_t bytes_before = from(source).counts().bytes;
    carry_from(source, loop);
    if (is_over() || from(source).counts().bytes == bytes_before) return;
  }
}

void Tunnel::flush_to(Side destination, LoopServices& loop) noexcept {
  const auto step = to(destination).flush(end(destination).endpoint, loop.budget);
  apply(step, other(destination), loop);
}

void Tunnel::flush_endpoint(Side side, LoopServices& loop) noexcept {
  const IoResult result = end(side).endpoint.flush().result;
  if (result == IoResult::ok) moved_ = loop.now;
  if (result == IoResult::error) mark_broken(side, loop);
  if (result == IoResult::refused) finish(EndReason::resources, loop);
}

void Tunnel::apply(Direction::Step step, Side source, LoopServices& loop) noexcept {
  switch (step) {
    case Direction::Step::idle:
    case Direction::Step::blocked:
      return;
    case Direction::Step::moved:
      moved_ = loop.now;
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
  if (is_over()) return;
  if (is_complete()) return finish(reason_for_end(), loop);

  const bool has_ended = first_end_ || broken_reason_ != EndReason::none;
  if (has_ended && !close_timer_.is_armed()) {
    moved_ = loop.now;
    look_at_unsent();
    arm_close_timer(loop);
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

// Did bytes leave the kernel's send queues since the last look?
bool Tunnel::look_at_unsent() noexcept {
  bool have_left = false;
  for (End& end : ends_) {
    if (end.is_broken) continue;
    const std::uint32_t unsent_bytes = end.endpoint.unsent_bytes();
    if (unsent_bytes < end.unsent_bytes) have_left = true;
    end.unsent_bytes = unsent_bytes;
  }
  return have_left;
}

// Bytes that move later do not touch the timer: it looks at moved_ when it comes.
void Tunnel::arm_close_timer(LoopServices& loop) noexcept {
  const auto longest = close_timeout_ / kLooksPerTimeout;
  look_after_ = look_after_.count() == 0 ? kFirstLook : look_after_ * 2;
  look_after_ = std::min(look_after_, longest);
  loop.timers.arm(close_timer_, std::min(moved_ + close_timeout_, loop.now + look_after_));
}

bool Tunnel::update_watch(Side side, LoopServices& loop) noexcept {
  unsigned interest = 0;
  End& watched = end(side);
  if (from(side).wants_source(loop.budget)) {
    interest |= kReadable;
  } else if (!from(side).has_source_ended() && !watched.has_peer_ended) {
    interest |= kPeerEnded;
  }
  if (watched.endpoint.wants_flush()) {
    interest |= kWritable;
  } else if (to(side).wants_destination()) {
    interest |= watched.endpoint.write_waits_for_input() ? kReadable : kWritable;
  }
  return watched.watch.set(loop.poller, watched.endpoint.fd(), tag_of(*this, side),
                           static_cast<Readiness>(interest));
}

EndReason Tunnel::reason_for_end() const noexcept {
  if (broken_reason_ != EndReason::none) return broken_reason_;
  if (first_close_) {
    return *first_close_ == Side::client ? EndReason::client_close : EndReason::member_close;
  }
  return first_end_ == Side::client ? EndReason::client_eof : EndReason::member_eof;
}

void Tunnel::finish(EndReason reason, LoopServices& loop) noexcept {
  reason_ = reason;
  ended_ = loop.now;
  close_timer_.cancel();
  for (End& end : ends_) {
    end.watch.remove(loop.poller, end.endpoint.fd());
    end.was_truncated = end.endpoint.was_truncated();
    end.endpoint.close();
  }
  to_member_.release(loop.budget);
  to_client_.release(loop.budget);
}

}  // namespace wsbalance::relay
