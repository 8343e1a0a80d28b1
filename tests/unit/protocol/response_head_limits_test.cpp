#include <string>

#include "protocol/response_head.h"
#include "response_head_reader.h"
#include "support/catch.h"

using namespace wsbalance::protocol;
using namespace wsbalance::test;

namespace {

const std::string kStatusLine = "HTTP/1.1 200 OK\r\n";

// A field line of so many bytes without its end.
std::string field_line(std::size_t size) { return "A: " + std::string(size - 3, 'b'); }

std::string repeated(const std::string& text, std::size_t count) {
  std::string all;
  for (std::size_t i = 0; i < count; ++i) all += text;
  return all;
}

}  // namespace

TEST_CASE("a line at its limit is taken, whatever its end", "[protocol]") {
  const HeadLimits limits{.line_bytes_max = 20};
  CHECK(read_head(kStatusLine + field_line(20) + "\r\n\r\n", limits).is_complete());
  CHECK(read_head(kStatusLine + field_line(20) + "\n\n", limits).is_complete());
  CHECK(read_head("HTTP/1.1 200 7890123\r\n\r\n", limits).is_complete());
}

TEST_CASE("a line one over its limit is refused, before its end has come", "[protocol]") {
  const HeadLimits limits{.line_bytes_max = 20};
  const std::string line_too_long = text_of(HandshakeError::line_too_long);
  const HeadOutcome head = read_head(kStatusLine + field_line(21), limits);
  CHECK(head.error == line_too_long);
  CHECK(head.taken == kStatusLine.size() + 21);
  CHECK(read_head(kStatusLine + field_line(20) + "\n" + field_line(21), limits).error ==
        line_too_long);
  CHECK(read_head("HTTP/1.1 200 78901234", limits).error == line_too_long);
}

TEST_CASE("as many fields as the limit are taken, one more is refused", "[protocol]") {
  const HeadLimits limits{.fields_max = 3};
  CHECK(read_head(kStatusLine + repeated("A: b\r\n", 3) + "\r\n", limits).is_complete());
  CHECK(read_head(kStatusLine + repeated("A: b\r\n", 4), limits).error ==
        text_of(HandshakeError::too_many_fields));
}

TEST_CASE("a head at its limit is taken, one over is refused", "[protocol]") {
  const std::string head = kStatusLine + repeated("A: b\r\n", 3) + "\r\n";
  CHECK(read_head(head, {.head_bytes_max = head.size()}).is_complete());
  CHECK(read_head(head + "more", {.head_bytes_max = head.size()}).is_complete());
  CHECK(read_head(head, {.head_bytes_max = head.size() - 1}).error ==
        text_of(HandshakeError::head_too_large));

  // Refused at the first byte over, not only at an end of line.
  const HeadOutcome open = read_head(kStatusLine + "A: bc", {.head_bytes_max = 21});
  CHECK(open.error == text_of(HandshakeError::head_too_large));
  CHECK(open.taken == 22);
}

TEST_CASE("the limits are 8 KB a line, 100 fields, 64 KB in all", "[protocol]") {
  const auto read = [](const std::string& bytes) { return outcome_of_whole(bytes, head_reader()); };
  CHECK(read(kStatusLine + field_line(8192) + "\r\n\r\n").is_complete());
  CHECK(read(kStatusLine + field_line(8193)).error == text_of(HandshakeError::line_too_long));

  CHECK(read(kStatusLine + repeated("A: b\r\n", 100) + "\r\n").fields.size() == 100);
  CHECK(read(kStatusLine + repeated("A: b\r\n", 101)).error ==
        text_of(HandshakeError::too_many_fields));

  const std::string eight_lines = repeated(field_line(8000) + "\r\n", 8);
  const std::size_t rest = 64 * 1024 - kStatusLine.size() - eight_lines.size() - 4;
  CHECK(read(kStatusLine + eight_lines + field_line(rest) + "\r\n\r\n").taken == 64 * 1024);
  CHECK(read(kStatusLine + eight_lines + field_line(rest) + "\r\n\r\n").is_complete());
  CHECK(read(kStatusLine + eight_lines + field_line(rest + 1) + "\r\n\r\n").error ==
        text_of(HandshakeError::head_too_large));
}

TEST_CASE("the largest head is read byte by byte as it is whole", "[protocol]") {
  // The time limit of the tests is passed if each byte costs a look at all before it.
  const std::string bytes = kStatusLine + repeated(field_line(650) + "\r\n", 100) + "\r\n";
  const HeadOutcome whole = outcome_of_whole(bytes, head_reader());
  CHECK(whole.is_complete());
  CHECK(whole.fields.size() == 100);
  const bool same = outcome_byte_by_byte(bytes, head_reader()) == whole;
  CHECK(same);
}
