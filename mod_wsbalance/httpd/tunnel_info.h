// tunnel_info.h - what the log tells of a tunnel: known at its handshake, completed at its end.
//
// Layer:    httpd (pure: no header of httpd or APR).
// Owns:     its text, in one allocation with itself: there is one for each open tunnel.
// Threads:  one at a time: the worker that makes it, its relay thread, the log writer.
// Errors:   make() may throw std::bad_alloc.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "relay/relay.h"

struct server_rec;

namespace wsbalance::httpd {

// How a side is reached.
enum class Transport : std::uint8_t { tcp, tls, unix_socket, h2, h2c };
const char* name_of(Transport transport);

// "client", "member", "proxy", or "" if there was no close frame.
const char* name_of(relay::Closer closer);

// What a tunnel is made of, to make a TunnelInfo from: copied.
struct TunnelFacts {
  const server_rec* server = nullptr;  // The virtual host; lives as long as the process.
  std::uint64_t id = 0;
  std::uint16_t server_port = 0;  // That the client connected to.
  std::uint16_t client_port = 0;
  std::uint16_t member_row = 0;  // That counts for the member (shared_rows.h).
  std::string_view client{};     // Address.
  std::string_view member{};     // The worker's name.

  // Only for a virtual host with a WSBalanceLog.
  std::string_view user{};
  std::string_view uri{};  // Path only.
  std::string_view route{};
  std::string_view balancer{};
  std::string_view subprotocol{};
  std::uint32_t handshake_ms = 0;
  Transport client_transport = Transport::tcp;
  Transport member_transport = Transport::tcp;
  bool is_pumped = false;
};

// No pool: it outlives request and connection.
class TunnelInfo final : public relay::TunnelContext {
 public:
  // What is longer than kTextMax (the path: kUriMax) is cut.
  static constexpr std::size_t kTextMax = 512;
  static constexpr std::size_t kUriMax = 2048;

  static std::unique_ptr<TunnelInfo> make(const TunnelFacts& facts);
  static void operator delete(void* memory) { ::operator delete(memory); }

  const server_rec* server() const { return server_; }
  std::uint64_t id() const { return id_; }
  std::uint16_t server_port() const { return server_port_; }
  std::uint16_t client_port() const { return client_port_; }
  std::uint16_t member_row() const { return member_row_; }
  std::uint32_t handshake_ms() const { return handshake_ms_; }
  Transport client_transport() const { return client_transport_; }
  Transport member_transport() const { return member_transport_; }
  bool is_pumped() const { return is_pumped_; }

  // Each ends with a NUL behind it.
  std::string_view client() const { return text(0); }
  std::string_view member() const { return text(1); }
  std::string_view user() const { return text(2); }
  std::string_view uri() const { return text(3); }
  std::string_view route() const { return text(4); }
  std::string_view balancer() const { return text(5); }
  std::string_view subprotocol() const { return text(6); }

  // Closed by an order: counted in its cell (process_row.h) until it ends.
  void mark_leaving() { is_leaving_ = true; }
  bool is_leaving() const { return is_leaving_; }

  // Set when it has ended.
  relay::TunnelSummary summary;
  std::int64_t ended_us = 0;   // Since 1970.
  TunnelInfo* next = nullptr;  // In the queue of the log writer.

 private:
  static constexpr std::size_t kTexts = 7;
  struct TextBytes {
    std::size_t count;
  };
  using Texts = std::array<std::string_view, kTexts>;

  static void* operator new(std::size_t size, TextBytes text) {
    return ::operator new(size + text.count);
  }
  static void operator delete(void* memory, TextBytes) { ::operator delete(memory); }

  TunnelInfo(const TunnelFacts& facts, const Texts& texts);
  std::string_view text(std::size_t number) const;
  // The text stands behind the object.
  char* texts() { return reinterpret_cast<char*>(this + 1); }
  const char* texts() const { return reinterpret_cast<const char*>(this + 1); }

  const server_rec* server_;
  std::uint64_t id_;
  std::uint32_t handshake_ms_;
  std::uint16_t server_port_;
  std::uint16_t client_port_;
  std::uint16_t member_row_;
  std::array<std::uint16_t, kTexts> ends_{};  // Where the NUL of each text is.
  Transport client_transport_;
  Transport member_transport_;
  bool is_pumped_;
  bool is_leaving_ = false;
};

// There are tens of thousands of idle ones.
static_assert(sizeof(TunnelInfo) <= 176);

}  // namespace wsbalance::httpd
