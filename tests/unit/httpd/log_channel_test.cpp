#include "httpd/log_channel.h"

#include <sys/socket.h>

#include <chrono>
#include <string>
#include <vector>

#include "support/catch.h"

namespace wsbalance::httpd {
namespace {

using namespace std::chrono_literals;
using Kind = LogMessage::Kind;

struct Channel {
  Channel() : ends(LogChannel::open()), channel(ends.in.get(), ends.out.get()) {
    REQUIRE(ends.in);
    REQUIRE(ends.out);
  }
  LogChannel::Ends ends;
  LogChannel channel;
  std::vector<char> buffer = std::vector<char>(LogChannel::kMessageBytesMax);
};

TEST_CASE("messages arrive whole, one by one, in order", "[log-channel]") {
  Channel c;
  CHECK_FALSE(c.channel.receive(c.buffer));
  CHECK(c.channel.send({.name = "/var/log/t.json", .line = "{}\n"}, 0ms));
  CHECK(c.channel.send({.kind = Kind::error_log, .level = 4, .name = "", .line = "two"}, 0ms));
  auto message = c.channel.receive(c.buffer);
  REQUIRE(message);
  CHECK(message->kind == Kind::tunnel_log);
  CHECK(message->name == "/var/log/t.json");
  CHECK(message->line == "{}\n");
  message = c.channel.receive(c.buffer);
  REQUIRE(message);
  CHECK(message->kind == Kind::error_log);
  CHECK(message->level == 4);
  CHECK(message->name.empty());
  CHECK(message->line == "two");
  CHECK_FALSE(c.channel.receive(c.buffer));
}

TEST_CASE("a long line passes, one that is too long does not", "[log-channel]") {
  Channel c;
  const std::string line(40'000, 'x');
  CHECK(c.channel.send({.name = "n", .line = line}, 0ms));
  const auto message = c.channel.receive(c.buffer);
  REQUIRE(message);
  CHECK(message->line == line);
  CHECK_FALSE(c.channel.send({.line = std::string(LogChannel::kMessageBytesMax, 'x')}, 0ms));
}

TEST_CASE("where nobody reads, a sender waits as long as it is told", "[log-channel]") {
  Channel c;
  const std::string line(8000, 'x');
  int sent = 0;
  while (c.channel.send({.line = line}, 0ms)) ++sent;
  CHECK(sent > 0);
  const auto begin = std::chrono::steady_clock::now();
  CHECK_FALSE(c.channel.send({.line = line}, 20ms));
  CHECK(std::chrono::steady_clock::now() - begin >= 20ms);
  for (; sent > 0; --sent) CHECK(c.channel.receive(c.buffer));
  CHECK_FALSE(c.channel.receive(c.buffer));
  CHECK(c.channel.send({.line = line}, 0ms));
}

TEST_CASE("what another version of the module sends is passed over", "[log-channel]") {
  Channel c;
  for (const std::string& other : {std::string("x"), std::string(100, '\0'),
                                   std::string("\x02\x42\x53\x57\x00\x00\xff\xff", 8)}) {
    REQUIRE(::send(c.ends.in.get(), other.data(), other.size(), 0) ==
            static_cast<ssize_t>(other.size()));
  }
  // Of this form, but its name is said to be longer than all of it.
  const std::string broken("\x01\x42\x53\x57\x00\x00\xff\xffname", 12);
  REQUIRE(::send(c.ends.in.get(), broken.data(), broken.size(), 0) == 12);
  REQUIRE(c.channel.send({.line = "good"}, 0ms));
  const auto message = c.channel.receive(c.buffer);
  REQUIRE(message);
  CHECK(message->line == "good");
}

}  // namespace
}  // namespace wsbalance::httpd
