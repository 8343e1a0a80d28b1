// What TlsStream reads: every byte, as soon as it can be decrypted, whatever the cuts.

#include "relay/tls_stream.h"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "support/catch.h"
#include "unit/relay/tls_line.h"

namespace wsbalance::relay {
namespace {

constexpr std::size_t kRecordMax = 16 * 1024;

// What differs in how a record is laid out.
const std::vector<TlsPlan>& all_plans() {
  static const std::vector<TlsPlan> plans{
      {.peer = TlsRole::server, .version = TLS1_3_VERSION},
      {.peer = TlsRole::client, .version = TLS1_3_VERSION, .tickets = 2},
      {.peer = TlsRole::client, .version = TLS1_2_VERSION},
      {.peer = TlsRole::server, .version = TLS1_2_VERSION, .cipher = "ECDHE-ECDSA-AES128-SHA256"},
      {.peer = TlsRole::client,
       .version = TLS1_2_VERSION,
       .cipher = "ECDHE-ECDSA-AES128-SHA256",
       .options = static_cast<long>(SSL_OP_NO_ENCRYPT_THEN_MAC)},
  };
  return plans;
}

const TlsPlan& any_plan() { return all_plans()[GENERATE(range(std::size_t{0}, std::size_t{5}))]; }

TEST_CASE("records of any size are read", "[relay][tls]") {
  Line line(any_plan());
  const std::size_t size = GENERATE(1u, 125u, 16'383u, 16'384u, 16'385u, 70'000u);
  const std::string data = pattern(size);
  line.peer.say(data);
  line.read_all();
  CHECK(is_same(line.received, data));
  CHECK(line.read().result == IoResult::would_block);
  CHECK_FALSE(line.stream->has_pending());
}

TEST_CASE("many small records in one segment are one read and one receive", "[relay][tls]") {
  Line line(any_plan(), make_packet_pair());
  const std::string first = pattern(3'000, 1);
  const std::string second = pattern(500, 2);
  line.peer.encrypt(first, 25);
  line.peer.send();
  line.peer.encrypt(second, 25);
  line.peer.send();
  CHECK(line.read().bytes == first.size());
  CHECK(unread_bytes(line.fd.get()) > 0);  // The second packet.
  CHECK(line.read().bytes == second.size());
  CHECK(is_same(line.received, first + second));
}

TEST_CASE("one message is one read and one receive", "[relay][tls]") {
  Line line(any_plan(), make_packet_pair());
  line.peer.say("first");
  line.peer.say("second");
  CHECK(line.read().bytes == 5);
  CHECK(unread_bytes(line.fd.get()) > 0);
}

TEST_CASE("ciphertext that drips is read when a record is whole", "[relay][tls]") {
  Line line(any_plan());
  const std::size_t piece = GENERATE(1u, 7u);
  const std::string data = pattern(2'500);
  line.peer.encrypt(data, 900);
  while (!line.peer.outbox().empty()) {
    line.peer.send(piece);
    line.read();
    CHECK_FALSE(line.stream->has_pending());
  }
  CHECK(is_same(line.received, data));
}

TEST_CASE("a large record that comes in two halves is read with the second one", "[relay][tls]") {
  Line line(any_plan());
  const std::string data = pattern(kRecordMax);
  line.peer.encrypt(data);
  line.peer.send(line.peer.outbox().size() / 2);
  CHECK(line.read().result == IoResult::would_block);
  line.peer.encrypt("and one behind it");
  line.peer.send();
  line.read_all();
  CHECK(is_same(line.received, data + "and one behind it"));
}

TEST_CASE("what does not fit is pending until it is read", "[relay][tls]") {
  Line line(any_plan());
  const std::size_t room = GENERATE(1u, 5u, 100u, 5'000u);
  const std::string data = pattern(2 * kRecordMax + 77);
  line.peer.say(data);
  while (line.received.size() < data.size()) {
    REQUIRE(line.read(room).result == IoResult::ok);
    const bool is_all_read = line.received.size() == data.size();
    const bool is_something_left = line.stream->has_pending() || unread_bytes(line.fd.get()) > 0;
    REQUIRE(is_something_left != is_all_read);
  }
  CHECK(is_same(line.received, data));
  CHECK(line.read(room).result == IoResult::would_block);
}

TEST_CASE("nothing is lost or late, whatever is cut where", "[relay][tls]") {
  const TlsPlan& plan = any_plan();
  std::minstd_rand random(GENERATE(range(1u, 7u)));
  Line line(plan);
  std::string said;
  const auto size_up_to = [&](std::size_t most) {
    return random() % (random() % 3 == 0 ? most : 40) + 1;
  };
  for (int round = 0; round < 60; ++round) {
    if (random() % 2 == 0) {
      const std::string data = pattern(size_up_to(40'000), static_cast<std::uint32_t>(round));
      line.peer.encrypt(data, size_up_to(kRecordMax));
      said += data;
    }
    if (plan.version == TLS1_3_VERSION && random() % 8 == 0) line.peer.key_update(random() % 2);
    line.peer.send(random() % 3 == 0 ? SIZE_MAX : size_up_to(30'000));
    for (int reads = 0; reads < 20 && random() % 4 != 0; ++reads) line.read(size_up_to(70'000));
    if (random() % 3 == 0) line.read_all(size_up_to(20'000));
    if (!line.peer.outbox().empty()) continue;
    line.read_all();
    REQUIRE(is_same(line.received, said));
  }
  while (!line.peer.outbox().empty()) {
    line.peer.send();
    line.read_all();
  }
  CHECK(is_same(line.received, said));
  CHECK_FALSE(line.stream->has_failed());
}

TEST_CASE("a peek leaves the bytes to be read", "[relay][tls]") {
  Line line(any_plan());
  const std::string data = pattern(20'000);
  CHECK(line.peek().result == IoResult::would_block);
  line.peer.encrypt(data, GENERATE(1'000u, 16'384u));
  line.peer.send(3);
  CHECK(line.peek().result == IoResult::would_block);
  line.peer.send();
  while (line.received.size() < data.size()) {
    REQUIRE(line.peek(9'000).result == IoResult::ok);
    CHECK(line.stream->has_pending());
    const std::string peeked = line.peeked;
    CHECK(line.peek(9'000).bytes == peeked.size());
    // As much of it as somebody may have taken.
    const std::size_t before = line.received.size();
    REQUIRE(line.read(peeked.size() / 3 + 1).result == IoResult::ok);
    const auto read = std::string_view(line.received).substr(before);
    CHECK(is_same(std::string_view(peeked).substr(0, read.size()), read));
  }
  CHECK(is_same(line.received, data));
}

TEST_CASE("tickets and key updates between data are read over", "[relay][tls]") {
  const bool is_long = GENERATE(false, true);
  Line line({.tickets = 3, .has_long_tickets = is_long});
  CHECK(line.peer.outbox().size() > (is_long ? 6'000u : 300u));
  line.peer.encrypt("after tickets ");
  line.peer.key_update(false);
  line.peer.encrypt("after an update ");
  line.peer.key_update(true);
  line.peer.encrypt("after a request");
  line.peer.send(GENERATE(SIZE_MAX, std::size_t{700}, std::size_t{100}));
  line.read_all();
  while (!line.peer.outbox().empty()) {
    line.peer.send(100);
    line.read_all();
  }
  CHECK(line.received == "after tickets after an update after a request");
  // The answer to the request, in the old keys, and what comes after in the new ones.
  line.write("in new keys");
  line.peer.take();
  CHECK(line.peer.received() == "in new keys");
  CHECK_FALSE(line.peer.has_failed());
}

TEST_CASE("a peek reads over tickets and key updates", "[relay][tls]") {
  Line line({.tickets = 2});
  line.peer.key_update(true);
  line.peer.encrypt("data");
  line.peer.send();
  // One call does no more than so much: it may be that the data comes with the next.
  for (int calls = 0; calls < 10 && line.peek().result == IoResult::would_block; ++calls) {
    REQUIRE(unread_bytes(line.fd.get()) > 0);
  }
  CHECK(line.peeked == "data");
}

TEST_CASE("an answer of TLS's own waits where the socket is full", "[relay][tls]") {
  Line line({}, make_narrow_pair());
  line.fill_socket();
  const std::size_t unsent = line.stream->unsent_bytes();
  // OpenSSL may keep its answer to the last request until the next write.
  line.peer.key_update(true);
  line.peer.key_update(true);
  line.peer.say("data behind requests");
  line.read_all();
  CHECK(line.received == "data behind requests");
  CHECK(line.stream->unsent_bytes() > unsent);
  while (line.stream->unsent_bytes() > 0) {
    line.peer.take();
    line.flush();
  }
  CHECK(line.write("!").result == IoResult::ok);
  line.peer.take();
  CHECK(is_same(line.peer.received(), line.written + "!"));
}

TEST_CASE("one call receives few times, whatever comes", "[relay][tls]") {
  Line line({}, make_packet_pair());
  constexpr int kPackets = 60;
  for (int i = 0; i < kPackets; ++i) {
    line.peer.key_update(false);
    line.peer.send();
  }
  CHECK(line.read().result == IoResult::would_block);
  CHECK_FALSE(line.stream->has_failed());
  int left = 0;
  for (char byte = 0; ::recv(line.fd.get(), &byte, 1, 0) > 0;) ++left;
  CHECK(left >= kPackets - 8);
  CHECK(left < kPackets);
}

TEST_CASE("one peek goes over few records", "[relay][tls]") {
  Line line;
  for (int i = 0; i < 500; ++i) line.peer.key_update(false);
  line.peer.encrypt("data");
  line.peer.send();
  const std::size_t all = unread_bytes(line.fd.get());
  CHECK(line.peek().result == IoResult::would_block);
  CHECK(unread_bytes(line.fd.get()) > all - all / 20);
  line.read_all();
  CHECK(line.received == "data");
}

// Or a peer that reads nothing and asks for ever takes all the memory there is.
TEST_CASE("answers to requests that nobody reads do not pile up", "[relay][tls]") {
  Line line({}, make_narrow_pair());
  line.fill_socket();
  for (int round = 0; round < 20 && !line.stream->has_failed(); ++round) {
    for (int i = 0; i < 200; ++i) line.peer.key_update(true);
    line.peer.send();
    line.read_all();
  }
  CHECK(line.stream->unsent_bytes() < 64 * 1024);
}

}  // namespace
}  // namespace wsbalance::relay
