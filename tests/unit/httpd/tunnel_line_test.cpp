#include "httpd/tunnel_line.h"

#include <chrono>
#include <string>

#include "support/catch.h"

namespace wsbalance::httpd {
namespace {

std::unique_ptr<TunnelInfo> an_ended_tunnel() {
  TunnelFacts facts;
  facts.id = 0x0123456789abcdefu;
  facts.server_port = 8443;
  facts.client_port = 54321;
  facts.client = "2001:db8::1";
  facts.member = "ws://10.0.0.1:8080";
  facts.user = "al\"ice";
  facts.uri = "/chat/r\xc3\xbcm";
  facts.route = "n1";
  facts.balancer = "balancer://chat";
  facts.subprotocol = "v2.chat";
  facts.handshake_ms = 12;
  facts.client_transport = Transport::h2;
  facts.member_transport = Transport::unix_socket;
  facts.is_pumped = true;
  auto info = TunnelInfo::make(facts);
  info->ended_us = 1714566896007000;
  relay::TunnelSummary& summary = info->summary;
  summary.reason = relay::EndReason::ping_timeout_client;
  summary.closer = relay::Closer::proxy;
  summary.close_code = 1001;
  summary.duration = std::chrono::milliseconds(61000);
  summary.pings = {7, 8};
  summary.to_member = {.bytes = 100, .frames = 20, .messages = 10, .throttled = 3, .violations = 1};
  summary.to_client = {.bytes = 200, .frames = 40, .messages = 30, .throttled = 0, .violations = 2};
  return info;
}

std::string line_of(std::string_view format, const TunnelInfo& info) {
  TunnelLine line;
  CHECK(line.parse(format) == "");
  std::string text;
  line.append(text, info, "example.org");
  return text;
}

TEST_CASE("the default line is one JSON object", "[log]") {
  std::string text;
  TunnelLine().append(text, *an_ended_tunnel(), "example.org");
  CHECK(text == R"({"time":"2024-05-01T12:34:56.007Z","tunnel":"0123456789abcdef",)"
                R"("vhost":"example.org:8443","client":"2001:db8::1","client_port":54321,)"
                R"("user":"al\"ice","uri":"/chat/r)"
                "\xc3\xbc"
                R"(m","member":"ws://10.0.0.1:8080","route":"n1","balancer":"balancer://chat",)"
                R"("client_transport":"h2","member_transport":"unix","pumped":true,)"
                R"("subprotocol":"v2.chat","handshake_ms":12,"duration_ms":61000,)"
                R"("bytes_from_client":100,"frames_from_client":20,"messages_from_client":10,)"
                R"("bytes_from_member":200,"frames_from_member":40,"messages_from_member":30,)"
                R"("pings_to_client":7,"pings_to_member":8,"throttled":3,"violations_by_client":1,)"
                R"("violations_by_member":2,"close_code":1001,"closer":"proxy",)"
                R"("reason":"ping-timeout-client","tls_truncated":false})"
                "\n");
}

TEST_CASE("what a tunnel has not is null in JSON and - in a format", "[log]") {
  const auto info = TunnelInfo::make({.client = "::1", .member = "ws://m"});
  std::string text;
  TunnelLine().append(text, *info, "");
  CHECK(text.find(R"("user":null,"uri":null,)") != std::string::npos);
  CHECK(text.find(R"("vhost":":0")") != std::string::npos);
  CHECK(text.find(R"("close_code":0,"closer":null,"reason":"none")") != std::string::npos);
  CHECK(line_of("%{user}x %{closer}x %{close_code}x %{pumped}x", *info) == "- - 0 false\n");
}

TEST_CASE("a format of httpd's kind", "[log]") {
  const auto info = an_ended_tunnel();
  CHECK(line_of("%{time}x %{tunnel}x", *info) == "2024-05-01T12:34:56.007Z 0123456789abcdef\n");
  CHECK(line_of("%{client}x:%{client_port}x 100%% \\\"%{user}x\\\"\\t\\n\\\\ \\d", *info) ==
        "2001:db8::1:54321 100% \"al\\\"ice\"\t\n\\ \\d\n");
  CHECK(line_of("%{uri}x", *info) == "/chat/r\\xc3\\xbcm\n");
  CHECK(line_of("%{vhost}x%{vhost}x", *info) == "example.org:8443example.org:8443\n");
  CHECK(line_of("nothing", *info) == "nothing\n");
  CHECK(line_of("\\", *info) == "\\\n");
  CHECK(line_of("", *info) == "\n");
}

TEST_CASE("a format that is wrong is told in words", "[log]") {
  const std::string error = TunnelLine().parse("%{client}x %{query}x");
  CHECK(error.find("there is no %{query}x, only: time tunnel vhost ") == 0);
  CHECK(error.find(" reason tls_truncated") != std::string::npos);
  for (const char* format : {"%h", "%{client}i", "%{client", "%", "a %"}) {
    CHECK(TunnelLine().parse(format).find("is neither %{name}x nor %%") != std::string::npos);
  }
}

TEST_CASE("a tunnel's texts are cut at their limits and end with a NUL", "[log]") {
  const std::string longer(5000, 'x');
  const auto info = TunnelInfo::make({.client = "::1",
                                      .member = longer,
                                      .user = longer,
                                      .uri = longer,
                                      .route = longer,
                                      .balancer = longer,
                                      .subprotocol = longer});
  CHECK(info->client() == "::1");
  CHECK(info->member().size() == TunnelInfo::kTextMax);
  CHECK(info->uri().size() == TunnelInfo::kUriMax);
  CHECK(info->subprotocol() == std::string(TunnelInfo::kTextMax, 'x'));
  for (const std::string_view text : {info->client(), info->user(), info->subprotocol()}) {
    CHECK(text.data()[text.size()] == '\0');
  }
}

TEST_CASE("no line of one tunnel needs more than the log writer has reserved", "[log]") {
  const std::string worst(5000, '\x01');
  const auto info = TunnelInfo::make({.client = "::1",
                                      .member = worst,
                                      .user = worst,
                                      .uri = worst,
                                      .route = worst,
                                      .balancer = worst,
                                      .subprotocol = worst});
  std::string text;
  TunnelLine().append(text, *info, worst);
  CHECK(text.size() < 32 * 1024);
}

}  // namespace
}  // namespace wsbalance::httpd
