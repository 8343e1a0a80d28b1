// tls_line.h - a TlsStream on a socket whose other end a TlsPeer holds. Checks after every call that
// OpenSSL's error queue is empty: all streams of a thread share it.
#pragma once

#include <fcntl.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "relay/tls_stream.h"
#include "support/catch.h"
#include "unit/relay/peer.h"
#include "unit/relay/tls_peer.h"

namespace wsbalance::relay {

// A receive takes one of its packets and no more: so a test sees how often was received.
inline SocketPair make_packet_pair() {
  std::array<int, 2> fds{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds.data()) == 0);
  ::fcntl(fds[1], F_SETFL, O_NONBLOCK);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

inline SocketPair make_narrow_pair() {
  SocketPair pair = make_unix_pair();
  set_send_buffer(pair.near.get(), 4096);
  return pair;
}

struct Line {
  explicit Line(const TlsPlan& plan = {}, SocketPair pair = make_unix_pair())
      : Line(make_tls_pair(std::move(pair.far), plan), std::move(pair.near)) {}

  Line(TlsPair pair, UniqueFd near)
      : fd(std::move(near)), stream(pair.make_stream()), peer(std::move(pair.peer)) {
    ::fcntl(fd.get(), F_SETFL, O_NONBLOCK);
  }

  IoOutcome read(std::size_t room = 64 * 1024) {
    std::vector<std::byte> into(room);  // Of the exact size, for the address sanitizer.
    const IoOutcome outcome = stream->read(fd.get(), into);
    check_outcome(outcome, room);
    received.append(reinterpret_cast<const char*>(into.data()), outcome.bytes);
    return outcome;
  }

  IoOutcome peek(std::size_t room = 64 * 1024) {
    std::vector<std::byte> into(room);
    const IoOutcome outcome = stream->peek(fd.get(), into);
    check_outcome(outcome, room);
    peeked.assign(reinterpret_cast<const char*>(into.data()), outcome.bytes);
    return outcome;
  }

  IoOutcome write(std::string_view data) {
    const IoOutcome outcome = stream->write(fd.get(), as_bytes(data));
    check_outcome(outcome, data.size());
    return outcome;
  }

  IoOutcome flush() {
    const std::size_t unsent = stream->unsent_bytes();
    const IoOutcome outcome = stream->flush(fd.get());
    check_outcome(outcome, unsent);
    return outcome;
  }

  void shutdown_write() {
    stream->shutdown_write(fd.get());
    check_queue();
  }

  // What a loop would do: reads as long as something says that there is something.
  void read_all(std::size_t room = 64 * 1024) {
    for (int calls = 0; stream->has_pending() || unread_bytes(fd.get()) > 0; ++calls) {
      REQUIRE(calls < 100'000);
      const IoResult result = read(room).result;
      if (result == IoResult::end_of_file || result == IoResult::error) return;
    }
  }

  void fill_socket() {
    const std::string data = pattern(64 * 1024);
    for (IoOutcome outcome{}; outcome.result == IoResult::ok;
         written.append(data, 0, outcome.bytes)) {
      outcome = write(data);
    }
    REQUIRE(stream->unsent_bytes() > 0);
  }

  static void check_queue() {
    if (ERR_peek_error() != 0) FAIL_CHECK("OpenSSL's error queue is not empty");
  }

  static void check_outcome(const IoOutcome& outcome, std::size_t bytes_max) {
    check_queue();
    const bool has_bytes = outcome.bytes > 0 && outcome.bytes <= bytes_max;
    if (has_bytes != (outcome.result == IoResult::ok)) FAIL_CHECK("ok, and bytes, or neither");
  }

  UniqueFd fd;
  std::unique_ptr<TlsStream> stream;
  TlsPeer peer;
  std::string received;
  std::string peeked;
  std::string written;
};

}  // namespace wsbalance::relay
