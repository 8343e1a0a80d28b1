#include "protocol/handshake_error.h"

#include <set>
#include <string>

#include "support/catch.h"

using namespace wsbalance::protocol;

namespace {

constexpr auto kLast = static_cast<int>(HandshakeError::answer_hop_by_hop_handshake);

std::string log_id(HandshakeError error) { return rule_of(error).log_id; }

}  // namespace

TEST_CASE("every error has exactly one row in the table of rules", "[protocol]") {
  REQUIRE(handshake_rules().size() == kLast + 1);
  for (int i = 0; i <= kLast; ++i) {
    const auto error = static_cast<HandshakeError>(i);
    CAPTURE(i);
    CHECK(rule_of(error).error == error);
    CHECK(&rule_of(error) == &handshake_rules()[static_cast<std::size_t>(i)]);
  }
}

TEST_CASE("no error is no refusal", "[protocol]") {
  CHECK(rule_of(HandshakeError::none).status == 101);
  CHECK(log_id(HandshakeError::none).empty());
}

TEST_CASE("a rule has a log id of its own, a text and a reference", "[protocol]") {
  std::set<std::string> ids;
  std::set<std::string> texts;
  for (const HandshakeRule& rule : handshake_rules()) {
    CAPTURE(rule.text);
    CHECK(ids.insert(rule.log_id).second);
    CHECK(texts.insert(rule.text).second);
    CHECK(std::string(rule.reference).starts_with("RFC "));
  }
}

TEST_CASE("log ids count on within each group of rules", "[protocol]") {
  int expected = 0;
  for (const HandshakeRule& rule : handshake_rules().subspan(1)) {
    if (rule.error == HandshakeError::method_not_get) expected = 101;
    if (rule.error == HandshakeError::head_truncated) expected = 121;
    if (rule.error == HandshakeError::answer_not_http_1_1) expected = 141;
    CHECK(rule.log_id == "WSB0" + std::to_string(expected++));
  }
  CHECK(log_id(HandshakeError::hop_by_hop_handshake) == "WSB0108");
  CHECK(log_id(HandshakeError::too_many_interim_answers) == "WSB0129");
  CHECK(log_id(HandshakeError::answer_hop_by_hop_handshake) == "WSB0148");
}

TEST_CASE("a wrong version is 426, another wrong request 400, a wrong answer 502", "[protocol]") {
  for (const HandshakeRule& rule : handshake_rules().subspan(1)) {
    CAPTURE(rule.text);
    if (rule.error == HandshakeError::version_missing ||
        rule.error == HandshakeError::version_unsupported) {
      CHECK(rule.status == 426);
    } else if (rule.error < HandshakeError::head_truncated) {
      CHECK(rule.status == 400);
    } else {
      CHECK(rule.status == 502);
    }
  }
}
