#include "httpd/in_flight.h"

#include "httpd/child.h"
#include "httpd/pool.h"
#include "httpd/request_view.h"

namespace wsbalance::httpd {
namespace {

// At the pool, which an internal redirect has too: it is the same request of a client.
constexpr const char* kKey = "mod_wsbalance: on its way";

struct OnItsWay {
  std::uint16_t member = SharedRows::kOtherMember;
  std::optional<InFlight> count;
};

OnItsWay* find(request_rec* r) {
  void* found = nullptr;
  apr_pool_userdata_get(&found, kKey, r->pool);
  return static_cast<OnItsWay*>(found);
}

}  // namespace

void count_in_flight(request_rec* r, Child& child, const MemberRef& member) {
  OnItsWay* way = find(r);
  if (way == nullptr) {
    way = pool_new<OnItsWay>(r->pool);
    apr_pool_userdata_setn(way, kKey, nullptr, r->pool);
  }
  if (way->count && way->member == member.row) return;
  way->count.reset();
  way->member = member.row;
  way->count.emplace(child.in_flight(member, wants_websocket(r)));
}

void end_in_flight(request_rec* r) {
  if (OnItsWay* way = find(r)) way->count.reset();
}

InFlight take_in_flight(request_rec* r) {
  OnItsWay* way = find(r);
  if (way == nullptr || !way->count) return {};
  InFlight taken = std::move(*way->count);
  way->count.reset();
  return taken;
}

}  // namespace wsbalance::httpd
