// talk.h - a crowd that talks in time while some of it leave and others come, until told to end.
//
// Owns:     its connections.
// Threads:  one.
// Errors:   a tunnel that ends by itself, a message that does not come back: counted and told.
#pragma once

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <deque>
#include <random>
#include <string>
#include <vector>

#include "load/crowd.h"

namespace load {

inline volatile std::sig_atomic_t told_to_end = 0;     // SIGTERM
inline volatile std::sig_atomic_t told_to_report = 0;  // SIGUSR1

inline void listen_to_signals() {
  std::signal(SIGTERM, [](int) { told_to_end = 1; });
  std::signal(SIGUSR1, [](int) { told_to_report = 1; });
}

// SIGUSR1: a line of what was since the line before. SIGTERM: all leave in order, and a last line.
class Talk : public Crowd {
 public:
  explicit Talk(const Options& options)
      : Crowd(options, 16),
        wanted_(count_),
        talking_(number(options, "talking", wanted_)),
        size_(number(options, "size", 125)),
        every_(number(options, "every", 500)),
        quiet_ms_(1000.0 * static_cast<double>(number(options, "quiet", 0))),
        leave_per_second_(static_cast<double>(number(options, "turnover", 0))) {
    for (unsigned long i = 0; i < size_ + 26; ++i) filler_ += static_cast<char>('a' + i % 26);
  }

  void run_all() {
    run(kOpenSeconds, [this] { return open_ == wanted_ || told_to_end != 0; });
    std::printf("open=%lu seconds=%.1f\n", open_, ms_since(since_.start) / 1000);
    std::fflush(stdout);
    since_ = {};
    are_all_open_ = true;
    run(kForever, [] { return told_to_end != 0; });
    leave_all();
    report();
  }

 private:
  static constexpr double kLateMs = 50, kTickMs = 100, kShakeLimitMs = 10000;
  static constexpr double kOpenSeconds = 300, kLeaveSeconds = 15, kForever = 1e6;
  static constexpr unsigned long kNewPerTick = 20;  // However many are missing.

  // Of the peer with the same id.
  struct Said {
    Clock::time_point begun = Clock::now();
    unsigned long sent = 0, echoed = 0;
    std::deque<Clock::time_point>* unanswered = nullptr;
  };
  struct Due {
    Clock::time_point when;
    std::size_t id;
  };
  struct Since {
    unsigned long opened = 0, refused = 0, silent = 0, dropped = 0, sent_away = 0, closed = 0,
                  unclean = 0, echoed = 0, wrong = 0, lost = 0, late = 0;
    std::vector<double> times, shakes;
    Clock::time_point start = Clock::now();
  };

  std::string message(std::size_t id, unsigned long which) const {
    std::string text = std::to_string(id) + " " + std::to_string(which) + " ";
    if (text.size() < size_) text.append(filler_, id % 26, size_ - text.size());
    return text;
  }

  Said& said_of(std::size_t id) {
    while (said_.size() < peers_.size()) said_.emplace_back();
    return said_[id];
  }

  bool talks(std::size_t id) const { return talking_ == wanted_ || id < talking_; }

  // ---- what comes

  void opened(Peer& peer) override {
    Said& said = said_of(peer.id);
    ++since_.opened;
    since_.shakes.push_back(ms_since(said.begun));
    open_ids_.push_back(peer.id);
    if (!talks(peer.id)) return;
    said.unanswered = &waiting_.emplace_back();
    due_.push_back({Clock::now() + every_, peer.id});
  }

  void received(Peer& peer, const std::string& payload) override {
    Said& said = said_of(peer.id);
    if (said.sent == said.echoed || payload != message(peer.id, said.echoed)) {
      ++since_.wrong;
      return;
    }
    const double ms = ms_since(said.unanswered->front());
    said.unanswered->pop_front();
    ++said.echoed;
    --unanswered_;
    ++since_.echoed;
    since_.late += ms > kLateMs ? 1 : 0;
    since_.times.push_back(ms);
    if (every_.count() == 0) due_.push_back({Clock::now(), peer.id});
  }

  // A member echoes in order: all is back before its close frame, or lost.
  void ended(Peer& peer, Peer::State before) override {
    const Said& said = said_of(peer.id);
    const bool saw_close = peer.received == kSawClose;
    if (before == Peer::shaking) ++since_.silent;
    if (before == Peer::hanging) ++since_.refused;
    if (before == Peer::open) ++(saw_close ? since_.sent_away : since_.dropped);
    if (before == Peer::closing) {
      --leaving_;
      ++(saw_close ? since_.closed : since_.unclean);
    }
    since_.lost += said.sent - said.echoed;
    unanswered_ -= said.sent - said.echoed;
  }

  // ---- what is done in time

  void turned() override {
    if (!peers_.empty()) said_of(0);  // The new ones begin now.
    if (told_to_report != 0) report();
    if (are_leaving_) return;
    if (are_all_open_ && !has_begun_ && ms_since(since_.start) >= quiet_ms_) begin_to_talk();
    if (has_begun_) talk();
    if (ms_since(ticked_) < kTickMs) return;
    const double leave = left_over_ + leave_per_second_ * ms_since(ticked_) / 1000;
    ticked_ = Clock::now();
    give_up_shakes();
    const auto leave_now = are_all_open_ ? static_cast<unsigned long>(leave) : 0;
    left_over_ = are_all_open_ ? leave - static_cast<double>(leave_now) : 0;
    for (unsigned long i = 0; i < leave_now; ++i) leave_one();
    const unsigned long there = open_ + shaking_ + (count_ - peers_.size());
    if (there < wanted_) count_ += std::min(wanted_ - there, kNewPerTick);
  }

  void begin_to_talk() {
    has_begun_ = true;
    const auto now = Clock::now();
    for (std::size_t i = 0; i < due_.size(); ++i) due_[i].when = now + every_ * i / due_.size();
  }

  void talk() {
    const auto now = Clock::now();
    while (!due_.empty() && due_.front().when <= now) {
      const Due due = due_.front();
      due_.pop_front();
      Peer& peer = *peers_[due.id];
      if (peer.state != Peer::open || peer.received == kSawClose) continue;
      if (every_.count() != 0) due_.push_back({due.when + every_, due.id});
      Said& said = said_of(due.id);
      said.unanswered->push_back(Clock::now());
      ++unanswered_;
      write(peer, frame(kBinary, message(due.id, said.sent++), true));
    }
  }

  void give_up_shakes() {
    while (oldest_ < peers_.size()) {
      Peer& peer = *peers_[oldest_];
      if (peer.state == Peer::shaking) {
        if (ms_since(said_of(oldest_).begun) < kShakeLimitMs) return;
        end(peer);
      }
      ++oldest_;
    }
  }

  void leave(Peer& peer) {
    peer.state = Peer::closing;
    --open_;
    ++leaving_;
    write(peer, frame(kClose, kCloseNormal, true));
  }

  // Anyone of them: the carrier of few tunnels may live as long as one of many.
  void leave_one() {
    while (!open_ids_.empty()) {
      std::swap(open_ids_[random_() % open_ids_.size()], open_ids_.back());
      Peer& peer = *peers_[open_ids_.back()];
      open_ids_.pop_back();
      if (peer.state == Peer::open) return leave(peer);
    }
  }

  void leave_all() {
    are_leaving_ = true;
    count_ = peers_.size();
    run(kLeaveSeconds, [this] { return unanswered_ == 0; });
    for (auto& peer : peers_) {
      if (peer->state == Peer::open) leave(*peer);
    }
    run(kLeaveSeconds, [this] { return leaving_ == 0; });
    since_.unclean += leaving_;
    since_.lost += unanswered_;
  }

  static double share(const std::vector<double>& sorted, double part) {
    if (sorted.empty()) return 0;
    const auto at = static_cast<std::size_t>(static_cast<double>(sorted.size()) * part);
    return sorted[std::min(at, sorted.size() - 1)];
  }

  void report() {
    told_to_report = 0;
    std::sort(since_.times.begin(), since_.times.end());
    std::sort(since_.shakes.begin(), since_.shakes.end());
    std::printf(
        "open=%lu opened=%lu refused=%lu silent=%lu dropped=%lu sent_away=%lu closed=%lu "
        "unclean=%lu echoed=%lu unanswered=%lu wrong=%lu lost=%lu late=%lu p50_ms=%.1f "
        "p999_ms=%.1f max_ms=%.1f shake_max_ms=%.1f seconds=%.1f\n",
        open_, since_.opened, since_.refused, since_.silent, since_.dropped, since_.sent_away,
        since_.closed, since_.unclean, since_.echoed, unanswered_, since_.wrong, since_.lost,
        since_.late, share(since_.times, 0.5), share(since_.times, 0.999), share(since_.times, 1),
        share(since_.shakes, 1), ms_since(since_.start) / 1000);
    std::fflush(stdout);
    since_ = {};
  }

  unsigned long wanted_, talking_, size_;
  std::string filler_;
  std::chrono::milliseconds every_;  // 0: the next message when the last one has come back.
  double quiet_ms_, leave_per_second_, left_over_ = 0;
  bool are_all_open_ = false, has_begun_ = false, are_leaving_ = false;
  unsigned long unanswered_ = 0, leaving_ = 0;
  std::size_t oldest_ = 0;
  std::deque<Said> said_;
  std::deque<std::deque<Clock::time_point>> waiting_;  // Only of those that talk: each is large.
  std::deque<Due> due_;
  std::vector<std::size_t> open_ids_;
  std::minstd_rand random_{1};
  Clock::time_point ticked_ = Clock::now();
  Since since_;
};

}  // namespace load
