// As tunnel_life_flow_test.cpp, with TLS: more can be there to read than a read may take.

#include <chrono>
#include <string>

#include "support/catch.h"
#include "unit/relay/frames.h"
#include "unit/relay/tls_tunnel_bench.h"

namespace wsbalance::relay {
namespace {

using namespace std::chrono_literals;

TEST_CASE("a close of ours follows the frame that passes, whatever its TLS record brings more",
          "[relay][tls][life]") {
  const bool ends_there = GENERATE(false, true);
  Bench bench;
  TunnelPlan plan;
  plan.settings = {};
  plan.settings.times.lifetime = 10s;
  TlsEnds ends = start_tls(bench, any_tls(), std::move(plan));
  const std::string frame = text_frame("a frame in two parts");
  ends.member.say(std::string_view(frame).substr(0, 8));
  CHECK(bench.run_until_quiet());
  bench.advance(10100ms);
  const std::string half = text_frame("nobody gets it").substr(0, 8);
  ends.member.encrypt(frame.substr(8) + (ends_there ? "" : half));
  if (ends_there) {
    ends.member.end_writing();
  } else {
    ends.member.send();
  }
  CHECK(bench.run_until_quiet());
  if (!ends_there) ends.member.say("more of it");
  CHECK(bench.run_until_quiet());
  ends.client.take();
  const auto frames = frames_of(ends.client.received());
  REQUIRE(frames.size() == 2);
  CHECK(frames[0].payload == "a frame in two parts");
  CHECK(frames[1].code() == 1001);
  bench.advance(6s);
  CHECK(bench.reason() == EndReason::lifetime);
  CHECK(bench.budget.bytes_held() == 0);
}

}  // namespace
}  // namespace wsbalance::relay
