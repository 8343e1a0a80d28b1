#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "frame_scan.h"
#include "support/catch.h"

using namespace wsbalance::protocol;
using namespace wsbalance::test;
using namespace std::string_literals;

namespace {

FrameRules with(FrameRules rules, Strictness strictness) {
  rules.strictness = strictness;
  return rules;
}

unsigned bits(const std::vector<FrameRule>& rules) {
  unsigned set = 0;
  for (const FrameRule rule : rules) set |= rule_bit(rule);
  return set;
}

// The frame `bad` behind `before`, which keeps the rules, as `behind` does behind both, breaks
// these rules, the first of which names it: strict it is refused, lenient noted.
void check_breaks(const std::vector<FrameRule>& broken, const FrameRules& rules,
                  const std::string& before, const std::string& bad, const std::string& behind) {
  const std::string bytes = before + bad + behind;
  const auto good = scan_any_cut(before, with(rules, Strictness::strict));
  CHECK(good.passed == before);
  CHECK(good.violations == 0);
  CHECK_FALSE(good.is_refused);

  const auto strict = scan_any_cut(bytes, with(rules, Strictness::strict));
  CHECK(strict.is_refused);
  CHECK(strict.passed == before);
  CHECK(strict.facts.frames == good.facts.frames);
  CHECK(strict.facts.messages == good.facts.messages);
  CHECK_FALSE(strict.facts.is_lost);
  CHECK(strict.control_bytes == good.control_bytes);
  CHECK(strict.broken == broken.front());
  CHECK((strict.broken_rules & rule_bit(broken.front())) != 0);
  CHECK(strict.violations == 1);

  const auto lenient = scan_any_cut(bytes, with(rules, Strictness::lenient));
  CHECK_FALSE(lenient.is_refused);
  CHECK(lenient.passed == bytes);
  CHECK(lenient.broken == broken.front());
  CHECK(lenient.broken_rules == bits(broken));
  CHECK(lenient.violations == 1);
}

void check_breaks(FrameRule broken, const FrameRules& rules, const std::string& bad) {
  const std::string good = frame_of(kFinText, "good", rules.is_masked);
  check_breaks({broken}, rules, good, bad, good);
}

void check_keeps(const FrameRules& rules, const std::string& bytes) {
  for (const auto strictness : {Strictness::strict, Strictness::lenient}) {
    const auto outcome = scan_any_cut(bytes, with(rules, strictness));
    CHECK(outcome.passed == bytes);
    CHECK(outcome.violations == 0);
    CHECK(outcome.broken == FrameRule::none);
    CHECK(outcome.broken_rules == 0);
    CHECK_FALSE(outcome.is_refused);
  }
}

// A limit of ours refuses, however strict it is.
void check_limit(FrameRule broken, const FrameRules& rules, const std::string& before,
                 const std::string& bad) {
  for (const auto strictness : {Strictness::strict, Strictness::lenient}) {
    const auto outcome = scan_any_cut(before + bad, with(rules, strictness));
    CHECK(outcome.is_refused);
    CHECK(outcome.passed == before);
    CHECK(outcome.broken == broken);
    CHECK((outcome.broken_rules & rule_bit(broken)) != 0);
    CHECK(outcome.violations == 1);
  }
}

}  // namespace

TEST_CASE("RFC 6455 5.1: a client's frames are masked, a member's are not", "[protocol]") {
  const bool masked = GENERATE(false, true);
  const FrameRules rules{.is_masked = masked};
  for (const int first_byte : {kFinText, kFinBinary, kFinPing, kFinPong, kFinClose, kText}) {
    CAPTURE(masked, first_byte);
    const std::string behind =
        first_byte == kText ? frame_of(kFinContinuation, "", masked) : std::string();
    for (const std::string& payload : {""s, "\x03\xe8"s}) {
      check_breaks({FrameRule::masking}, rules, "", frame_of(first_byte, payload, !masked), behind);
      check_keeps(rules, frame_of(first_byte, payload, masked) + behind);
    }
  }
  check_breaks(FrameRule::masking, rules, frame_of(kFinText, std::string(300, 'x'), !masked));
}

TEST_CASE("RFC 6455 5.2: reserved opcodes", "[protocol]") {
  const bool masked = GENERATE(false, true);
  for (const int opcode : {3, 4, 5, 6, 7, 11, 12, 13, 14, 15}) {
    CAPTURE(masked, opcode);
    const std::string bad = frame_of(kFin | opcode, "bad", masked);
    check_breaks(FrameRule::reserved_opcode, {.is_masked = masked}, bad);
    check_breaks(FrameRule::reserved_opcode, {.is_masked = masked, .allows_deflate = true}, bad);
    check_keeps({.is_masked = masked, .allows_any_extension = true}, bad);
  }
}

TEST_CASE("RFC 6455 5.2: reserved bits", "[protocol]") {
  const bool masked = GENERATE(false, true);
  for (const int reserved : {0x10, 0x20, 0x40, 0x50, 0x70}) {
    for (const int first_byte : {kFinText, kFinBinary, kFinPing, kFinPong}) {
      CAPTURE(masked, reserved, first_byte);
      const std::string bad = frame_of(first_byte | reserved, "bad", masked);
      check_breaks(FrameRule::reserved_bits, {.is_masked = masked}, bad);
      check_keeps({.is_masked = masked, .allows_any_extension = true}, bad);
      check_keeps({.is_masked = masked, .allows_deflate = true, .allows_any_extension = true}, bad);
    }
  }
}

TEST_CASE("RFC 7692 6.1: RSV1 on the first frame of a message, and nowhere else", "[protocol]") {
  const bool masked = GENERATE(false, true);
  const FrameRules rules{.is_masked = masked, .allows_deflate = true};
  const std::string last = frame_of(kFinContinuation, "t", masked);
  for (const int opcode : {kText, kBinary}) {
    const std::string whole = frame_of(kFin | kRsv1 | opcode, "whole", masked);
    const std::string first = frame_of(kRsv1 | opcode, "firs", masked);
    const std::string between = frame_of(kFinPing, "p", masked);
    check_keeps(rules, whole + first + between + last + whole + frame_of(kFinText, "", masked));
    check_breaks({FrameRule::reserved_bits}, rules, first,
                 frame_of(kFinContinuation | kRsv1, "t", masked), whole);
    check_breaks({FrameRule::reserved_bits}, rules, first, frame_of(kRsv1, "t", masked), last);
    check_breaks(FrameRule::reserved_bits, rules,
                 frame_of(kFin | kRsv1 | 0x20 | opcode, "x", masked));
  }
  for (const int first_byte : {kFinPing, kFinPong, kFinClose}) {
    check_breaks(FrameRule::reserved_bits, rules, frame_of(first_byte | kRsv1, "", masked));
  }
}

TEST_CASE("RFC 6455 5.2: a length takes no more bytes than it needs", "[protocol]") {
  const bool masked = GENERATE(false, true);
  const FrameRules rules{.is_masked = masked};
  for (const std::size_t length : {0u, 1u, 125u}) {
    for (const int length_bytes : {2, 8}) {
      CAPTURE(masked, length, length_bytes);
      check_breaks(FrameRule::length_encoding, rules,
                   frame_of(kFinText, std::string(length, 'x'), masked, length_bytes));
    }
  }
  check_breaks(FrameRule::length_encoding, rules,
               frame_of(kFinBinary, std::string(126, 'x'), masked, 8));
  check_keeps(rules, frame_of(kFinText, std::string(125, 'x'), masked, 0));
  check_keeps(rules, frame_of(kFinText, std::string(126, 'x'), masked, 2));

  // The header tells; so long a payload need not come.
  const auto strict = with(rules, Strictness::strict);
  CHECK(scan_any_cut(frame_header(kFinText, 65'535, masked, 8), strict).is_refused);
  CHECK_FALSE(scan_any_cut(frame_header(kFinText, 65'535, masked, 2), strict).is_refused);
  CHECK_FALSE(scan_any_cut(frame_header(kFinText, 65'536, masked, 8), strict).is_refused);
}

TEST_CASE("RFC 6455 5.2: no length of 2^63 or above", "[protocol]") {
  const bool masked = GENERATE(false, true);
  const FrameRules rules{.is_masked = masked};
  for (const std::uint64_t length : {std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
    check_breaks(FrameRule::length_too_large, rules, frame_header(kFinBinary, length, masked));
    check_breaks({FrameRule::length_too_large, FrameRule::control_length}, rules, "",
                 frame_header(kFinClose, length, masked), "");
  }
  const std::string largest = frame_header(kFinBinary, ~std::uint64_t{0} >> 1, masked);
  check_keeps(rules, largest);
}

TEST_CASE("RFC 6455 5.5: a control frame has at most 125 bytes", "[protocol]") {
  const bool masked = GENERATE(false, true);
  const FrameRules rules{.is_masked = masked};
  for (const int first_byte : {kFinPing, kFinPong}) {
    check_keeps(rules, frame_of(first_byte, std::string(125, 'x'), masked));
    check_breaks(FrameRule::control_length, rules,
                 frame_of(first_byte, std::string(126, 'x'), masked));
  }
  check_breaks(FrameRule::control_length, rules, close_frame(1000, std::string(124, 'x'), masked));
  // A longer form of a length breaks it whatever the length.
  check_breaks({FrameRule::length_encoding, FrameRule::control_length}, rules, "",
               frame_of(kFinPing, "x", masked, 2), "");
}

TEST_CASE("RFC 6455 5.5: a control frame is not fragmented", "[protocol]") {
  const bool masked = GENERATE(false, true);
  const FrameRules rules{.is_masked = masked};
  for (const int opcode : {kPing, kPong, kClose}) {
    check_breaks(FrameRule::control_fragmented, rules, frame_of(opcode, "", masked));
  }
  // What no rule can know of an unknown control frame holds for it too.
  check_breaks({FrameRule::control_fragmented}, {.is_masked = masked, .allows_any_extension = true},
               "", frame_of(0x0b, "", masked), "");
}

TEST_CASE("RFC 6455 5.4: continuations stand inside messages, beginnings outside", "[protocol]") {
  const bool masked = GENERATE(false, true);
  const FrameRules rules{.is_masked = masked};
  const std::string first = frame_of(kText, "a", masked);
  const std::string middle = frame_of(kContinuation, "b", masked);
  const std::string last = frame_of(kFinContinuation, "c", masked);
  const std::string ping = frame_of(kFinPing, "", masked);
  const std::string whole = frame_of(kFinBinary, "whole", masked);

  check_keeps(rules, whole + first + ping + middle + ping + middle + last + whole + first + last);
  check_breaks({FrameRule::continuation}, rules, "", last, whole);
  check_breaks({FrameRule::continuation}, rules, whole, last, whole);
  check_breaks({FrameRule::continuation}, rules, first + ping + last, last, whole);
  check_breaks({FrameRule::continuation}, rules, first + ping, whole, whole);
  check_breaks({FrameRule::continuation}, rules, first + middle, first, last + whole);
  // A continuation of nothing is followed as the begin of a message.
  check_breaks({FrameRule::continuation}, rules, whole, middle, last + whole);
}

TEST_CASE("RFC 6455 5.4: frames out of their place are followed on, and each is counted",
          "[protocol]") {
  const auto outcome = scan_any_cut(
      frame_of(kFinContinuation, "1") + frame_of(kFinContinuation, "2") + frame_of(kText, "") +
          frame_of(kBinary, "3") + frame_of(kFinText, "4") + frame_of(kFinText, "") +
          frame_of(kContinuation, "5") + close_frame(1000, "", false),
      {});
  CHECK(outcome.violations == 5);
  CHECK(outcome.broken_rules == rule_bit(FrameRule::continuation));
  CHECK(outcome.facts ==
        FrameFacts{.frames = 8, .messages = 4, .has_close = true, .close_code = 1000});
}

TEST_CASE("RFC 6455 5.4: frames of an extension stand anywhere between data frames", "[protocol]") {
  const bool masked = GENERATE(false, true);
  const std::string other = frame_of(kFin | 3, "other", masked);
  check_keeps({.is_masked = masked, .allows_any_extension = true},
              other + frame_of(kText, "a", masked) + other +
                  frame_of(kFinContinuation, "b", masked) + other);
}

TEST_CASE("RFC 6455 5.5.1: a close frame has no payload, or a status code", "[protocol]") {
  const bool masked = GENERATE(false, true);
  const FrameRules rules{.is_masked = masked};
  check_keeps(rules, frame_of(kFinClose, "", masked));
  check_keeps(rules, close_frame(1000, "", masked));
  check_keeps(rules, close_frame(1000, std::string(123, 'x'), masked));
  check_breaks(FrameRule::close_payload, rules, frame_of(kFinClose, "\x03", masked));
}

TEST_CASE("RFC 6455 7.4: a close frame has a status code that may be sent", "[protocol]") {
  const bool masked = GENERATE(false, true);
  const FrameRules rules{.is_masked = masked};
  for (const int code : {0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535}) {
    CAPTURE(masked, code);
    check_breaks(FrameRule::close_code, rules, close_frame(code, "", masked));
    check_breaks(FrameRule::close_code, rules, close_frame(code, "bye", masked));
  }
  for (const int code : {1000, 1003, 1007, 1014, 3000, 4999}) {
    CAPTURE(masked, code);
    check_keeps(rules, close_frame(code, "", masked));
  }
}

TEST_CASE("what follows a close frame is judged as before", "[protocol]") {
  const bool masked = GENERATE(false, true);
  const FrameRules rules{.is_masked = masked};
  const std::string close = close_frame(1000, "", masked);
  check_keeps(rules, close + frame_of(kFinText, "x", masked) + close);
  check_breaks({FrameRule::masking}, rules, close, frame_of(kFinText, "x", !masked), close);
}

TEST_CASE("WSBalanceMaxFrame: a data frame above the limit", "[protocol]") {
  const bool masked = GENERATE(false, true);
  const std::uint64_t limit = GENERATE(0u, 10u, 125u, 126u, 200u);
  const FrameRules rules{.is_masked = masked, .frame_bytes_max = limit};
  const std::string largest = frame_of(kFinText, std::string(limit, 'x'), masked);
  const std::string beyond(limit + 1, 'x');
  CAPTURE(masked, limit);
  check_keeps(rules, largest + largest);
  check_limit(FrameRule::frame_size, rules, largest, frame_of(kFinText, beyond, masked));
  check_limit(FrameRule::frame_size, rules, largest, frame_of(kBinary, beyond, masked));
  check_limit(FrameRule::frame_size, rules, frame_of(kText, "", masked),
              frame_of(kFinContinuation, beyond, masked));
  check_limit(FrameRule::frame_size, rules, "", frame_header(kFinBinary, limit + 1, masked));
  // Control frames have a limit of their own (RFC 6455 5.5).
  check_keeps(rules, frame_of(kFinPing, std::string(125, 'x'), masked));
}

TEST_CASE("WSBalanceMaxMessage: a message above the limit", "[protocol]") {
  const bool masked = GENERATE(false, true);
  const FrameRules rules{.is_masked = masked, .message_bytes_max = 10};
  const std::string ping = frame_of(kFinPing, "a ping is no part of it", masked);
  const auto text = [&](std::size_t size) {
    return frame_of(kText, std::string(size, 't'), masked);
  };
  const auto more = [&](std::size_t size) {
    return frame_of(kContinuation, std::string(size, 'm'), masked);
  };
  const auto last = [&](std::size_t size) {
    return frame_of(kFinContinuation, std::string(size, 'l'), masked);
  };
  const auto whole = [&](std::size_t size) {
    return frame_of(kFinBinary, std::string(size, 'w'), masked);
  };
  check_keeps(rules, whole(10) + text(5) + ping + more(4) + last(1) + whole(10) + text(10) +
                         more(0) + last(0) + whole(10));
  check_limit(FrameRule::message_size, rules, whole(10), whole(11));
  check_limit(FrameRule::message_size, rules, whole(10), text(11));
  check_limit(FrameRule::message_size, rules, whole(1) + text(5) + ping, last(6));
  check_limit(FrameRule::message_size, rules, text(5) + more(5), more(1));
  check_limit(FrameRule::message_size, rules, text(5) + last(5) + text(5), last(6));

  // Following survives frames out of their place, and so does the limit.
  const auto outcome = scan_any_cut(text(9) + text(9) + more(1) + whole(9) + last(10), rules);
  CHECK_FALSE(outcome.is_refused);
  CHECK(outcome.violations == 3);
  CHECK(scan_any_cut(text(9) + text(9) + more(2), rules).broken == FrameRule::message_size);
  CHECK(scan_any_cut(more(9) + last(2), rules).broken == FrameRule::message_size);
}

TEST_CASE("the limits hold for frames of unknown extensions", "[protocol]") {
  const std::string eleven(11, 'x');
  const FrameRules frame{.allows_any_extension = true, .frame_bytes_max = 10};
  const FrameRules message{.allows_any_extension = true, .message_bytes_max = 10};
  check_keeps(frame, frame_of(kFin | 3, eleven.substr(1)));
  check_limit(FrameRule::frame_size, frame, "", frame_of(kFin | 3, eleven));
  check_limit(FrameRule::message_size, message, "", frame_of(kFin | 3, eleven));
  // They are no part of the message that they stand in.
  check_keeps(message, frame_of(kText, "12345") + frame_of(kFin | 3, "1234567890") +
                           frame_of(kFinContinuation, "67890"));
}

TEST_CASE("a length that cannot be followed is above every limit", "[protocol]") {
  const std::string good = frame_of(kFinText, "");
  for (const int first_byte : {kFinText, kFinContinuation, kFinPing, kFinClose, kFin | 3}) {
    CAPTURE(first_byte);
    const std::string bad = frame_header(first_byte, std::uint64_t{1} << 63) + "what follows";
    const auto by_frame = scan_any_cut(good + bad, {.frame_bytes_max = 1u << 20});
    CHECK(by_frame.is_refused);
    CHECK(by_frame.passed == good);
    CHECK(by_frame.broken == FrameRule::frame_size);
    const auto by_message = scan_any_cut(good + bad, {.message_bytes_max = 1u << 20});
    CHECK(by_message.is_refused);
    CHECK(by_message.broken == FrameRule::message_size);
  }
}

TEST_CASE("lengths that add up beyond 64 bits are above the limit", "[protocol]") {
  FrameScanner scanner;
  // Nobody sends so much, but the sum must not begin at 0 again.
  const std::uint64_t largest = ~std::uint64_t{0} >> 1;
  const FrameRules rules{.message_bytes_max = largest};
  const auto scan = [&](std::string_view bytes) {
    return scanner.scan(std::as_bytes(std::span(bytes)), rules);
  };
  CHECK(scan(frame_header(kText, 1) + "x").stop == FrameScanner::Stop::end);
  CHECK(scan(frame_header(kFinContinuation, ~std::uint64_t{0})).stop ==
        FrameScanner::Stop::refused);
  CHECK(scanner.broken() == FrameRule::message_size);
}

TEST_CASE("a frame that breaks several rules is named by the first of them", "[protocol]") {
  using enum FrameRule;
  check_breaks({masking, reserved_opcode, reserved_bits, length_encoding, control_length,
                control_fragmented},
               {.is_masked = true}, "", frame_of(0x7b, "x", false, 2), "");
  check_breaks({reserved_bits, continuation}, {}, "", frame_of(0xc0, "x"), "");
  // Strict, a limit comes last; lenient, it is what refuses.
  const std::string bytes = frame_of(0xc1, "xx");
  const FrameRules rules{.frame_bytes_max = 1, .message_bytes_max = 1};
  const auto strict = scan_any_cut(bytes, with(rules, Strictness::strict));
  CHECK(strict.broken == reserved_bits);
  const auto lenient = scan_any_cut(bytes, with(rules, Strictness::lenient));
  CHECK(lenient.is_refused);
  CHECK(lenient.broken == frame_size);
  CHECK(lenient.broken_rules == bits({reserved_bits, frame_size, message_size}));
  CHECK(lenient.violations == 1);
}

TEST_CASE("a lenient scanner counts frames that break a rule, and knows all rules and the last",
          "[protocol]") {
  const auto outcome = scan_any_cut(frame_of(0x83, "") + frame_of(kFinText, "") +
                                        frame_of(0xb9, "") + close_frame(1005, "", false),
                                    {});
  CHECK(outcome.violations == 3);
  CHECK(outcome.broken == FrameRule::close_code);
  CHECK(outcome.broken_rules ==
        bits({FrameRule::reserved_opcode, FrameRule::reserved_bits, FrameRule::close_code}));
}

TEST_CASE("nothing goes on after a refusal", "[protocol]") {
  FrameScan scan({.strictness = Strictness::strict});
  feed_piece(scan, frame_of(kFinText, "x") + frame_of(kFinText, "x", true));
  const auto before = scan.outcome();
  CHECK(before.is_refused);
  feed_piece(scan, frame_of(kFinText, "x"));
  const auto after = scan.outcome();
  CHECK(after.passed == before.passed);
  CHECK(after.facts.frames == 1);
  CHECK(after.violations == 1);
}
