#include "protocol/upgrade_response.h"

#include <string>
#include <vector>

#include "support/catch.h"
#include "unit/protocol/good_fields.h"

using namespace wsbalance::protocol;
using wsbalance::test::FieldList;
using wsbalance::test::GoodFields;

namespace {

// The answer of RFC 6455 1.3, without its subprotocol.
const GoodFields kGood{{{"Upgrade", "websocket"},
                        {"Connection", "Upgrade"},
                        {"Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}}};

std::string broken_rule(const FieldList& fields, const FieldList& request_fields = {},
                        int version_minor = 1) {
  const UpgradeOffer offer{"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", request_fields};
  return rule_of(check_switching_response(version_minor, fields, offer)).text;
}

std::string text_of(HandshakeError error) { return rule_of(error).text; }

const std::string kNone = text_of(HandshakeError::none);

}  // namespace

TEST_CASE("the answer of RFC 6455 1.3 is accepted", "[protocol]") {
  CHECK(broken_rule(kGood.all) == kNone);
  CHECK(broken_rule(kGood.with({"Sec-WebSocket-Protocol", "chat"}),
                    {{"Sec-WebSocket-Protocol", "chat, superchat"}}) == kNone);
}

TEST_CASE("Connection of a 101 may not name a field of the handshake (RFC 9110 7.6.1)",
          "[protocol]") {
  CHECK(broken_rule(kGood.with_changed("Connection", "Upgrade, Sec-WebSocket-Extensions")) ==
        text_of(HandshakeError::answer_hop_by_hop_handshake));
}

TEST_CASE("a 101 that is not HTTP/1.1 is refused", "[protocol]") {
  CHECK(broken_rule(kGood.all, {}, 0) == text_of(HandshakeError::answer_not_http_1_1));
  CHECK(broken_rule(kGood.all, {}, 2) == text_of(HandshakeError::answer_not_http_1_1));
}

TEST_CASE("Upgrade is websocket and nothing else (RFC 6455 4.1 answer item 2)", "[protocol]") {
  const std::string missing = text_of(HandshakeError::answer_upgrade_missing);
  CHECK(broken_rule(kGood.with_changed("Upgrade", "WebSocket")) == kNone);
  CHECK(broken_rule(kGood.without("Upgrade")) == missing);
  CHECK(broken_rule(kGood.with({"Upgrade", "h2c"})) == missing);
  CHECK(broken_rule(kGood.with({"Upgrade", "websocket"})) == missing);
  for (const char* value : {"", "h2c", "websocket, h2c", "h2c, websocket", "websocket, websocket",
                            "websocket/13", "websocket;a", "web socket", "websockets"}) {
    CAPTURE(value);
    CHECK(broken_rule(kGood.with_changed("Upgrade", value)) == missing);
  }
}

TEST_CASE("Connection has the token upgrade (RFC 6455 4.1 answer item 3)", "[protocol]") {
  const std::string missing = text_of(HandshakeError::answer_connection_missing);
  CHECK(broken_rule(kGood.with_changed("Connection", "keep-alive, UPGRADE")) == kNone);
  CHECK(broken_rule(kGood.without("Connection")) == missing);
  CHECK(broken_rule(kGood.with_changed("Connection", "close")) == missing);
  CHECK(broken_rule(kGood.with_changed("Connection", "")) == missing);
}

TEST_CASE("Sec-WebSocket-Accept answers the key (RFC 6455 4.1 answer item 4)", "[protocol]") {
  const std::string wrong = text_of(HandshakeError::answer_accept_wrong);
  CHECK(broken_rule(kGood.without("Sec-WebSocket-Accept")) ==
        text_of(HandshakeError::answer_accept_missing));
  CHECK(broken_rule(kGood.with({"sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="})) == wrong);
  CHECK(broken_rule(kGood.with({"Sec-WebSocket-Accept", "x"})) == wrong);
  for (const char* value :
       {"", "S3PPLMBITXAQ9KYGZZHZRBK+XOO=", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo",
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=, s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "dGhlIHNhbXBsZSBub25jZQ=="}) {
    CAPTURE(value);
    CHECK(broken_rule(kGood.with_changed("Sec-WebSocket-Accept", value)) == wrong);
  }
}

TEST_CASE("a subprotocol was offered, its case counts (RFC 6455 4.1 answer item 6)", "[protocol]") {
  const FieldList offer{{"Sec-WebSocket-Protocol", "chat, v2.chat"},
                        {"sec-websocket-protocol", "other"}};
  CHECK(broken_rule(kGood.all, offer) == kNone);  // None has to be chosen.
  for (const char* value : {"chat", "v2.chat", "other"}) {
    CAPTURE(value);
    CHECK(broken_rule(kGood.with({"Sec-WebSocket-Protocol", value}), offer) == kNone);
  }
  const std::string not_offered = text_of(HandshakeError::answer_subprotocol_not_offered);
  for (const char* value : {"", "Chat", "cha", "chat, v2.chat", "chat,", "chat other", "x"}) {
    CAPTURE(value);
    CHECK(broken_rule(kGood.with({"Sec-WebSocket-Protocol", value}), offer) == not_offered);
  }
}

TEST_CASE("a subprotocol is chosen once, and only if any was offered", "[protocol]") {
  const std::string not_offered = text_of(HandshakeError::answer_subprotocol_not_offered);
  FieldList twice = kGood.with({"Sec-WebSocket-Protocol", "chat"});
  twice.push_back({"Sec-WebSocket-Protocol", "chat"});  // RFC 6455 11.3.4.
  CHECK(broken_rule(twice, {{"Sec-WebSocket-Protocol", "chat"}}) == not_offered);
  CHECK(broken_rule(kGood.with({"Sec-WebSocket-Protocol", "chat"})) == not_offered);
  CHECK(broken_rule(kGood.with({"Sec-WebSocket-Protocol", ""})) == not_offered);
  // One element to a reader who knows quoted strings, but no token and so no subprotocol.
  CHECK(broken_rule(kGood.with({"Sec-WebSocket-Protocol", R"("a, b")"}),
                    {{"Sec-WebSocket-Protocol", R"("a, b")"}}) == not_offered);
}

TEST_CASE("extensions have names that were offered (RFC 6455 4.1 answer item 5)", "[protocol]") {
  const FieldList offer{
      {"Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits, x-one"},
      {"Sec-WebSocket-Extensions", R"(x-two;a="1, x-three")"}};
  CHECK(broken_rule(kGood.all, offer) == kNone);  // None has to be used.
  for (const char* value :
       {"permessage-deflate", "permessage-deflate; server_no_context_takeover", "x-one, x-two",
        "X-ONE", R"(x-two; b="x-three, y", permessage-deflate)"}) {
    CAPTURE(value);
    CHECK(broken_rule(kGood.with({"Sec-WebSocket-Extensions", value}), offer) == kNone);
  }
  const std::string not_offered = text_of(HandshakeError::answer_extension_not_offered);
  for (const char* value : {"x-three", "client_max_window_bits", "x-one, x-three", "x-on",
                            "permessage-deflate x", ";a", "x-one, ;a", "y;x-one"}) {
    CAPTURE(value);
    CHECK(broken_rule(kGood.with({"Sec-WebSocket-Extensions", value}), offer) == not_offered);
  }
  // No name is no offer, even where the request has the same.
  CHECK(broken_rule(kGood.with({"Sec-WebSocket-Extensions", ";a"}),
                    {{"Sec-WebSocket-Extensions", ";a"}}) == not_offered);
  FieldList second_field = kGood.with({"Sec-WebSocket-Extensions", "x-one"});
  second_field.push_back({"sec-websocket-extensions", "x-three"});
  CHECK(broken_rule(second_field, offer) == not_offered);
  CHECK(broken_rule(kGood.with({"Sec-WebSocket-Extensions", "permessage-deflate"})) == not_offered);
}

TEST_CASE("the first broken rule of a 101 is named", "[protocol]") {
  CHECK(broken_rule({}, {}, 0) == text_of(HandshakeError::answer_not_http_1_1));
  CHECK(broken_rule({}) == text_of(HandshakeError::answer_upgrade_missing));
  CHECK(broken_rule({{"Upgrade", "websocket"}}) ==
        text_of(HandshakeError::answer_connection_missing));
  CHECK(broken_rule({{"Upgrade", "websocket"}, {"Connection", "upgrade"}}) ==
        text_of(HandshakeError::answer_accept_missing));
}
