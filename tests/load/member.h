// member.h - the load tool's member: echoes, pushes without end, or fails in one way or another.
//
// Owns:     its connections.
// Threads:  one.
#pragma once

#include <utility>

#include "load/peer.h"

namespace load {

class Member {
 public:
  Member(unsigned long port, Tls tls)
      : tls_(std::move(tls)), listener_(new_socket(SOCK_NONBLOCK, 0), Tls{}) {
    const int one = 1;
    const int fd = listener_.stream.fd();
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    const sockaddr_in address = address_of(port);
    if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        listen(fd, 4096) != 0) {
      fail(std::string("bind: ") + std::strerror(errno));
    }
    poller_.watch(listener_, EPOLLIN);
  }

  [[noreturn]] void run() {
    for (;;) {
      poller_.wait(-1, [this](Peer& peer, std::uint32_t events) {
        if (&peer == &listener_) {
          const int fd =
              accept4(listener_.stream.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
          if (fd >= 0) poller_.watch(*new Peer(fd, tls_), EPOLLIN);
        } else if (!serve(peer, events)) {
          delete &peer;
        }
      });
    }
  }

 private:
  bool serve(Peer& peer, std::uint32_t events) {
    const std::uint32_t readable = EPOLLIN | EPOLLHUP | EPOLLERR | peer.stream.read_event();
    if ((events & readable) != 0 && !peer.fill(65536)) return false;
    if (peer.state == Peer::shaking && !answer(peer)) return false;
    int opcode = 0;
    std::string payload;
    while (peer.state == Peer::open && take_frame(peer.in, opcode, payload)) {
      peer.out +=
          opcode < kPing ? frame(opcode, payload, false) : answer_to(opcode, payload, false);
      if (opcode == kClose) peer.state = Peer::closing;
    }
    static const std::string block = frame(kBinary, std::string(16384, 'x'), false);
    if (peer.state == Peer::pushing && peer.out.empty()) peer.out = block;
    if (!peer.flush() || (peer.state == Peer::closing && peer.out.empty())) return false;
    const bool writes = !peer.out.empty() || peer.state == Peer::pushing;
    poller_.watch(peer, writes ? peer.stream.write_event() : peer.stream.read_event());
    return true;
  }

  static bool answer(Peer& peer) {
    const std::size_t end = peer.in.find("\r\n\r\n");
    if (end == std::string::npos) return true;
    const std::string head = peer.in.substr(0, end + 2);
    peer.in.erase(0, end + 4);
    const std::string key = field(head, "Sec-WebSocket-Key");
    if (key.empty()) {
      peer.out += "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
    } else if (head.find("/hang") != std::string::npos) {
      peer.state = Peer::hanging;
    } else if (head.find("/say-503") != std::string::npos) {
      peer.out += "HTTP/1.1 503 Not now\r\nContent-Length: 3\r\n\r\nno\n";
    } else {
      const bool pushes = head.find("/push") != std::string::npos;
      peer.state = pushes ? Peer::pushing : Peer::open;
      const int small = 16384;  // What the kernel keeps is not what is measured.
      if (pushes) setsockopt(peer.stream.fd(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
      peer.out +=
          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
          "Connection: Upgrade\r\nSec-WebSocket-Accept: " +
          accept_key(head.find("/bad-101") == std::string::npos ? key : "another") + "\r\n\r\n";
    }
    return true;
  }

  Poller poller_;
  Tls tls_;
  Peer listener_;
};

}  // namespace load
