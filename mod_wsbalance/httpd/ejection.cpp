#include "httpd/ejection.h"

#include <arpa/inet.h>

#include <array>
#include <cstddef>
#include <span>

#include "balance/client_key.h"
#include "balance/rendezvous.h"
#include "httpd/shared_clock.h"

namespace wsbalance::httpd {
namespace {

std::uint32_t hash_of_client(const char* text) {
  std::array<std::uint8_t, 16> address{};
  std::size_t size = 0;
  if (::inet_pton(AF_INET, text, address.data()) == 1) {
    size = 4;
  } else if (::inet_pton(AF_INET6, text, address.data()) == 1) {
    size = address.size();
  }
  const auto bytes = balance::client_bytes(std::span(address).first(size));
  return static_cast<std::uint32_t>(
      balance::hash_text({reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
}

}  // namespace

void note_member_failure(const SharedRows& rows, std::uint16_t member,
                         const char* client) noexcept {
  if (member == SharedRows::kOtherMember) return;
  rows.member_row(member).failures.add(std::chrono::milliseconds(shared_clock_ms()),
                                       hash_of_client(client));
}

bool is_cut_at_start(const relay::TunnelSummary& summary) noexcept {
  // With WSBalanceFrames off nobody has seen whether there was a close frame.
  const auto is_known = [](const relay::DirectionCounts& direction) {
    return direction.bytes == 0 || direction.frames > 0;
  };
  return (summary.reason == relay::EndReason::member_eof ||
          summary.reason == relay::EndReason::member_error) &&
         summary.closer == relay::Closer::none && summary.is_short && is_known(summary.to_client) &&
         is_known(summary.to_member);
}

}  // namespace wsbalance::httpd
