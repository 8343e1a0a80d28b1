// What this proxy does to a tunnel of its own accord: timers, pings, rules, limits, and the closing
// handshake (RFC 6455 7.1.2) that ends it.

#include <algorithm>
#include <bit>

#include "relay/loop_services.h"
#include "relay/tunnel.h"

namespace wsbalance::relay {
namespace {

using protocol::ControlFrame;
using protocol::FrameRule;

constexpr std::uint16_t kGoingAway = 1001;        // RFC 6455 7.4.1
constexpr std::uint16_t kPolicyViolation = 1008;  // RFC 6455 7.4.1
constexpr std::uint16_t kServiceRestart = 1012;   // IANA's registry of close codes

// More is an attack on the side that has to answer them.
constexpr RateSettings kPingFlood{.per_second = 100, .burst = 100};

// A rate limit of messages sees them when they are read: so that it cannot be passed by more than
// this brings.
constexpr std::size_t kReadOfLimitedMessages = 4 * 1024;

// A ping that is due waits for a boundary and for an empty queue.
constexpr std::chrono::milliseconds kPingRetry{250};

// A few ticks of the timer wheel, which may be a tick behind.
constexpr std::chrono::milliseconds kAfterThisTurn{3};

// What the close frame says beside its code.
std::string_view text_of(EndReason reason) {
  switch (reason) {
    case EndReason::idle:
      return "idle";
    case EndReason::data_idle:
      return "no data";
    case EndReason::lifetime:
      return "lifetime";
    case EndReason::ping_timeout_client:
    case EndReason::ping_timeout_member:
      return "peer timeout";
    case EndReason::protocol_client:
    case EndReason::protocol_member:
      return "protocol error";
    case EndReason::limit_frame:
    case EndReason::limit_message:
      return "message too big";
    case EndReason::limit_message_rate:
    case EndReason::limit_byte_rate:
      return "rate limit";
    case EndReason::member_down:
    case EndReason::member_drain:
    case EndReason::rebalance:
      return "service restart";
    case EndReason::drain:
    case EndReason::shutdown:
      return "going away";
    default:
      return "";
  }
}

}  // namespace

Tunnel::Mark Tunnel::mark(Side source) const noexcept {
  const Direction& direction = from(source);
  return {.bytes = direction.bytes(),
          .data_bytes = direction.data_bytes(),
          .messages = direction.frames().messages(),
          .pings = direction.frames().pings()};
}

std::span<std::byte> Tunnel::read_buffer_for(Side source, const LoopServices& loop) const noexcept {
  if (source == Side::member || settings_.message_rate.per_second == 0) return loop.read_buffer;
  return loop.read_buffer.first(std::min(loop.read_buffer.size(), kReadOfLimitedMessages));
}

// After a read from that side: tells the clock, and does what rules and limits ask for.
void Tunnel::note_carried(Side source, const Mark& before, LoopServices& loop) noexcept {
  const Direction& direction = from(source);
  if (direction.bytes() == before.bytes) return;
  clock_.heard(source, loop.now);
  if (direction.data_bytes() != before.data_bytes) clock_.heard_data(loop.now);
  if (our_reason_ != EndReason::none) return;
  if (direction.is_refused()) return refuse(source, loop);
  check_rates(source, before, loop);
}

void Tunnel::check_rates(Side source, const Mark& before, LoopServices& loop) noexcept {
  const Direction& direction = from(source);
  const std::uint32_t pings = direction.frames().pings() - before.pings;
  RateLimit& ping_limit = end(source).ping_limit;
  if (pings != 0 && !ping_limit.take(pings, kPingFlood, loop.now)) {
    exceed(source, ping_limit, kPingFlood, EndReason::none, loop);
  }
  if (source == Side::member) return;
  const std::uint64_t bytes = direction.bytes() - before.bytes;
  if (!byte_limit_.take(bytes, settings_.byte_rate, loop.now)) {
    exceed(source, byte_limit_, settings_.byte_rate, EndReason::limit_byte_rate, loop);
  }
  const std::uint64_t messages = direction.frames().messages() - before.messages;
  if (messages != 0 && !message_limit_.take(messages, settings_.message_rate, loop.now) &&
      !is_over()) {
    exceed(source, message_limit_, settings_.message_rate, EndReason::limit_message_rate, loop);
  }
}

// More was read from that side than `limit` allows.
void Tunnel::exceed(Side source, const RateLimit& limit, const RateSettings& settings,
                    EndReason reason, LoopServices& loop) noexcept {
  if (settings.closes) return close_both(reason, kPolicyViolation, kGoingAway, loop);
  if (our_reason_ != EndReason::none) return;
  End& limited = end(source);
  ++limited.throttled;
  const Clock::time_point ready_at = limit.ready_at(settings);
  limited.ready_at = limited.is_throttled ? std::max(limited.ready_at, ready_at) : ready_at;
  limited.is_throttled = true;
  arm_timer(loop);
}

void Tunnel::end_throttles(LoopServices& loop) noexcept {
  for (End& end : ends_) {
    if (end.is_throttled && end.ready_at <= loop.now) end.is_throttled = false;
  }
}

// Of a side that is not read nobody knows whether it speaks.
void Tunnel::note_paused(Side side, bool is_paused, LoopServices& loop) noexcept {
  end(side).is_paused = is_paused;
  if (is_paused) return clock_.pause(side, loop.now);
  clock_.resume(side, loop.now);
  arm_timer(loop);
}

// For the earliest thing that may have to be done. What moves it to later is not told: it comes too
// early then, and is armed anew.
void Tunnel::arm_timer(LoopServices& loop) noexcept {
  auto at = Clock::time_point::max();
  if (is_ending_) {
    at = std::min({moved_ + settings_.close_timeout, loop.now + look_after_, cut_at_});
    if (clock_.lifetime_end() > loop.now) at = std::min(at, clock_.lifetime_end());
  } else {
    at = clock_.is_end_due(settings_.times, loop.now) ? loop.now
                                                      : clock_.next(settings_.times, loop.now);
  }
  for (const Side side : {Side::client, Side::member}) {
    if (end(side).is_throttled) at = std::min(at, end(side).ready_at);
    if (is_ending_ || !can_be_pinged()) continue;
    const auto interval = settings_.times.ping_interval[static_cast<std::size_t>(side)];
    // An answer to a ping makes the next one due before the end of its timeout.
    if (interval.count() > 0) at = std::min(at, loop.now + interval);
    if (clock_.is_ping_due(side, settings_.times, loop.now)) {
      at = std::min(at, loop.now + kPingRetry);
    }
  }
  // Not in this turn: what a side that is read again has sent meanwhile must be heard first.
  at = std::max(at, loop.now + kAfterThisTurn);
  if (at == Clock::time_point::max() || (timer_.is_armed() && timer_at_ <= at)) return;
  timer_at_ = at;
  loop.timers.arm(timer_, at);
}

void Tunnel::act_on_clock(LoopServices& loop) noexcept {
  using Due = TunnelClock::Due;
  switch (clock_.due(settings_.times, loop.now)) {
    case Due::nothing:
      return;
    case Due::client_silent:
      return close_dead(Side::client, loop);
    case Due::member_silent:
      return close_dead(Side::member, loop);
    case Due::idle:
      return close_both(EndReason::idle, kGoingAway, kGoingAway, loop);
    case Due::data_idle:
      return close_both(EndReason::data_idle, kGoingAway, kGoingAway, loop);
    case Due::lifetime:
      return close_for_lifetime(loop);
    case Due::ping_client:
    case Due::ping_member:
      for (const Side side : {Side::client, Side::member}) {
        if (!is_over() && !has_end_begun() && clock_.is_ping_due(side, settings_.times, loop.now)) {
          send_ping(side, loop);
        }
      }
      return;
  }
}

// Where it cannot go out now, arm_timer() sees that it is still due.
void Tunnel::send_ping(Side side, LoopServices& loop) noexcept {
  Direction& direction = to(side);
  const bool has_room =
      direction.is_empty() && !direction.wants_destination() && !end(side).endpoint.wants_flush();
  if (!has_room || !direction.at_boundary() || !can_be_pinged()) return;
  if (ping_tag_ == protocol::PingTag{}) {
    ping_tag_ = std::bit_cast<protocol::PingTag>(loop.random() | 1);
  }
  const auto mask = static_cast<std::uint32_t>(loop.random());
  const auto frame = ControlFrame::ping(ping_tag_, side == Side::member ? &mask : nullptr);
  const auto step = direction.ping(frame, end(side).endpoint, loop.budget);
  if (step == Direction::Step::moved) {
    clock_.pinged(side, loop.now);
    from(side).expect_pong(ping_tag_);
    ++end(side).pings_sent;
  }
  apply(step, other(side), loop);
}

// A frame of that side broke a rule or a limit, and went no further.
void Tunnel::refuse(Side offender, LoopServices& loop) noexcept {
  if (our_reason_ != EndReason::none) return;
  const FrameRule rule = from(offender).frames().broken();
  auto reason = offender == Side::client ? EndReason::protocol_client : EndReason::protocol_member;
  if (rule == FrameRule::frame_size) reason = EndReason::limit_frame;
  if (rule == FrameRule::message_size) reason = EndReason::limit_message;
  const std::uint16_t code = protocol::close_code_for(rule);
  close_both(reason, offender == Side::client ? code : kGoingAway,
             offender == Side::member ? code : kGoingAway, loop);
}

// A close frame to each side at the next boundary. Once both have answered or ended, it is over;
// the timer of an end sees to it that this comes.
void Tunnel::close_both(EndReason reason, std::uint16_t code_client, std::uint16_t code_member,
                        LoopServices& loop) noexcept {
  if (our_reason_ != EndReason::none) return;
  our_reason_ = reason;
  our_codes_ = {code_client, code_member};
  for (End& end : ends_) end.is_throttled = false;
  to_client_.close();
  to_member_.close();
  if (!to_client_.is_followed() && !to_member_.is_followed()) return finish(reason, loop);
  for (const Side side : {Side::client, Side::member}) {
    if (!is_over()) send_close(side, loop);
  }
}

void Tunnel::close_within(std::chrono::milliseconds limit, EndReason reason,
                          LoopServices& loop) noexcept {
  cut_at_ = std::min(cut_at_, loop.now + limit);
  if (may_still_close()) close_both(reason, kGoingAway, kGoingAway, loop);
  settle(loop);
  if (!is_over()) arm_timer(loop);
}

void Tunnel::leave(EndReason reason, LoopServices& loop) noexcept {
  close_both(reason, kServiceRestart, kGoingAway, loop);
  settle(loop);
  if (!is_over()) arm_timer(loop);
}

// Neither side has begun the closing handshake, and both are there for one.
bool Tunnel::may_still_close() const noexcept {
  return !first_close_ && broken_reason_ == EndReason::none;
}

void Tunnel::close_for_lifetime(LoopServices& loop) noexcept {
  close_both(EndReason::lifetime, kGoingAway, kGoingAway, loop);
}

// It answers no ping: behind its close frame nothing is sent to it, and no answer is waited for.
void Tunnel::close_dead(Side dead, LoopServices& loop) noexcept {
  close_both(dead == Side::client ? EndReason::ping_timeout_client : EndReason::ping_timeout_member,
             kGoingAway, kGoingAway, loop);
  if (!is_over()) mark_gone(dead, loop);
}

// Whatever can be done now to end that side in order. May be called again and again.
void Tunnel::send_close(Side side, LoopServices& loop) noexcept {
  if (end(side).is_broken) return;
  Direction& direction = to(side);
  Endpoint& destination = end(side).endpoint;
  if (direction.waits_for_close()) {
    const auto mask = static_cast<std::uint32_t>(loop.random());
    const auto frame =
        ControlFrame::close(our_codes_[static_cast<std::size_t>(side)], text_of(our_reason_),
                            side == Side::member ? &mask : nullptr);
    apply(direction.put_close(frame, destination, loop.budget), other(side), loop);
    if (is_over() || end(side).is_broken) return;
  }
  // Where no close frame can be sent, or none that answers it can be seen, the end of the stream
  // has to say it.
  const bool sees_answer = from(side).is_followed() && !from(side).is_refused();
  const bool has_said = direction.has_close_gone();
  if ((has_said && !sees_answer) || !direction.is_followed()) direction.end_output(destination);
}

}  // namespace wsbalance::relay
