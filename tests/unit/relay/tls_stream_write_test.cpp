// What TlsStream writes: every byte once, in order, whatever the socket takes.

#include <random>
#include <string>

#include "support/catch.h"
#include "unit/relay/tls_line.h"

namespace wsbalance::relay {
namespace {

int any_version() { return GENERATE(TLS1_2_VERSION, TLS1_3_VERSION); }

TEST_CASE("what is written over TLS arrives", "[relay][tls]") {
  Line line({.version = any_version()});
  const std::string data = pattern(GENERATE(1u, 125u, 16'384u, 16'385u, 50'000u));
  REQUIRE(line.write(data).bytes == data.size());
  CHECK(line.stream->unsent_bytes() == 0);
  line.peer.take();
  CHECK(is_same(line.peer.received(), data));
}

TEST_CASE("a message is one record and one send", "[relay][tls]") {
  Line line({.version = any_version()}, make_packet_pair());
  line.write("one message");
  line.write("another");
  std::array<char, 1000> packet;
  const auto size =
      static_cast<std::size_t>(::recv(line.peer.fd(), packet.data(), packet.size(), MSG_DONTWAIT));
  REQUIRE(size > 5);
  CHECK(size == 5u + static_cast<unsigned char>(packet[4]));
}

TEST_CASE("records that were made before are sent first", "[relay][tls]") {
  SocketPair sockets = make_unix_pair();
  TlsPair pair = make_tls_pair(std::move(sockets.far), {.peer = TlsRole::client, .tickets = 2});
  REQUIRE(pair.near_unsent.size() > 300);
  Line line(std::move(pair), std::move(sockets.near));
  CHECK(line.stream->unsent_bytes() > 300);
  if (GENERATE(false, true)) CHECK(line.flush().result == IoResult::ok);
  CHECK(line.write("behind the tickets").result == IoResult::ok);
  line.peer.take();
  CHECK(line.peer.received() == "behind the tickets");
}

TEST_CASE("a full socket keeps a part of a record for later", "[relay][tls]") {
  Line line({.version = any_version()}, make_narrow_pair());
  const std::string data = pattern(100'000);
  const std::size_t taken = line.write(data).bytes;
  CHECK(taken > 0);
  CHECK(taken < data.size());
  CHECK(line.stream->unsent_bytes() > 0);
  CHECK(line.stream->unsent_bytes() < 17'000);  // No more than one record.
  CHECK(line.write(data).result == IoResult::would_block);
  CHECK_FALSE(line.stream->write_waits_for_input());
  while (line.stream->unsent_bytes() > 0) {
    line.peer.take(1'000);
    line.flush();
  }
  CHECK(line.write("end").bytes == 3);
  line.peer.take();
  CHECK(is_same(line.peer.received(), data.substr(0, taken) + "end"));
}

TEST_CASE("a megabyte goes through a narrow socket", "[relay][tls]") {
  Line line({.version = any_version()}, make_narrow_pair());
  std::minstd_rand random(GENERATE(range(1u, 4u)));
  const std::string data = pattern(1'000'000);
  std::size_t written = 0;
  while (line.peer.received().size() < data.size()) {
    const std::size_t received = line.peer.received().size();
    if (written < data.size()) {
      // Other data than the last time may be offered: OpenSSL must not insist on the same.
      written += line.write(std::string_view(data).substr(written, random() % 40'000 + 1)).bytes;
    }
    if (line.stream->unsent_bytes() > 0 && random() % 2 == 0) line.flush();
    line.peer.take(random() % 30'000 + 1);
    REQUIRE(line.peer.received().size() + 200'000 > received);
  }
  CHECK(written == data.size());
  CHECK(is_same(line.peer.received(), data));
}

TEST_CASE("both ways at once, with key updates", "[relay][tls]") {
  Line line({}, make_narrow_pair());
  std::minstd_rand random(GENERATE(range(1u, 5u)));
  const std::string up = pattern(200'000, 1);
  const std::string down = pattern(200'000, 2);
  std::size_t written = 0;
  std::size_t said = 0;
  const auto is_done = [&] {
    return line.received.size() == down.size() && line.peer.received().size() == up.size();
  };
  for (int round = 0; round < 20'000 && !is_done(); ++round) {
    if (random() % 20 == 0) line.peer.key_update(random() % 2 == 0);
    if (said < down.size() && random() % 2 == 0) {
      const auto data = std::string_view(down).substr(said, random() % 9'000 + 1);
      line.peer.encrypt(data, random() % 5'000 + 1);
      said += data.size();
    }
    line.peer.send(random() % 9'000);
    if (written < up.size() && random() % 2 == 0) {
      written += line.write(std::string_view(up).substr(written, random() % 9'000 + 1)).bytes;
    }
    if (line.stream->unsent_bytes() > 0 && random() % 2 == 0) line.flush();
    line.read(random() % 20'000 + 1);
    line.peer.take(random() % 9'000 + 1);
  }
  CHECK(is_same(line.received, down));
  CHECK(is_same(line.peer.received(), up));
}

TEST_CASE("the end is written behind what waits", "[relay][tls]") {
  Line line({.version = any_version()}, make_narrow_pair());
  const bool is_full = GENERATE(true, false);
  if (is_full) {
    line.fill_socket();
  } else {
    line.write("last words");
    line.written = "last words";
  }
  line.shutdown_write();
  CHECK(line.stream->bytes_of_end() > 0);
  CHECK((line.stream->unsent_bytes() > 0) == is_full);
  line.peer.take();
  CHECK(line.peer.saw_fin() != is_full);
  while (line.stream->unsent_bytes() > 0) {
    line.flush();
    line.peer.take();
  }
  line.peer.take();
  CHECK(is_same(line.peer.received(), line.written));
  CHECK(line.peer.saw_close_notify());
  CHECK(line.peer.saw_fin());
  // The other way stays open.
  line.peer.say("an answer");
  line.read_all();
  CHECK(line.received == "an answer");
}

TEST_CASE("a request behind our end does no harm", "[relay][tls]") {
  Line line;
  line.shutdown_write();
  line.peer.take();
  line.peer.key_update(true);
  line.peer.encrypt("still here");
  line.peer.close_notify();
  line.peer.send();
  line.read_all();
  CHECK(line.received == "still here");
  CHECK_FALSE(line.stream->has_failed());
  CHECK_FALSE(line.stream->was_truncated());
}

TEST_CASE("a write waits for the rest of a message of TLS's own", "[relay][tls]") {
  Line line({.tickets = 1, .has_long_tickets = true});
  const std::size_t whole = line.peer.outbox().size();
  line.peer.send(600);  // One record and a part of the next.
  CHECK(line.read().result == IoResult::would_block);
  CHECK(line.write("waits").result == IoResult::would_block);
  CHECK(line.stream->write_waits_for_input());
  CHECK(line.stream->unsent_bytes() == 0);
  line.peer.send(600);
  CHECK(line.write("still waits").result == IoResult::would_block);
  CHECK(line.stream->write_waits_for_input());
  REQUIRE(line.peer.outbox().size() == whole - 1200);

  line.peer.encrypt("data behind it");
  line.peer.send();
  if (GENERATE(false, true)) line.read_all();
  for (int calls = 0; calls < 10 && line.write("goes").result != IoResult::ok; ++calls) {
  }
  CHECK_FALSE(line.stream->write_waits_for_input());
  line.read_all();
  CHECK(line.received == "data behind it");
  line.peer.take();
  CHECK(line.peer.received() == "goes");
}

TEST_CASE("after a read that brought the rest a write waits no longer", "[relay][tls]") {
  Line line({.tickets = 1, .has_long_tickets = true});
  line.peer.send(700);
  CHECK(line.read().result == IoResult::would_block);
  CHECK(line.write("waits").result == IoResult::would_block);
  CHECK(line.stream->write_waits_for_input());
  line.peer.send();
  if (GENERATE(false, true)) {
    line.read_all();
  } else {
    while (unread_bytes(line.fd.get()) > 0) line.peek();
  }
  CHECK_FALSE(line.stream->write_waits_for_input());  // Or nobody tries again.
  CHECK(line.write("goes").result == IoResult::ok);
}

TEST_CASE("a write to a peer that is gone is an error, and what it sent is read", "[relay][tls]") {
  Line line({.version = any_version()});
  line.peer.say("last words");
  line.peer.close();
  CHECK(line.write("nobody gets it").result == IoResult::error);
  CHECK(line.write("nobody gets it").result == IoResult::error);
  line.read_all();
  CHECK(line.received == "last words");
  line.shutdown_write();
}

}  // namespace
}  // namespace wsbalance::relay
