#include "protocol/accept_key.h"

#include "support/catch.h"

using wsbalance::protocol::accept_key;

TEST_CASE("the key of RFC 6455 1.3 is answered as it says there", "[protocol]") {
  CHECK(accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST_CASE("the accept value is 28 characters of base64 for any key", "[protocol]") {
  CHECK(accept_key("x3JJHMbDL1EzLkh9GBhXDw==") == "HSmrc0sMlYUkAGmm5OPpG2HaGWk=");
  CHECK(accept_key("").size() == 28);
}
