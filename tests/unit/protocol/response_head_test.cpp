#include "protocol/response_head.h"

#include <string>
#include <utility>
#include <vector>

#include "response_head_reader.h"
#include "support/catch.h"

using namespace wsbalance::protocol;
using namespace wsbalance::test;

namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

const std::string kGoodHead =
    "HTTP/1.1 101 Switching Protocols\r\n"
    "Upgrade: websocket\r\n"
    "Connection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
    "\r\n";

std::string error_of_line(const std::string& line) {
  return read_head("HTTP/1.1 101 OK\r\n" + line + "\r\n\r\n").error;
}

}  // namespace

TEST_CASE("the answer of RFC 6455 1.3 is read", "[protocol]") {
  const HeadOutcome head = read_head(kGoodHead);
  REQUIRE(head.is_complete());
  CHECK(head.taken == kGoodHead.size());
  CHECK(head.version_minor == 1);
  CHECK(head.status == 101);
  CHECK(head.reason == "Switching Protocols");
  CHECK(head.fields == Pairs{{"Upgrade", "websocket"},
                             {"Connection", "Upgrade"},
                             {"Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}});
}

TEST_CASE("what follows the head is left alone", "[protocol]") {
  const HeadOutcome head = read_head(kGoodHead + std::string("\x81\x00\r\n\0garbage", 12));
  REQUIRE(head.is_complete());
  CHECK(head.taken == kGoodHead.size());
}

TEST_CASE("a head without fields is one", "[protocol]") {
  const HeadOutcome head = read_head("HTTP/1.0 200 \r\n\r\n");
  REQUIRE(head.is_complete());
  CHECK(head.version_minor == 0);
  CHECK(head.fields.empty());
}

TEST_CASE("a line may end with a bare LF (RFC 9112 2.2)", "[protocol]") {
  const HeadOutcome head = read_head("HTTP/1.1 200 OK\nA: b\r\nC: d\n\nrest");
  REQUIRE(head.is_complete());
  CHECK(head.reason == "OK");
  CHECK(head.fields == Pairs{{"A", "b"}, {"C", "d"}});
}

TEST_CASE("the reason may be empty, long, or not ASCII (RFC 9112 4)", "[protocol]") {
  CHECK(read_head("HTTP/1.1 101\r\n\r\n").reason.empty());
  CHECK(read_head("HTTP/1.1 101\r\n\r\n").is_complete());
  CHECK(read_head("HTTP/1.1 101 \r\n\r\n").is_complete());
  CHECK(read_head("HTTP/1.1 404 Not\tFound \xe9\r\n\r\n").reason == "Not\tFound \xe9");
}

TEST_CASE("all status codes from 100 to 999 are read", "[protocol]") {
  CHECK(read_head("HTTP/1.1 100 \r\n\r\n").status == 100);
  CHECK(read_head("HTTP/1.9 999 \r\n\r\n").status == 999);
}

TEST_CASE("a status line that is none is refused (RFC 9112 4)", "[protocol]") {
  const std::string line = GENERATE(
      as<std::string>{}, "", "HTTP/1.1", "HTTP/1.1 ", "HTTP/1.1 10", "HTTP/1.1 1010",
      "HTTP/1.1 099 x", "HTTP/1.1 000 x", "HTTP/1.1 1x1 x", "HTTP/1.1 101x", "HTTP/1.1  101 x",
      "HTTP/1.1\t101 x", "HTTP/1.1 101\tx", "HTTP/1. 101 x", "HTTP/1.10 101 x", "HTTP/1.x 101 x",
      "HTTP/2 101 x", "HTTP/2.0 101 x", "HTTP/0.9 200 x", "http/1.1 101 x", " HTTP/1.1 101 x",
      "HTTP /1.1 101 x", "HTTP/1.1 -10 x", "ICY 200 OK", "<html>", "\xef\xbb\xbfHTTP/1.1 200 OK",
      "GET / HTTP/1.1");
  CAPTURE(line);
  CHECK(read_head(line + "\r\n\r\n").error == text_of(HandshakeError::status_line_malformed));
}

TEST_CASE("an empty line before the status line is refused", "[protocol]") {
  CHECK(read_head("\r\n" + kGoodHead).error == text_of(HandshakeError::status_line_malformed));
  CHECK(read_head("\n" + kGoodHead).error == text_of(HandshakeError::status_line_malformed));
}

TEST_CASE("garbage is refused at its first byte that cannot be", "[protocol]") {
  const std::string begin = "HTTP/1.";
  for (std::size_t i = 0; i < begin.size(); ++i) {
    CAPTURE(i);
    const HeadOutcome head = read_head(begin.substr(0, i) + "\x01 no line end comes here");
    CHECK(head.error == text_of(HandshakeError::status_line_malformed));
    CHECK(head.taken == i + 1);
    CHECK_FALSE(head.is_empty);
  }
}

TEST_CASE("a line that is no field is refused (RFC 9112 5)", "[protocol]") {
  const std::string line = GENERATE(as<std::string>{}, "no colon", ":", ": value", "Name : value",
                                    "Name\t: value", "Na me: value", "Na(me: value",
                                    "N\xe4me: value", "\"Name\": value", "HTTP/1.1 200 OK");
  CAPTURE(line);
  CHECK(error_of_line(line) == text_of(HandshakeError::field_line_malformed));
}

TEST_CASE("a value has no white space around it and may be empty", "[protocol]") {
  const HeadOutcome head = read_head(
      "HTTP/1.1 200 OK\r\nA:b\r\nA: \t b \t c\t \r\nEmpty:\r\nBlank: \t \r\nColon: a:b:\r\n\r\n");
  REQUIRE(head.is_complete());
  CHECK(head.fields ==
        Pairs{{"A", "b"}, {"A", "b \t c"}, {"Empty", ""}, {"Blank", ""}, {"Colon", "a:b:"}});
}

TEST_CASE("a value may have bytes from 0x80 on (obs-text, RFC 9110 5.5)", "[protocol]") {
  const HeadOutcome head = read_head("HTTP/1.1 200 OK\r\nA: \x80\xff\r\n\r\n");
  REQUIRE(head.is_complete());
  CHECK(head.fields == Pairs{{"A", "\x80\xff"}});
}

TEST_CASE("a control character is refused (RFC 9110 5.5)", "[protocol]") {
  for (int c = 0; c < 0x80; ++c) {
    if ((c >= 0x20 && c < 0x7f) || c == '\t' || c == '\n') continue;
    CAPTURE(c);
    const std::string control(1, static_cast<char>(c));
    CHECK(error_of_line("A: b" + control + "c") == text_of(HandshakeError::control_character));
    CHECK(error_of_line("A" + control + "b: c") == text_of(HandshakeError::control_character));
    CHECK(read_head("HTTP/1.1 101 a" + control + "b\r\n\r\n").error ==
          text_of(HandshakeError::control_character));
  }
}

TEST_CASE("CR that no LF follows is refused (RFC 9112 2.2)", "[protocol]") {
  const std::string control_character = text_of(HandshakeError::control_character);
  CHECK(error_of_line("A: b\rX: y") == control_character);
  CHECK(error_of_line("A: b\r") == control_character);  // CR CR LF
  CHECK(error_of_line("\rA: b") == control_character);
  CHECK(read_head("HTTP/1.1 200 OK\r\n\rHTTP").error == control_character);
  CHECK(read_head("HTTP/1.1 200 OK\rA: b\r\n\r\n").error == control_character);
}

TEST_CASE("a folded line is refused (RFC 9112 5.2)", "[protocol]") {
  CHECK(error_of_line("A: b\r\n c") == text_of(HandshakeError::obsolete_folding));
  CHECK(error_of_line("A: b\r\n\tc") == text_of(HandshakeError::obsolete_folding));
  CHECK(error_of_line("A: b\r\n ") == text_of(HandshakeError::obsolete_folding));
  CHECK(error_of_line(" A: b") == text_of(HandshakeError::obsolete_folding));  // RFC 9112 2.2.
}

TEST_CASE("a head is truncated when the file ends at any place before its end", "[protocol]") {
  for (std::size_t size = 0; size < kGoodHead.size(); ++size) {
    CAPTURE(size);
    HeadReader reader = head_reader()();
    feed_piece(reader, std::string_view(kGoodHead).substr(0, size));
    REQUIRE(reader.outcome().needs_more());
    CHECK(reader.head.is_empty() == (size == 0));
    reader.head.end_of_file();
    CHECK(reader.outcome().error == text_of(HandshakeError::head_truncated));
  }
}

TEST_CASE("the end of the file changes nothing after the head", "[protocol]") {
  HeadReader reader = head_reader()();
  feed_piece(reader, kGoodHead);
  reader.head.end_of_file();
  CHECK(reader.outcome().is_complete());

  HeadReader garbage = head_reader()();
  feed_piece(garbage, "x");
  garbage.head.end_of_file();
  CHECK(garbage.outcome().error == text_of(HandshakeError::status_line_malformed));
}

TEST_CASE("nothing is taken after the head or after an error", "[protocol]") {
  HeadReader reader = head_reader()();
  feed_piece(reader, kGoodHead);
  CHECK(reader.head.feed(kGoodHead) == 0);

  HeadReader garbage = head_reader()();
  feed_piece(garbage, "x");
  CHECK(garbage.head.feed(kGoodHead) == 0);
}

TEST_CASE("an interim answer is followed by the next head after a reset", "[protocol]") {
  const std::string interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
  const std::string answers = interim + kGoodHead;
  HeadReader reader = head_reader()();
  const std::size_t taken = reader.head.feed(answers);
  REQUIRE(taken == interim.size());
  CHECK(reader.outcome().status == 103);

  reader.head.reset();
  CHECK(reader.outcome().needs_more());
  CHECK(reader.head.is_empty());
  CHECK(reader.head.feed(std::string_view(answers).substr(taken)) == kGoodHead.size());
  const HeadOutcome head = reader.outcome();
  CHECK(head.status == 101);
  CHECK(head.reason == "Switching Protocols");
  CHECK(head.fields.size() == 3);

  reader.head.reset();
  feed_piece(reader, "x");
  reader.head.reset();
  CHECK(reader.head.error() == HandshakeError::none);
}
