// peer.h - one end of a WebSocket as the load tool needs it: whole, short frames over a stream.
//
// Owns:     a Peer its stream.
// Threads:  one.
// Errors:   what the machine refuses ends the program; what the other side does is a result.
#pragma once

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <sys/epoll.h>

#include <array>
#include <cctype>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>

#include "load/stream.h"

namespace load {

// ---- the protocol: only what a peer that sends whole, short frames needs

inline constexpr int kBinary = 2;
inline constexpr int kClose = 8;
inline constexpr int kPing = 9;
inline constexpr int kPong = 10;
inline constexpr std::string_view kCloseNormal{"\x03\xe8", 2};

inline std::string base64(const unsigned char* bytes, std::size_t count) {
  std::string text(4 * ((count + 2) / 3) + 1, '\0');
  EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes, static_cast<int>(count));
  text.pop_back();
  return text;
}

inline std::string accept_key(const std::string& key) {
  const std::string text = key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  std::array<unsigned char, SHA_DIGEST_LENGTH> digest{};
  SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return base64(digest.data(), digest.size());
}

inline std::string new_key() {
  static std::mt19937_64 random{std::random_device{}()};
  const std::array<std::uint64_t, 2> bytes{random(), random()};
  return base64(reinterpret_cast<const unsigned char*>(bytes.data()), sizeof bytes);
}

inline std::string request(const std::string& path, const std::string& key) {
  return "GET " + path + " HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n" +
         "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key +
         "\r\n\r\n";
}

// Takes the mask off or puts it on (RFC 6455 5.3): eight bytes at a time, so that a large message
// costs the tool no more than it costs who is measured.
inline void mask_bytes(char* bytes, std::size_t size, const char* mask) {
  std::array<char, 8> twice{};
  std::copy_n(mask, 4, twice.begin());
  std::copy_n(mask, 4, twice.begin() + 4);
  std::uint64_t word = 0;
  std::memcpy(&word, twice.data(), sizeof word);
  std::size_t i = 0;
  for (; i + sizeof word <= size; i += sizeof word) {
    std::uint64_t value = 0;
    std::memcpy(&value, bytes + i, sizeof value);
    value ^= word;
    std::memcpy(bytes + i, &value, sizeof value);
  }
  for (; i < size; ++i) bytes[i] = static_cast<char>(bytes[i] ^ mask[i % 4]);
}

inline std::string frame(int opcode, std::string_view payload, bool masked) {
  std::string out(1, static_cast<char>(0x80 | opcode));
  const std::size_t size = payload.size();
  const int mask_bit = masked ? 0x80 : 0;
  if (size < 126) {
    out += static_cast<char>(mask_bit | static_cast<int>(size));
  } else {
    const int bytes = size < 65536 ? 2 : 8;
    out += static_cast<char>(mask_bit | (bytes == 2 ? 126 : 127));
    for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) {
      out += static_cast<char>(size >> shift & 0xff);
    }
  }
  if (!masked) return out.append(payload);
  constexpr std::string_view mask{"\x1d\xc4\x7a\x31"};
  out += mask;
  out += payload;
  mask_bytes(out.data() + out.size() - size, size, mask.data());
  return out;
}

// What a frame is answered with of itself: a ping with its pong (RFC 6455 5.5.2), others with nothing.
inline std::string answer_to(int opcode, std::string_view payload, bool masked) {
  return opcode == kPing ? frame(kPong, payload, masked) : std::string();
}

// Takes one whole frame from the front of `in`, unmasked; false if there is none yet.
inline bool take_frame(std::string& in, int& opcode, std::string& payload) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(in[i]); };
  if (in.size() < 2) return false;
  std::size_t head = 2;
  std::uint64_t size = at(1) & 0x7f;
  if (size >= 126) {
    const std::size_t bytes = size == 126 ? 2 : 8;
    head += bytes;
    if (in.size() < head) return false;
    size = 0;
    for (std::size_t i = 2; i < head; ++i) size = size << 8 | at(i);
  }
  const std::size_t mask_at = head;
  const bool masked = (at(1) & 0x80) != 0;
  if (masked) head += 4;
  if (in.size() < head || in.size() - head < size) return false;
  opcode = at(0) & 0x0f;
  payload = in.substr(head, size);
  if (masked) mask_bytes(payload.data(), size, in.data() + mask_at);
  in.erase(0, head + size);
  return true;
}

// Names of fields have no case: some proxies write them all small.
inline std::string field(const std::string& head, const std::string& name) {
  const std::string line = "\r\n" + name + ": ";
  const auto at =
      std::search(head.begin(), head.end(), line.begin(), line.end(), [](char a, char b) {
        return std::tolower(static_cast<unsigned char>(a)) ==
               std::tolower(static_cast<unsigned char>(b));
      });
  if (at == head.end()) return {};
  const std::size_t from = static_cast<std::size_t>(at - head.begin()) + line.size();
  return head.substr(from, head.find("\r\n", from) - from);
}

// ---- connections

// One connection of a Crowd or of the Member.
struct Peer {
  Peer(int fd, const Tls& tls) : stream(fd, tls) {}
  // Writes what is queued; false if the connection is broken.
  bool flush() { return stream.write(out); }
  // Reads what is there, at most `most` bytes; false at the end of the connection.
  bool fill(std::size_t most) { return stream.read(in, most); }

  enum State { shaking, open, closing, pushing, hanging, ended } state = shaking;
  Stream stream;
  std::uint32_t events = 0;
  std::string in, out, key;
  std::size_t id = 0;
  unsigned long received = 0;
};

class Poller {
 public:
  void watch(Peer& peer, std::uint32_t events) {
    if (peer.stream.fd() < 0 || events == peer.events) return;
    epoll_event event{};
    event.events = events;
    event.data.ptr = &peer;
    const int action = peer.events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (epoll_ctl(fd_, action, peer.stream.fd(), &event) != 0) fail("epoll_ctl");
    peer.events = events;
  }
  template <typename Handler>
  void wait(int timeout_ms, Handler&& handle) {
    std::array<epoll_event, 256> events{};
    const int count = epoll_wait(fd_, events.data(), static_cast<int>(events.size()), timeout_ms);
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      handle(*static_cast<Peer*>(event.data.ptr), event.events);
    }
  }

 private:
  int fd_ = epoll_create1(EPOLL_CLOEXEC);
};

}  // namespace load
