#include "httpd/tunnel_info.h"

#include <algorithm>
#include <new>

namespace wsbalance::httpd {

const char* name_of(Transport transport) {
  switch (transport) {
    case Transport::tcp:
      return "tcp";
    case Transport::tls:
      return "tls";
    case Transport::unix_socket:
      return "unix";
    case Transport::h2:
      return "h2";
    case Transport::h2c:
      return "h2c";
  }
  return "";
}

const char* name_of(relay::Closer closer) {
  switch (closer) {
    case relay::Closer::none:
      return "";
    case relay::Closer::client:
      return "client";
    case relay::Closer::member:
      return "member";
    case relay::Closer::proxy:
      return "proxy";
  }
  return "";
}

std::unique_ptr<TunnelInfo> TunnelInfo::make(const TunnelFacts& facts) {
  const Texts texts = {facts.client.substr(0, kTextMax),     facts.member.substr(0, kTextMax),
                       facts.user.substr(0, kTextMax),       facts.uri.substr(0, kUriMax),
                       facts.route.substr(0, kTextMax),      facts.balancer.substr(0, kTextMax),
                       facts.subprotocol.substr(0, kTextMax)};
  std::size_t bytes = 0;
  for (const std::string_view text : texts) bytes += text.size() + 1;
  return std::unique_ptr<TunnelInfo>(new (TextBytes{bytes}) TunnelInfo(facts, texts));
}

TunnelInfo::TunnelInfo(const TunnelFacts& facts, const Texts& texts)
    : server_(facts.server),
      id_(facts.id),
      handshake_ms_(facts.handshake_ms),
      server_port_(facts.server_port),
      client_port_(facts.client_port),
      member_row_(facts.member_row),
      client_transport_(facts.client_transport),
      member_transport_(facts.member_transport),
      is_pumped_(facts.is_pumped) {
  static_assert(kTexts * (kTextMax + 1) + kUriMax < 65536, "ends_ would be too narrow");
  char* at = this->texts();
  for (std::size_t i = 0; i < kTexts; ++i) {
    at = std::copy(texts[i].begin(), texts[i].end(), at);
    ends_[i] = static_cast<std::uint16_t>(at - this->texts());
    *at++ = '\0';
  }
}

std::string_view TunnelInfo::text(std::size_t number) const {
  const std::size_t begin = number == 0 ? 0 : ends_[number - 1] + std::size_t{1};
  return {texts() + begin, ends_[number] - begin};
}

}  // namespace wsbalance::httpd
