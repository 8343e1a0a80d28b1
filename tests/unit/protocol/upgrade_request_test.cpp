#include "protocol/upgrade_request.h"

#include <string>
#include <vector>

#include "support/catch.h"
#include "unit/protocol/good_fields.h"

using namespace wsbalance::protocol;
using wsbalance::test::FieldList;
using wsbalance::test::GoodFields;

namespace {

// The request of RFC 6455 1.3.
const GoodFields kGood{{{"Host", "server.example.com"},
                        {"Upgrade", "websocket"},
                        {"Connection", "Upgrade"},
                        {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="},
                        {"Sec-WebSocket-Version", "13"}}};

bool is_upgrade(const FieldList& fields, int major = 1, int minor = 1) {
  return is_websocket_upgrade({"GET", major, minor, fields});
}

std::string broken_rule(const FieldList& fields, std::string_view method = "GET") {
  return rule_of(check_request({method, 1, 1, fields})).text;
}

std::string text_of(HandshakeError error) { return rule_of(error).text; }

}  // namespace

TEST_CASE("the request of RFC 6455 1.3 is an upgrade that keeps the rules", "[protocol]") {
  CHECK(is_upgrade(kGood.all));
  CHECK(broken_rule(kGood.all) == text_of(HandshakeError::none));
}

TEST_CASE("an upgrade has the tokens of RFC 6455 4.2.1 in lists and in any case", "[protocol]") {
  CHECK(is_upgrade(kGood.with_changed("Upgrade", "WebSocket")));
  CHECK(is_upgrade(kGood.with_changed("Upgrade", "h2c, websocket")));
  CHECK(is_upgrade(kGood.with_changed("Connection", "keep-alive, UPGRADE")));
  CHECK(is_upgrade({{"upgrade", "h2c"},
                    {"UPGRADE", "websocket"},
                    {"connection", "keep-alive"},
                    {"Connection", "upgrade"}}));
}

TEST_CASE("a request without one of the tokens is no upgrade", "[protocol]") {
  CHECK_FALSE(is_upgrade(kGood.without("Upgrade")));
  CHECK_FALSE(is_upgrade(kGood.without("Connection")));
  CHECK_FALSE(is_upgrade(kGood.with_changed("Upgrade", "websockets")));
  CHECK_FALSE(is_upgrade(kGood.with_changed("Upgrade", "h2c")));
  CHECK_FALSE(is_upgrade(kGood.with_changed("Upgrade", "x websocket")));
  CHECK_FALSE(is_upgrade(kGood.with_changed("Connection", "keep-alive")));
  CHECK_FALSE(is_upgrade(kGood.with_changed("Connection", "")));
}

TEST_CASE("Upgrade in HTTP/1.0 is ignored (RFC 9110 7.8)", "[protocol]") {
  CHECK_FALSE(is_upgrade(kGood.all, 1, 0));
  CHECK_FALSE(is_upgrade(kGood.all, 0, 9));
  CHECK_FALSE(is_upgrade(kGood.all, 2, 0));
  CHECK_FALSE(is_upgrade(kGood.all, 2, 1));
}

TEST_CASE("a method other than GET is refused (RFC 6455 4.2.1 item 1)", "[protocol]") {
  for (const char* method : {"POST", "HEAD", "CONNECT", "get", "GETS", ""}) {
    CAPTURE(method);
    CHECK(broken_rule(kGood.all, method) == text_of(HandshakeError::method_not_get));
  }
}

TEST_CASE("a request that announces a body is refused", "[protocol]") {
  const std::string body_announced = text_of(HandshakeError::body_announced);
  for (const char* value : {"1", "00", "+0", "0, 0", "0,", "-1", "", "x", "0x0"}) {
    CAPTURE(value);
    CHECK(broken_rule(kGood.with({"Content-Length", value})) == body_announced);
  }
  CHECK(broken_rule(kGood.with({"content-length", "5"})) == body_announced);
  CHECK(broken_rule(kGood.with({"Transfer-Encoding", "chunked"})) == body_announced);
  CHECK(broken_rule(kGood.with({"transfer-encoding", "identity"})) == body_announced);
  CHECK(broken_rule(kGood.with({"Transfer-Encoding", ""})) == body_announced);

  FieldList two_zeros = kGood.with({"Content-Length", "0"});
  two_zeros.push_back({"Content-Length", "0"});
  CHECK(broken_rule(two_zeros) == body_announced);
}

TEST_CASE("Content-Length of 0 announces no body", "[protocol]") {
  CHECK(broken_rule(kGood.with({"Content-Length", "0"})) == text_of(HandshakeError::none));
}

TEST_CASE("a version that is missing is told from one that is not 13", "[protocol]") {
  CHECK(broken_rule(kGood.without("Sec-WebSocket-Version")) ==
        text_of(HandshakeError::version_missing));
  for (const char* value : {"8", "7", "14", "013", "13.0", "1 3", "13, 13", "13,8", "", "x"}) {
    CAPTURE(value);
    CHECK(broken_rule(kGood.with_changed("Sec-WebSocket-Version", value)) ==
          text_of(HandshakeError::version_unsupported));
  }
  // RFC 6455 11.3.5: not more than once in a request.
  CHECK(broken_rule(kGood.with({"Sec-WebSocket-Version", "13"})) ==
        text_of(HandshakeError::version_unsupported));
}

TEST_CASE("a key that is missing or repeated is refused (RFC 6455 11.3.1)", "[protocol]") {
  CHECK(broken_rule(kGood.without("Sec-WebSocket-Key")) == text_of(HandshakeError::key_missing));
  const std::string key_repeated = text_of(HandshakeError::key_repeated);
  CHECK(broken_rule(kGood.with({"sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="})) == key_repeated);
  // As httpd merges them.
  CHECK(broken_rule(kGood.with_changed("Sec-WebSocket-Key",
                                       "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==")) ==
        key_repeated);
}

TEST_CASE("a key that is not 16 bytes in base64 is refused", "[protocol]") {
  const std::string key_malformed = text_of(HandshakeError::key_malformed);
  for (const char* value : {"", "x", "dGhlIHNhbXBsZSBub25j", "dGhlIHNhbXBsZSBub25jZQ"}) {
    CAPTURE(value);
    CHECK(broken_rule(kGood.with_changed("Sec-WebSocket-Key", value)) == key_malformed);
  }
}

TEST_CASE("the first broken rule is named: method, body, key, version", "[protocol]") {
  FieldList fields{{"Content-Length", "5"}};
  CHECK(broken_rule(fields, "POST") == text_of(HandshakeError::method_not_get));
  CHECK(broken_rule(fields) == text_of(HandshakeError::body_announced));
  fields.clear();
  CHECK(broken_rule(fields) == text_of(HandshakeError::key_missing));
  fields.push_back({"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="});
  CHECK(broken_rule(fields) == text_of(HandshakeError::version_missing));
}

TEST_CASE("Connection may not name a field of the handshake (RFC 9110 7.6.1)", "[protocol]") {
  const std::string refused = text_of(HandshakeError::hop_by_hop_handshake);
  CHECK(broken_rule(kGood.with_changed("Connection", "Upgrade, Sec-WebSocket-Key")) == refused);
  CHECK(broken_rule(kGood.with_changed("Connection", "sec-websocket-protocol, upgrade")) ==
        refused);
  CHECK(broken_rule(kGood.with_changed("Connection", "Upgrade, Sec-WebSocketX")) ==
        text_of(HandshakeError::none));
}

TEST_CASE("a key of 16 bytes is one", "[protocol]") {
  CHECK(is_key("dGhlIHNhbXBsZSBub25jZQ=="));
  CHECK(is_key("AQIDBAUGBwgJCgsMDQ4PEC=="));  // RFC 6455 4.1, and bits that carry nothing are set.
  CHECK(is_key("AQIDBAUGBwgJCgsMDQ4PEA=="));
  CHECK(is_key("++++++////////abzABZ09=="));
}

TEST_CASE("a key of 15 or 17 bytes is refused", "[protocol]") {
  CHECK_FALSE(is_key("AQIDBAUGBwgJCgsMDQ4P"));
  CHECK_FALSE(is_key("AQIDBAUGBwgJCgsMDQ4PEBE="));
  CHECK_FALSE(is_key("AQIDBAUGBwgJCgsMDQ4PEBES"));
}

TEST_CASE("a key with anything else than base64 in it is refused", "[protocol]") {
  CHECK_FALSE(is_key("dGhlIHNhbXBsZSBub25jZQ= "));
  CHECK_FALSE(is_key("dGhlIHNhbXBsZSBub25jZQ"));
  CHECK_FALSE(is_key("dGhlIHNhbXBsZSBub25jZQ==="));
  CHECK_FALSE(is_key("dGhlIHNhbXBsZSBub25jZ==="));
  CHECK_FALSE(is_key("dGhlIHNhbXBsZ=Bub25jZQ=="));
  // RFC 4648 5 has - and _ in place of + and /; RFC 6455 means section 4.
  CHECK_FALSE(is_key("dGhlIHNhbXBsZ-Bub25jZQ=="));
  CHECK_FALSE(is_key("dGhlIHNhbXBsZ_Bub25jZQ=="));
  for (std::size_t i = 0; i < 24; ++i) {
    for (const char c : {' ', '\0', '\n', '*', ':', '@', '[', '`', '{', '\x80', '\xff'}) {
      std::string key = "dGhlIHNhbXBsZSBub25jZQ==";
      key[i] = c;
      CAPTURE(i, static_cast<int>(c));
      CHECK_FALSE(is_key(key));
    }
  }
}
