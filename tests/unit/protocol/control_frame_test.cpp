#include "protocol/control_frame.h"

#include <cstring>
#include <string>
#include <string_view>

#include "frame_scan.h"
#include "support/catch.h"

using namespace wsbalance::protocol;
using namespace wsbalance::test;
using namespace std::string_literals;

namespace {

constexpr std::uint32_t kKeyNumber = 0x37fa213d;  // kKey.

std::string text_of(const ControlFrame& frame) {
  const auto bytes = frame.bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

PingTag tag_of(std::string_view text) {
  PingTag tag;
  REQUIRE(text.size() == tag.size());
  std::memcpy(tag.data(), text.data(), tag.size());
  return tag;
}

}  // namespace

TEST_CASE("a close frame to a client (RFC 6455 5.5.1)", "[protocol]") {
  CHECK(text_of(ControlFrame::close(1000, "", nullptr)) == "\x88\x02\x03\xe8"s);
  CHECK(text_of(ControlFrame::close(4001, "bye", nullptr)) ==
        "\x88\x05\x0f\xa1"
        "bye"s);
}

TEST_CASE("a close frame to a member is masked (RFC 6455 5.3)", "[protocol]") {
  CHECK(text_of(ControlFrame::close(1000, "", &kKeyNumber)) == "\x88\x82\x37\xfa\x21\x3d\x34\x12"s);
  CHECK(text_of(ControlFrame::close(1001, "going", &kKeyNumber)) ==
        close_frame(1001, "going", true));
  const std::uint32_t zero = 0;  // A key as good as any other.
  CHECK(text_of(ControlFrame::close(1000, "x", &zero)) == "\x88\x83\0\0\0\0\x03\xe8x"s);
}

TEST_CASE("a reason that is too long for a control frame is cut (RFC 6455 5.5)", "[protocol]") {
  const bool masked = GENERATE(false, true);
  const std::string reason(200, 'r');
  for (const std::size_t size : {0u, 1u, 122u, 123u, 124u, 200u}) {
    CAPTURE(masked, size);
    const auto frame =
        ControlFrame::close(1011, reason.substr(0, size), masked ? &kKeyNumber : nullptr);
    CHECK(text_of(frame) ==
          close_frame(1011, reason.substr(0, std::min<std::size_t>(size, 123)), masked));
  }
}

TEST_CASE("a ping carries its tag (RFC 6455 5.5.2)", "[protocol]") {
  const bool masked = GENERATE(false, true);
  const std::string tag = "\x00\xff tag!\x80"s;
  CHECK(text_of(ControlFrame::ping(tag_of(tag), masked ? &kKeyNumber : nullptr)) ==
        frame_of(kFinPing, tag, masked));
}

TEST_CASE("our own frames keep all rules", "[protocol]") {
  const bool masked = GENERATE(false, true);
  const std::uint32_t* const mask = masked ? &kKeyNumber : nullptr;
  const std::string bytes = text_of(ControlFrame::ping(tag_of("01234567"), mask)) +
                            text_of(ControlFrame::close(1001, "the server goes", mask));
  const auto outcome = scan_any_cut(bytes, {.strictness = Strictness::strict, .is_masked = masked});
  CHECK(outcome.passed == bytes);
  CHECK(outcome.violations == 0);
  CHECK(outcome.facts == FrameFacts{.frames = 2, .has_close = true, .close_code = 1001});
}
