#include "protocol/frame_scanner.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <string_view>

#include "frame_scan.h"
#include "support/catch.h"
#include "support/pieces.h"

using namespace wsbalance::protocol;
using namespace wsbalance::test;
using namespace std::string_literals;

namespace {

using Facts = FrameFacts;

// The facts hold for frames that keep the rules and for those that do not, so the rules are only
// noted here, and all has to pass.
FrameScan make_scan() { return FrameScan({.strictness = Strictness::lenient}); }

Facts facts_of(std::string_view bytes, const ScanOutcome& outcome) {
  CHECK(outcome.passed + outcome.held == bytes);
  CHECK_FALSE(outcome.is_refused);
  return outcome.facts;
}

Facts scan_in_pieces(std::string_view bytes) {
  return facts_of(bytes, outcome_of_any_cut(bytes, make_scan));
}

Facts scan_whole(std::string_view bytes) {
  return facts_of(bytes, outcome_of_whole(bytes, make_scan));
}

Facts scan_byte_by_byte(std::string_view bytes) {
  return facts_of(bytes, outcome_byte_by_byte(bytes, make_scan));
}

// Payload is only counted, so what is in it may look like anything.
std::string frame(int first_byte, std::size_t length, bool masked = false) {
  return frame_header(first_byte, length, masked) + std::string(length, '\x88');
}

}  // namespace

TEST_CASE("a new scanner stands at a boundary and has seen nothing", "[protocol]") {
  CHECK(make_scan().outcome() == ScanOutcome{});
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
  CHECK(scan_whole(bytes) == one);
  CHECK(scan_byte_by_byte(bytes) == one);
  CHECK(scan_whole(std::string_view(bytes).substr(0, bytes.size() - 1)) ==
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
  CHECK(scan_whole(bytes) == two);
  CHECK(scan_byte_by_byte(bytes) == two);
}

TEST_CASE("a length in a longer form than it needs is followed", "[protocol]") {
  // RFC 6455 5.2 forbids it, but only a strict scanner refuses it.
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
  // RFC 6455 5.5: 125 bytes at most; only a strict scanner refuses it.
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
  CHECK(scan_in_pieces(frame_header(kFinBinary, ~std::uint64_t{0} >> 1) +
                       std::string(300, '\x88')) == Facts{.at_boundary = false});
}

TEST_CASE("a long payload is jumped over without a look at it", "[protocol]") {
  // The same small buffer passes again and again; only its size can matter.
  FrameScanner scanner;
  const FrameRules rules;
  const auto scan = [&](std::string_view piece) {
    const auto result = scanner.scan(std::as_bytes(std::span(piece)), rules);
    return result.passed == piece.size();
  };
  std::uint64_t left = 1'000'000'000'001;
  CHECK(scan(frame_header(kFinBinary, left)));
  const std::string buffer(1'000'000, '\xff');
  bool has_all_passed = true;
  for (int i = 0; i < 1'000'000; ++i) {
    has_all_passed &= scan(buffer);
    left -= buffer.size();
    has_all_passed &= scanner.payload_left() == left;
  }
  CHECK(has_all_passed);
  CHECK_FALSE(scanner.at_boundary());
  CHECK(scanner.frames() == 0);
  CHECK(scan("\x81"));
  CHECK(scanner.at_boundary());
  CHECK(scanner.frames() == 1);
  CHECK(scanner.messages() == 1);
}

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

  CHECK(scan_whole(bytes) == expected);
  CHECK(scan_byte_by_byte(bytes) == expected);
  const std::size_t piece_max = 1 + below(seed % 2 == 0 ? 20 : 5000);
  FrameScan scan = make_scan();
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t size = std::min(1 + below(piece_max), bytes.size() - at);
    feed_piece(scan, std::string_view(bytes).substr(at, size));
    at += size;
  }
  CHECK(facts_of(bytes, scan.outcome()) == expected);
}

// What may go on

TEST_CASE("a header does not go on before it is whole", "[protocol]") {
  const bool masked = GENERATE(false, true);
  const int length_bytes = GENERATE(0, 2, 8);
  const std::string before = frame_of(kFinText, "before", masked);
  const std::string header = frame_header(kFinBinary, 100, masked, length_bytes);
  CAPTURE(masked, length_bytes);
  for (std::size_t size = 1; size < header.size(); ++size) {
    CAPTURE(size);
    const auto outcome = scan_any_cut(before + header.substr(0, size), {.is_masked = masked});
    CHECK(outcome.passed == before);
    CHECK(outcome.held.size() == size);
    CHECK(outcome.payload_left == 0);
  }
  const auto outcome = scan_any_cut(before + header, {.is_masked = masked});
  CHECK(outcome.passed == before + header);
  CHECK(outcome.payload_left == 100);
}

TEST_CASE("a part of a payload goes on, and what is left of it is told", "[protocol]") {
  const bool masked = GENERATE(false, true);
  const std::string bytes = frame_of(kFinText, "Hello", masked);
  for (std::size_t left = 1; left <= 5; ++left) {
    const auto outcome = scan_any_cut(bytes.substr(0, bytes.size() - left), {.is_masked = masked});
    CHECK(outcome.payload_left == left);
    CHECK(outcome.held.empty());
    CHECK(outcome.facts == Facts{.at_boundary = false});
  }
}

TEST_CASE("a close frame's header goes on with its status code only", "[protocol]") {
  const bool masked = GENERATE(false, true);
  const std::string bytes = close_frame(1000, "bye", masked);
  const std::size_t header_bytes = bytes.size() - 5;
  const FrameRules rules{.strictness = Strictness::strict, .is_masked = masked};
  for (std::size_t size = 1; size < bytes.size(); ++size) {
    CAPTURE(masked, size);
    const auto outcome = scan_any_cut(std::string_view(bytes).substr(0, size), rules);
    CHECK(outcome.passed.size() == (size < header_bytes + 2 ? 0 : size));
    CHECK(outcome.facts.close_code == 0);  // Until it has passed whole.
  }
  CHECK(scan_any_cut(bytes, rules).facts ==
        Facts{.frames = 1, .has_close = true, .close_code = 1000});
}

TEST_CASE("what is held is at most kHeldMax bytes, and can be so many", "[protocol]") {
  FrameScan scan({.strictness = Strictness::lenient, .is_masked = true});
  const std::string bytes = frame_of(kFinClose, "\x03\xe8", true, 8);
  for (const char byte : bytes) feed_piece(scan, std::string_view(&byte, 1));
  CHECK(scan.held_max() == FrameScanner::kHeldMax);
  CHECK(scan.outcome().passed == bytes);
}

TEST_CASE("an empty piece says nothing", "[protocol]") {
  FrameScanner scanner;
  const auto result = scanner.scan({}, {.strictness = Strictness::strict});
  CHECK(result.passed == 0);
  CHECK(result.skip == 0);
  CHECK(result.stop == FrameScanner::Stop::end);
}

TEST_CASE("after a length that is lost all goes on unjudged", "[protocol]") {
  const std::string good = frame_of(kFinText, "x");
  const std::string lost = "\x82\x7f\x80\0\0\0\0\0\0\0"s;
  const auto outcome = scan_any_cut(good + lost + "\xff\xff\x88\x01"s, {});
  CHECK(outcome.passed == good + lost + "\xff\xff\x88\x01"s);
  CHECK(outcome.facts == Facts{.frames = 1, .messages = 1, .at_boundary = false, .is_lost = true});
  CHECK(outcome.payload_left == 0);
  CHECK(outcome.broken == FrameRule::length_too_large);
  CHECK(outcome.violations == 1);
}

TEST_CASE("the bytes of control frames are counted as they pass, and pings", "[protocol]") {
  const bool masked = GENERATE(false, true);
  const std::string ping = frame_of(kFinPing, "ping", masked);
  const std::string pong = frame_of(kFinPong, "", masked);
  const std::string close = close_frame(1001, "", masked);
  const std::string text = frame_of(kFinText, "text", masked);
  const auto outcome = scan_any_cut(text + ping + text + ping + pong + close + text + ping,
                                    {.strictness = Strictness::strict, .is_masked = masked});
  CHECK(outcome.pings == 3);
  CHECK(outcome.control_bytes == 3 * ping.size() + pong.size() + close.size());
  CHECK(outcome.violations == 0);

  const auto part = scan_any_cut(ping.substr(0, ping.size() - 1), {.is_masked = masked});
  CHECK(part.pings == 0);
  CHECK(part.control_bytes == ping.size() - 1);
}

// Pongs to our own pings

namespace {

constexpr std::string_view kTagText{"\x00\x01 tag\x8a\xff", 8};

PingTag ping_tag() {
  PingTag tag;
  static_assert(kTagText.size() == sizeof(tag));
  std::transform(kTagText.begin(), kTagText.end(), tag.begin(),
                 [](char c) { return static_cast<std::byte>(c); });
  return tag;
}

}  // namespace

TEST_CASE("our own pong is taken out between any frames, cut anywhere", "[protocol]") {
  const bool masked = GENERATE(false, true);
  const auto strictness = GENERATE(Strictness::lenient, Strictness::strict);
  const FrameRules rules{.strictness = strictness, .is_masked = masked};
  const PingTag tag = ping_tag();
  const std::string own = frame_of(kFinPong, kTagText, masked);
  const std::string ping = frame_of(kFinPing, "p", masked);
  const std::string text = frame_of(kFinText, "Hello", masked);
  const std::string begin = frame_of(kText, "Hel", masked);
  const std::string end = frame_of(kFinContinuation, "lo", masked);

  const auto outcome =
      scan_any_cut(own + text + own + ping + begin + own + own + end + own, rules, &tag);
  CHECK(outcome.passed == text + ping + begin + end);
  CHECK(outcome.own_pongs == 5);
  CHECK(outcome.facts == Facts{.frames = 4, .messages = 2});
  CHECK(outcome.control_bytes == ping.size());
  CHECK(outcome.violations == 0);
  CHECK_FALSE(outcome.is_refused);

  for (std::size_t size = 1; size < own.size(); ++size) {
    const auto part = scan_any_cut(text + own.substr(0, size), rules, &tag);
    CHECK(part.passed == text);
    CHECK(part.own_pongs == 0);
  }
}

TEST_CASE("pongs that are not our own pass", "[protocol]") {
  const bool masked = GENERATE(false, true);
  const PingTag tag = ping_tag();
  const std::string tag_text(kTagText);
  for (std::size_t i = 0; i < tag_text.size(); ++i) {
    std::string other = tag_text;
    other[i] = static_cast<char>(other[i] ^ 0x20);
    const std::string bytes = frame_of(kFinPong, other, masked);
    const auto outcome = scan_any_cut(bytes, {.is_masked = masked}, &tag);
    CHECK(outcome.passed == bytes);
    CHECK(outcome.own_pongs == 0);
    CHECK(outcome.facts == Facts{.frames = 1});
    CHECK(outcome.control_bytes == bytes.size());
  }
  for (const std::string& payload :
       {""s, tag_text.substr(1), tag_text.substr(0, 7), tag_text + "!", tag_text + tag_text}) {
    const std::string bytes = frame_of(kFinPong, payload, masked);
    CHECK(scan_any_cut(bytes, {.is_masked = masked}, &tag).passed == bytes);
  }
  // A ping with the tag is a ping; a pong in a form that no one answers with is not ours.
  for (const std::string& bytes :
       {frame_of(kFinPing, tag_text, masked), frame_of(kPong, tag_text, masked),
        frame_of(kFinPong | kRsv1, tag_text, masked), frame_of(kFinPong, tag_text, masked, 2),
        frame_of(kFinPong, tag_text, masked, 8)}) {
    CHECK(scan_any_cut(bytes, {.is_masked = masked}, &tag).passed == bytes);
  }
}

TEST_CASE("without a tag no pong is ours, and none is held", "[protocol]") {
  const std::string bytes = frame_of(kFinPong, kTagText);
  CHECK(scan_any_cut(bytes, {}).passed == bytes);
  CHECK(scan_any_cut(bytes.substr(0, 4), {}).passed == bytes.substr(0, 4));
}

TEST_CASE("a pong that is masked wrongly is refused before it is ours (RFC 6455 5.1)",
          "[protocol]") {
  const bool masked = GENERATE(false, true);
  const PingTag tag = ping_tag();
  const std::string text = frame_of(kFinText, "x", masked);
  const std::string own = frame_of(kFinPong, kTagText, !masked);
  const auto strict =
      scan_any_cut(text + own, {.strictness = Strictness::strict, .is_masked = masked}, &tag);
  CHECK(strict.is_refused);
  CHECK(strict.broken == FrameRule::masking);
  CHECK(strict.passed == text);
  CHECK(strict.own_pongs == 0);

  const auto lenient = scan_any_cut(text + own, {.is_masked = masked}, &tag);
  CHECK(lenient.passed == text);
  CHECK(lenient.own_pongs == 1);
  CHECK(lenient.violations == 0);
}

TEST_CASE("valid frames with our own pongs between them, in pieces of any size", "[protocol]") {
  const auto seed = GENERATE(range(1u, 41u));
  CAPTURE(seed);
  std::mt19937 random(seed);
  const auto below = [&random](std::size_t limit) { return random() % limit; };
  const bool masked = below(2) == 0;
  const bool deflate = below(2) == 0;
  const PingTag tag = ping_tag();
  // Strict, so that a false violation would show.
  const FrameRules rules{
      .strictness = Strictness::strict, .is_masked = masked, .allows_deflate = deflate};

  std::string bytes;
  ScanOutcome expected;
  bool in_message = false;
  for (int i = 0; i < 400; ++i) {
    const std::size_t kind = below(8);
    if (kind == 0) {
      bytes += frame_of(kFinPong, kTagText, masked);
      ++expected.own_pongs;
      continue;
    }
    std::string frame;
    if (kind <= 3) {
      const std::string payload(below(10) == 0 ? 125 : 2 + below(12), 'c');
      if (kind == 3 && below(4) == 0) {
        frame = close_frame(3000 + static_cast<int>(below(2000)), payload.substr(2), masked);
        if (!expected.facts.has_close) {
          expected.facts.has_close = true;
          const auto code_at = frame.size() - payload.size();
          const int high = (frame[code_at] ^ (masked ? kKey[0] : 0)) & 0xff;
          const int low = (frame[code_at + 1] ^ (masked ? kKey[1] : 0)) & 0xff;
          expected.facts.close_code = high << 8 | low;
        }
      } else {
        frame = frame_of(kind == 1 ? kFinPing : kFinPong, payload, masked);
        if (kind == 1) ++expected.pings;
      }
      expected.control_bytes += frame.size();
    } else {
      const std::size_t limits[] = {1, 8, 126, 300, 70'000};
      const std::size_t length = below(limits[below(i % 100 == 0 ? 5 : 4)]);
      const bool is_last = kind <= 6;
      const int opcode =
          in_message ? kContinuation : (below(2) == 0 ? kText : kBinary) | (deflate ? kRsv1 : 0);
      frame = frame_of(opcode | (is_last ? kFin : 0), std::string(length, 'd'), masked);
      in_message = !is_last;
      if (is_last) ++expected.facts.messages;
    }
    ++expected.facts.frames;
    expected.passed += frame;
    bytes += frame;
  }

  const auto make = [&] { return FrameScan(rules, &tag); };
  // Strings as long as these are not for a report.
  CHECK((outcome_of_whole(bytes, make) == expected));
  CHECK((outcome_byte_by_byte(bytes, make) == expected));
  const std::size_t piece_max = 1 + below(seed % 2 == 0 ? 20 : 5000);
  FrameScan scan = make();
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t size = std::min(1 + below(piece_max), bytes.size() - at);
    feed_piece(scan, std::string_view(bytes).substr(at, size));
    at += size;
  }
  CHECK((scan.outcome() == expected));
}
