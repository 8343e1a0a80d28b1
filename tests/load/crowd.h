// crowd.h - clients by the thousand: opens tunnels, a few handshakes at a time, and tells of each.
//
// Owns:     its connections.
// Threads:  one.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "load/peer.h"

namespace load {

using Clock = std::chrono::steady_clock;
using Options = std::map<std::string, std::string>;

inline std::string option(const Options& options, const std::string& name,
                          const std::string& otherwise) {
  const auto found = options.find(name);
  return found == options.end() ? otherwise : found->second;
}

inline unsigned long number(const Options& options, const std::string& name,
                            unsigned long otherwise) {
  return std::stoul(option(options, name, std::to_string(otherwise)));
}

inline Tls client_tls(const Options& options) {
  return options.contains("tls") ? tls_client() : Tls{};
}

inline double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

class Crowd {
 public:
  explicit Crowd(const Options& options, unsigned long at_once)
      : port_(number(options, "port", 0)),
        count_(number(options, "count", 1)),
        at_once_(number(options, "at-once", at_once)),
        path_(option(options, "path", "/ws/")),
        tls_(client_tls(options)) {}
  virtual ~Crowd() = default;
  Crowd(const Crowd&) = delete;
  Crowd& operator=(const Crowd&) = delete;

 protected:
  virtual void opened(Peer&) {}
  virtual void received(Peer&, const std::string& /*payload*/) {}  // A data frame.
  virtual void ended(Peer&, Peer::State /*before*/) {}             // hanging: refused.
  virtual void turned() {}  // After each turn of the loop, at least every 10 ms.

  // Runs until `done` or for `seconds`, whichever is first; true if it is done.
  bool run(double seconds, const std::function<bool()>& done) {
    const auto start = Clock::now();
    while (!done()) {
      if (ms_since(start) > seconds * 1000) return false;
      while (shaking_ < at_once_ && peers_.size() < count_) begin();
      poller_.wait(10, [this](Peer& peer, std::uint32_t events) { event(peer, events); });
      turned();
    }
    return true;
  }

  bool all_answered() const { return peers_.size() == count_ && shaking_ == 0; }

  void write(Peer& peer, std::string_view bytes) {
    peer.out += bytes;
    if (!peer.flush()) end(peer);
    update(peer);
  }

  void end(Peer& peer) {
    if (peer.state == Peer::ended) return;
    if (peer.state == Peer::shaking) {
      --shaking_;
      ++answers_[0];
    }
    if (peer.state == Peer::open) --open_;
    if (peer.state == Peer::closing) ++(peer.received == kSawClose ? closed_ : unclean_);
    const Peer::State before = std::exchange(peer.state, Peer::ended);
    peer.stream.shut();
    ended(peer, before);
  }

  static constexpr unsigned long kSawClose = ~0UL;

  unsigned long port_, count_, at_once_;
  std::string path_;
  Tls tls_;
  int receive_buffer_ = 0;
  bool reads_ = true;  // Else only the head of the answer.
  std::vector<std::unique_ptr<Peer>> peers_;
  std::map<int, unsigned long> answers_;  // By status; 0 is none at all.
  unsigned long shaking_ = 0, open_ = 0, closed_ = 0, unclean_ = 0, retry_after_ = 0, pings_ = 0;

 private:
  void begin() {
    auto peer = std::make_unique<Peer>(new_socket(SOCK_NONBLOCK, receive_buffer_), tls_);
    if (!connect_to(peer->stream.fd(), port_) && errno != EINPROGRESS) {
      fail(std::string("connect: ") + std::strerror(errno));
    }
    peer->id = peers_.size();
    peer->key = new_key();
    peer->out = request(path_, peer->key);
    ++shaking_;
    poller_.watch(*peer, EPOLLIN | EPOLLOUT);
    peers_.push_back(std::move(peer));
  }

  bool reads(const Peer& peer) const { return reads_ || peer.state == Peer::shaking; }

  void update(Peer& peer) {
    std::uint32_t events = EPOLLRDHUP;
    if (reads(peer)) events |= peer.stream.read_event();
    if (!peer.out.empty()) events |= peer.stream.write_event();
    poller_.watch(peer, events);
  }

  void event(Peer& peer, std::uint32_t events) {
    if (peer.state == Peer::ended) return;
    if ((events & peer.stream.write_event()) != 0 && !peer.flush()) return end(peer);
    if ((events & (~std::uint32_t{EPOLLOUT} | peer.stream.read_event())) != 0) {
      do {
        if (!read(peer)) return end(peer);
      } while (reads(peer) && peer.stream.holds_bytes());
    }
    update(peer);
  }

  // Reads once and takes in what came; false at the end of the connection.
  bool read(Peer& peer) {
    const bool more = peer.fill(peer.state == Peer::shaking ? 4096 : 65536);
    if (peer.state == Peer::shaking) answered(peer);
    int opcode = 0;
    std::string payload;
    while (reads_ && (peer.state == Peer::open || peer.state == Peer::closing) &&
           take_frame(peer.in, opcode, payload)) {
      if (opcode == kClose && peer.state == Peer::open) peer.out += frame(kClose, payload, true);
      if (opcode == kClose) peer.received = kSawClose;
      if (opcode < kClose) received(peer, payload);
      if (opcode == kPing) {
        ++pings_;
        peer.out += answer_to(opcode, payload, true);
      }
    }
    return more && peer.flush();
  }

  void answered(Peer& peer) {
    const std::size_t end_of_head = peer.in.find("\r\n\r\n");
    if (end_of_head == std::string::npos || peer.in.size() < 12) return;
    const std::string head = peer.in.substr(0, end_of_head + 2);
    peer.in.erase(0, end_of_head + 4);
    int status = std::atoi(head.c_str() + 9);
    if (status == 101 && field(head, "Sec-WebSocket-Accept") != accept_key(peer.key)) status = 1;
    ++answers_[status];
    --shaking_;
    retry_after_ += field(head, "Retry-After").empty() ? 0 : 1;
    peer.state = status == 101 ? Peer::open : Peer::hanging;
    if (status != 101) return end(peer);
    ++open_;
    opened(peer);
  }

  Poller poller_;
};

}  // namespace load
