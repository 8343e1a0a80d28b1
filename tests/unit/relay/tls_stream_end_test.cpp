// How a TlsStream ends, in order or by what a peer should not have sent, and that nobody else hears
// of it.

#include <openssl/err.h>

#include <string>

#include "support/catch.h"
#include "unit/relay/tls_line.h"

namespace wsbalance::relay {
namespace {

int any_version() { return GENERATE(TLS1_2_VERSION, TLS1_3_VERSION); }

TEST_CASE("a close_notify is an end of file", "[relay][tls]") {
  Line line({.version = any_version()});
  const bool is_with_data = GENERATE(false, true);
  const bool is_with_fin = GENERATE(false, true);
  if (is_with_data) line.peer.encrypt("last words");
  line.peer.close_notify();
  line.peer.send();
  if (is_with_fin) line.peer.send_fin();
  if (is_with_data) {
    CHECK(line.read().result == IoResult::ok);
    CHECK(line.received == "last words");
    CHECK((line.stream->has_pending() || unread_bytes(line.fd.get()) > 0));
  }
  CHECK(line.read().result == IoResult::end_of_file);
  CHECK_FALSE(line.stream->has_pending());
  CHECK_FALSE(line.stream->was_truncated());
  CHECK_FALSE(line.stream->has_failed());
  CHECK(line.read().result == IoResult::end_of_file);
  // Our own way is open still.
  CHECK(line.write("an answer").result == IoResult::ok);
  line.peer.take();
  CHECK(line.peer.received() == "an answer");
}

TEST_CASE("an end that was not announced is told", "[relay][tls]") {
  Line line({.version = any_version()});
  const bool is_with_data = GENERATE(false, true);
  if (is_with_data) line.peer.say("cut off");
  line.peer.send_fin();
  if (is_with_data) CHECK(line.read().result == IoResult::ok);
  CHECK(line.read().result == IoResult::end_of_file);
  CHECK(line.received == (is_with_data ? "cut off" : ""));
  CHECK(line.stream->was_truncated());
  CHECK_FALSE(line.stream->has_failed());
  CHECK_FALSE(line.stream->has_pending());
  CHECK(line.read().result == IoResult::end_of_file);
  CHECK(line.write("an answer").result == IoResult::ok);
}

TEST_CASE("an end inside a record is an end that was not announced", "[relay][tls]") {
  Line line({.version = any_version()});
  const std::size_t sent = GENERATE(3u, 5u, 20u, 5'000u);
  line.peer.say("whole");
  line.peer.encrypt(pattern(10'000));
  line.peer.send(sent);
  line.peer.send_fin();
  const std::size_t room = GENERATE(4u, 100u, 64u * 1024);
  for (int calls = 0; calls < 100; ++calls) {
    if (line.read(room).result == IoResult::end_of_file) break;
  }
  CHECK(line.received == "whole");
  CHECK(line.stream->was_truncated());
  CHECK_FALSE(line.stream->has_pending());
}

TEST_CASE("a peek sees the end too", "[relay][tls]") {
  Line line({.version = any_version()});
  const bool is_announced = GENERATE(false, true);
  if (is_announced) line.peer.close_notify();
  line.peer.send();
  line.peer.send_fin();
  CHECK(line.peek().result == IoResult::end_of_file);
  CHECK(line.stream->was_truncated() == !is_announced);
  CHECK(line.read().result == IoResult::end_of_file);
}

TEST_CASE("a reset is an error", "[relay][tls]") {
  Line line({.version = any_version()}, make_tcp_pair());
  const bool is_peek = GENERATE(false, true);
  line.peer.reset();
  REQUIRE(wait_readable(line.fd.get()));
  const auto result = is_peek ? line.peek().result : line.read().result;
  CHECK(result == IoResult::error);
  CHECK(line.stream->has_failed());
}

// A record that nobody can read, and the alert that answers it.
struct Damage {
  const char* what;
  int alert;
  void (*apply)(TlsPeer&);
};

const Damage kDamages[] = {
    {"garbage", -1, [](TlsPeer& peer) { peer.outbox() = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"; }},
    {"a wrong MAC", SSL_AD_BAD_RECORD_MAC,
     [](TlsPeer& peer) {
       peer.encrypt("data");
       peer.outbox().back() = static_cast<char>(peer.outbox().back() ^ 1);
     }},
    {"a record that is too long", SSL_AD_RECORD_OVERFLOW,
     [](TlsPeer& peer) {
       peer.outbox() = std::string("\x17\x03\x03\x50\x00", 5) + pattern(0x5000);
     }},
    {"a record without a MAC", -1,
     [](TlsPeer& peer) { peer.outbox() = std::string("\x17\x03\x03\x00\x01x", 6); }},
};

TEST_CASE("a record that cannot be read ends the stream with an alert", "[relay][tls]") {
  const Damage& damage = kDamages[GENERATE(range(0, 4))];
  INFO(damage.what);
  Line line({.version = any_version()});
  line.peer.say("sound");
  const bool is_read_before = GENERATE(true, false);
  if (is_read_before) line.read();
  damage.apply(line.peer);
  line.peer.send();
  const bool is_peek = GENERATE(false, true);
  for (int calls = 0; calls < 4 && !line.stream->has_failed(); ++calls) {
    if (is_peek) line.peek(100);
    line.read();
  }
  CHECK(line.received == "sound");
  CHECK(line.stream->has_failed());
  CHECK_FALSE(line.stream->was_truncated());
  CHECK(line.read().result == IoResult::error);
  CHECK(line.peek().result == IoResult::error);
  CHECK_FALSE(line.stream->has_pending());
  line.write("too late");
  line.shutdown_write();
  line.peer.take();
  CHECK(line.peer.has_failed());  // By the alert.
  CHECK_FALSE(line.peer.saw_close_notify());
  if (damage.alert >= 0) CHECK(line.peer.saw_alert(damage.alert));
  CHECK(line.peer.received().empty());
}

TEST_CASE("an alert waits behind what the socket did not take", "[relay][tls]") {
  Line line({.version = any_version()}, make_narrow_pair());
  line.fill_socket();
  const std::size_t unsent = line.stream->unsent_bytes();
  line.peer.outbox() = "garbage, garbage";
  line.peer.send();
  CHECK(line.read().result == IoResult::error);
  CHECK(line.stream->unsent_bytes() > unsent);
  line.shutdown_write();
  while (line.stream->unsent_bytes() > 0) {
    line.peer.take();
    line.flush();
  }
  line.peer.take();
  CHECK(is_same(line.peer.received(), line.written));
  CHECK(line.peer.has_failed());
  CHECK(line.peer.saw_fin());
}

TEST_CASE("a fatal alert is an error", "[relay][tls]") {
  Line line({.version = any_version()});
  line.peer.encrypt("before it");
  line.peer.fatal_alert();
  line.peer.send();
  line.read_all();
  CHECK(line.received == "before it");
  CHECK(line.read().result == IoResult::error);
  CHECK(line.stream->has_failed());
  CHECK(line.write("nobody reads it").result == IoResult::error);
}

TEST_CASE("a stream that failed does not disturb another one", "[relay][tls]") {
  Line sound({.version = any_version()});
  Line broken({.version = any_version()});
  broken.peer.outbox() = "garbage, garbage";
  broken.peer.send();
  sound.peer.encrypt("hello");
  sound.peer.send(10);
  CHECK(sound.read().result == IoResult::would_block);
  CHECK(broken.read().result == IoResult::error);
  CHECK(sound.read().result == IoResult::would_block);
  broken.write("nothing");
  sound.peer.send();
  CHECK(sound.read().result == IoResult::ok);
  CHECK(sound.received == "hello");
  broken.shutdown_write();
  broken.stream.reset();
  CHECK(sound.read().result == IoResult::would_block);
  CHECK(sound.write("hello").result == IoResult::ok);
  CHECK_FALSE(sound.stream->has_failed());
}

// As another user of OpenSSL in this thread may leave them.
TEST_CASE("errors of others in OpenSSL's queue are not taken for ours", "[relay][tls]") {
  const auto leave_error = [] { ERR_put_error(ERR_LIB_SSL, 0, SSL_R_BAD_LENGTH, "", 0); };
  Line line({.version = any_version()}, make_narrow_pair());
  leave_error();
  CHECK(line.read().result == IoResult::would_block);
  leave_error();
  CHECK(line.peek().result == IoResult::would_block);
  leave_error();
  CHECK(line.write("data").result == IoResult::ok);
  leave_error();
  line.peer.outbox().clear();
  line.shutdown_write();
  CHECK_FALSE(line.stream->has_failed());
  CHECK(line.read().result == IoResult::would_block);
}

TEST_CASE("a renegotiation is refused", "[relay][tls]") {
  Line line({.peer = GENERATE(TlsRole::client, TlsRole::server), .version = TLS1_2_VERSION});
  line.peer.say("before ");
  line.peer.renegotiate();
  line.peer.send();
  line.read_all();
  CHECK(line.received == "before ");
  CHECK(line.write("goes on").result == IoResult::ok);
  line.peer.take();
  CHECK(line.peer.saw_alert(SSL_AD_NO_RENEGOTIATION));
  CHECK_FALSE(line.stream->write_waits_for_input());
  CHECK_FALSE(line.stream->has_failed());
}

int removed_sessions = 0;

// Sessions that a handler of the context keeps, as mod_ssl's: TlsStream must not call into it.
TEST_CASE("the end of a stream removes no session", "[relay][tls]") {
  SocketPair sockets = make_unix_pair();
  TlsPair pair = make_tls_pair(
      std::move(sockets.far),
      {.peer = TlsRole::client, .version = TLS1_2_VERSION, .options = SSL_OP_NO_TICKET});
  SSL_CTX* const context = SSL_get_SSL_CTX(pair.near.get());
  SSL_CTX_flush_sessions(context, 0);  // Or the context removes them when it is freed itself.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_remove_cb(context, [](SSL_CTX*, SSL_SESSION*) { ++removed_sessions; });
  const bool is_forgotten = GENERATE(true, false);
  SSL_SESSION* const session = SSL_get_session(pair.near.get());
  const unsigned char none = 0;
  if (is_forgotten) REQUIRE(SSL_SESSION_set1_id(session, &none, 0) == 1);

  removed_sessions = 0;
  const bool is_broken = GENERATE(true, false);
  {
    Line line(std::move(pair), std::move(sockets.near));
    line.write("data");
    line.read();
    if (is_broken) line.peer.fatal_alert();
    line.peer.send();
    line.read();
    CHECK(line.stream->has_failed() == is_broken);
    CHECK((removed_sessions > 0) == (is_broken && !is_forgotten));
  }
  CHECK((removed_sessions > 0) == (is_broken && !is_forgotten));
}

}  // namespace
}  // namespace wsbalance::relay
