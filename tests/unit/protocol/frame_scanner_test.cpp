#include "protocol/frame_scanner.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <string_view>

#include "support/catch.h"
#include "support/pieces.h"

using namespace wsbalance::protocol;
using namespace wsbalance::test;
using namespace std::string_literals;

namespace {

struct Facts {
  std::uint64_t frames = 0;
  std::uint64_t messages = 0;
  bool at_boundary = true;
  bool is_lost = false;
  bool has_close = false;
  int close_code = 0;

  bool operator==(const Facts&) const = default;
};

struct Scan {
  FrameScanner scanner{};

  void feed(std::string_view piece) { scanner.scan(std::as_bytes(std::span(piece))); }
  Facts outcome() const {
    return {scanner.frames(),  scanner.messages(),  scanner.at_boundary(),
            scanner.is_lost(), scanner.has_close(), scanner.close_code()};
  }
};

Scan make_scan() { return {}; }

Facts scan_in_pieces(std::string_view bytes) { return outcome_of_any_cut(bytes, make_scan); }

// Payload is only counted, so its length may be more than there is of it.
std::string header(int first_byte, std::uint64_t length, bool masked = false) {
  std::string bytes(1, static_cast<char>(first_byte));
  const int mask_bit = masked ? 0x80 : 0;
  const int length_bytes = length < 126 ? 0 : length <= 0xffff ? 2 : 8;
  const int short_length = length_bytes == 0   ? static_cast<int>(length)
                           : length_bytes == 2 ? 126
                                               : 127;
  bytes += static_cast<char>(mask_bit | short_length);
  for (int i = length_bytes - 1; i >= 0; --i) bytes += static_cast<char>(length >> (8 * i) & 0xff);
  if (masked) bytes += "\x37\xfa\x21\x3d";
  return bytes;
}

std::string frame(int first_byte, std::size_t length, bool masked = false) {
  return header(first_byte, length, masked) + std::string(length, '\x88');
}

constexpr int kFinText = 0x81;
constexpr int kFinContinuation = 0x80;
constexpr int kFinBinary = 0x82;
constexpr int kText = 0x01;
constexpr int kFinPing = 0x89;
constexpr int kFinPong = 0x8a;

}  // namespace

TEST_CASE("a new scanner stands at a boundary and has seen nothing", "[protocol]") {
  CHECK(make_scan().outcome() == Facts{});
  CHECK(scan_in_pieces("") == Facts{});
}

// The examples of RFC 6455 5.7, in their order.
TEST_CASE("RFC 6455 5.7 example 1: an unmasked text message", "[protocol]") {
  CHECK(scan_in_pieces("\x81\x05\x48\x65\x6c\x6c\x6f"s) == Facts{.frames = 1, .messages = 1});
}

TEST_CASE("RFC 6455 5.7 example 2: a masked text message", "[protocol]") {
  CHECK(scan_in_pieces("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"s) ==
        Facts{.frames = 1, .messages = 1});
}

TEST_CASE("RFC 6455 5.7 example 3: a fragmented message is one message", "[protocol]") {
  CHECK(scan_in_pieces("\x01\x03\x48\x65\x6c\x80\x02\x6c\x6f"s) ==
        Facts{.frames = 2, .messages = 1});
}

TEST_CASE("RFC 6455 5.7 example 4: ping and pong are frames, not messages", "[protocol]") {
  CHECK(scan_in_pieces("\x89\x05\x48\x65\x6c\x6c\x6f"s) == Facts{.frames = 1});
  CHECK(scan_in_pieces("\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"s) == Facts{.frames = 1});
}

TEST_CASE("RFC 6455 5.7 example 5: 256 bytes, a 16-bit length", "[protocol]") {
  CHECK(scan_in_pieces("\x82\x7e\x01\x00"s + std::string(256, 'x')) ==
        Facts{.frames = 1, .messages = 1});
}

TEST_CASE("RFC 6455 5.7 example 6: 64 KiB, a 64-bit length", "[protocol]") {
  const std::string bytes = "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"s + std::string(65536, 'x');
  const Facts one{.frames = 1, .messages = 1};
  CHECK(outcome_of_whole(bytes, make_scan) == one);
  CHECK(outcome_byte_by_byte(bytes, make_scan) == one);
  CHECK(outcome_of_whole(std::string_view(bytes).substr(0, bytes.size() - 1), make_scan) ==
        Facts{.at_boundary = false});
}

TEST_CASE("a boundary is only where a frame has ended", "[protocol]") {
  const bool masked = GENERATE(false, true);
  const std::size_t length = GENERATE(0u, 1u, 125u, 126u, 300u);
  const std::string bytes = frame(kFinText, length, masked);
  for (std::size_t size = 1; size < bytes.size(); ++size) {
    CAPTURE(masked, length, size);
    CHECK(scan_in_pieces(std::string_view(bytes).substr(0, size)) == Facts{.at_boundary = false});
  }
  CHECK(scan_in_pieces(bytes) == Facts{.frames = 1, .messages = 1});
}

TEST_CASE("an empty frame has passed when its header has", "[protocol]") {
  CHECK(scan_in_pieces("\x81\x00"s) == Facts{.frames = 1, .messages = 1});
  CHECK(scan_in_pieces("\x81\x80\x01\x02\x03\x04"s) == Facts{.frames = 1, .messages = 1});
  CHECK(scan_in_pieces("\x81\x7e\x00\x00"s) == Facts{.frames = 1, .messages = 1});
  CHECK(scan_in_pieces("\x81\x7f\0\0\0\0\0\0\0\0"s) == Facts{.frames = 1, .messages = 1});
}

TEST_CASE("every length is followed in every form, masked or not", "[protocol]") {
  const std::size_t length = GENERATE(0u, 1u, 2u, 125u, 126u, 127u, 255u, 256u, 65535u, 65536u);
  const bool masked = GENERATE(false, true);
  CAPTURE(length, masked);
  const std::string bytes = frame(kFinBinary, length, masked) + frame(kFinText, 3, !masked);
  const Facts two{.frames = 2, .messages = 2};
  CHECK(outcome_of_whole(bytes, make_scan) == two);
  CHECK(outcome_byte_by_byte(bytes, make_scan) == two);
}

TEST_CASE("a length in a longer form than it needs is followed", "[protocol]") {
  // RFC 6455 5.2 forbids it, but it is the member or the client that has to say so.
  CHECK(scan_in_pieces("\x81\x7e\x00\x01x\x89\x00"s) == Facts{.frames = 2, .messages = 1});
  CHECK(scan_in_pieces("\x81\x7f\0\0\0\0\0\0\0\x01x\x89\x00"s) ==
        Facts{.frames = 2, .messages = 1});
}

TEST_CASE("data frames with FIN end messages, control frames between them do not", "[protocol]") {
  CHECK(scan_in_pieces(frame(kText, 2) + frame(kFinPing, 1) + frame(0x00, 3) + frame(kFinPong, 0) +
                       frame(kFinContinuation, 4) + frame(kFinBinary, 0)) ==
        Facts{.frames = 6, .messages = 2});
}

TEST_CASE("reserved opcodes, reserved bits and split control frames are followed", "[protocol]") {
  for (const int opcode : {3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf}) {
    CAPTURE(opcode);
    CHECK(scan_in_pieces(frame(0x80 | opcode, 3) + frame(opcode, 0)) == Facts{.frames = 2});
  }
  CHECK(scan_in_pieces(frame(0xf1, 3)) == Facts{.frames = 1, .messages = 1});  // All RSV bits.
  CHECK(scan_in_pieces(frame(0x09, 3) + frame(0x89, 200)) == Facts{.frames = 2});
}

TEST_CASE("a close frame tells its status code (RFC 6455 5.5.1)", "[protocol]") {
  CHECK(scan_in_pieces("\x88\x02\x03\xe8"s) ==
        Facts{.frames = 1, .has_close = true, .close_code = 1000});
  CHECK(scan_in_pieces("\x88\x05\x0f\xa1"
                       "bye"s) == Facts{.frames = 1, .has_close = true, .close_code = 4001});
  CHECK(scan_in_pieces("\x88\x02\x00\x00"s) ==
        Facts{.frames = 1, .has_close = true, .close_code = 0});
  CHECK(scan_in_pieces("\x88\x02\xff\xff"s) ==
        Facts{.frames = 1, .has_close = true, .close_code = 65535});
}

TEST_CASE("the status code of a masked close frame is unmasked (RFC 6455 5.3)", "[protocol]") {
  CHECK(scan_in_pieces("\x88\x82\x37\xfa\x21\x3d\x34\x12"s) ==
        Facts{.frames = 1, .has_close = true, .close_code = 1000});
  CHECK(scan_in_pieces("\x88\x84\x37\xfa\x21\x3d\x34\x13\x4e\x56"s) ==
        Facts{.frames = 1, .has_close = true, .close_code = 1001});
}

TEST_CASE("a close frame without a status code is 1005 (RFC 6455 7.1.5)", "[protocol]") {
  const Facts no_status{.frames = 1, .has_close = true, .close_code = 1005};
  CHECK(scan_in_pieces("\x88\x00"s) == no_status);
  CHECK(scan_in_pieces("\x88\x80\x37\xfa\x21\x3d"s) == no_status);
  CHECK(scan_in_pieces("\x88\x01\x03"s) == no_status);  // One byte is no code.
}

TEST_CASE("a close frame counts when it has passed whole", "[protocol]") {
  CHECK(scan_in_pieces("\x88\x05\x03\xe8"
                       "by"s) == Facts{.at_boundary = false});
  CHECK(scan_in_pieces("\x88\x02\x03"s) == Facts{.at_boundary = false});
}

TEST_CASE("the first close frame's code stays, what follows is counted on", "[protocol]") {
  CHECK(scan_in_pieces("\x89\x00\x88\x02\x03\xe8\x88\x02\x03\xe9\x88\x00\x81\x01x"s) ==
        Facts{.frames = 5, .messages = 1, .has_close = true, .close_code = 1000});
  CHECK(scan_in_pieces("\x88\x00\x88\x02\x03\xe9"s) ==
        Facts{.frames = 2, .has_close = true, .close_code = 1005});
  CHECK(scan_in_pieces("\x88\x01\x03\x88\x02\x03\xe9"s) ==
        Facts{.frames = 2, .has_close = true, .close_code = 1005});
}

TEST_CASE("a close frame of any size is followed", "[protocol]") {
  // RFC 6455 5.5: 125 bytes at most; a longer one is the other side's to refuse.
  CHECK(scan_in_pieces("\x88\x7e\x00\xc8\x03\xe8"s + std::string(198, 'x') + "\x89\x00"s) ==
        Facts{.frames = 2, .has_close = true, .close_code = 1000});
}

TEST_CASE("a 64-bit length with its top bit set is lost (RFC 6455 5.2)", "[protocol]") {
  const Facts lost{.frames = 1, .messages = 1, .at_boundary = false, .is_lost = true};
  const std::string good = frame(kFinText, 1);
  const std::string rest = good + good + "\x88\x02\x03\xe8"s;
  CHECK(scan_in_pieces(good + "\x82\x7f\x80\0\0\0\0\0\0\0"s + rest) == lost);
  CHECK(scan_in_pieces(good + "\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\2\3\4"s + rest) == lost);
  CHECK(scan_in_pieces(good + "\x88\x7f\x80\0\0\0\0\0\0\0"s + rest) == lost);
}

TEST_CASE("the largest length that can be is followed", "[protocol]") {
  CHECK(scan_in_pieces(header(kFinBinary, ~std::uint64_t{0} >> 1) + std::string(300, '\x88')) ==
        Facts{.at_boundary = false});
}

TEST_CASE("a long payload is jumped over without a look at it", "[protocol]") {
  // The same small buffer passes again and again; only its size can matter.
  Scan scan;
  scan.feed(header(kFinBinary, 1'000'000'000'001));
  const std::string buffer(1'000'000, '\xff');
  for (int i = 0; i < 1'000'000; ++i) scan.feed(buffer);
  CHECK(scan.outcome() == Facts{.at_boundary = false});
  scan.feed("\x81");
  CHECK(scan.outcome() == Facts{.frames = 1, .messages = 1});
}

TEST_CASE("a scanner is at most 48 bytes", "[protocol]") { CHECK(sizeof(FrameScanner) <= 48); }

TEST_CASE("any stream of frames in pieces of any size gives what was put into it", "[protocol]") {
  const auto seed = GENERATE(range(1u, 41u));
  CAPTURE(seed);
  std::mt19937 random(seed);
  const auto below = [&random](std::size_t limit) { return random() % limit; };

  std::string bytes;
  Facts expected;
  for (int i = 0; i < 400; ++i) {
    const int first_byte = static_cast<int>(below(256));
    const std::size_t limits[] = {1, 8, 126, 300, 70'000};
    const std::size_t length = below(limits[below(i % 100 == 0 ? 5 : 4)]);
    const bool masked = below(2) == 0;
    const int opcode = first_byte & 0x0f;
    bytes += frame(first_byte, length, masked);
    ++expected.frames;
    if (first_byte >= 0x80 && opcode <= 2) ++expected.messages;
    if (opcode == 8 && !expected.has_close) {
      expected.has_close = true;
      expected.close_code = length < 2 ? 1005 : masked ? 0x8888 ^ 0x37fa : 0x8888;
    }
  }

  CHECK(outcome_of_whole(bytes, make_scan) == expected);
  CHECK(outcome_byte_by_byte(bytes, make_scan) == expected);
  const std::size_t piece_max = 1 + below(seed % 2 == 0 ? 20 : 5000);
  Scan scan;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t size = std::min(1 + below(piece_max), bytes.size() - at);
    feed_piece(scan, std::string_view(bytes).substr(at, size));
    at += size;
  }
  CHECK(scan.outcome() == expected);
}
