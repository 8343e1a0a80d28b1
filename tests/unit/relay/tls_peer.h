// tls_peer.h - the far end of a socket pair as a TLS peer that a test plays: OpenSSL over memory, so
// that the test decides which of its bytes leave and when. Without an SSL it speaks plainly.
#pragma once

#include <openssl/ssl.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "relay/tls_stream.h"
#include "relay/unique_fd.h"

namespace wsbalance::relay {

enum class TlsRole : std::uint8_t { client, server };

struct TlsPlan {
  TlsRole peer = TlsRole::server;  // Our own end has the other role.
  int version = TLS1_3_VERSION;
  const char* cipher = nullptr;   // Of TLS 1.2.
  long options = 0;               // SSL_OP_..., of both.
  std::size_t tickets = 0;        // TLS 1.3. They are the first that the server sends.
  bool has_long_tickets = false;  // The peer's come in several records each.
};

class TlsPeer {
 public:
  explicit TlsPeer(UniqueFd fd, UniqueSsl ssl = nullptr);

  int fd() const { return fd_.get(); }
  SSL* ssl() const { return ssl_.get(); }

  // To be sent, behind what was not yet: records of `record_bytes` of plaintext and a shorter one.
  void encrypt(std::string_view plaintext, std::size_t record_bytes = 16 * 1024);
  void key_update(bool is_answer_requested);
  void renegotiate();  // TLS 1.2.
  void close_notify();
  void fatal_alert();                        // Says that it has read garbage.
  std::string& outbox() { return outbox_; }  // To look at, to damage, to add to.

  // Returns how many bytes the kernel took.
  std::size_t send(std::size_t limit = SIZE_MAX);
  void say(std::string_view plaintext);

  // Receives what is there, at most `limit` bytes of the socket.
  std::size_t take(std::size_t limit = SIZE_MAX);

  const std::string& received() const { return received_; }  // Decrypted.
  bool saw_fin() const { return saw_fin_; }
  bool saw_reset() const { return saw_reset_; }
  bool saw_close_notify() const { return saw_close_notify_; }
  // The end as it should be: announced where that is usual.
  bool saw_end() const { return saw_fin_ && (!ssl_ || saw_close_notify_); }
  bool has_ended() const { return saw_fin_ || saw_reset_; }
  bool has_failed() const { return has_failed_; }  // It could not read what came.
  bool saw_alert(int description) const;

  void end_writing();  // With a close_notify. Only if all was sent.
  void send_fin();
  void close() { fd_.reset(); }
  void reset();  // As Peer's.

 private:
  void decrypt(std::string_view bytes);
  void read_plaintext();
  void collect();

  UniqueFd fd_;
  std::unique_ptr<std::vector<int>> alerts_;  // Level and description. Known to the SSL.
  UniqueSsl ssl_;
  std::string outbox_;
  std::string received_;
  bool saw_fin_ = false;
  bool saw_reset_ = false;
  bool saw_close_notify_ = false;
  bool has_failed_ = false;
};

inline bool has_ended(const TlsPeer& peer) { return peer.has_ended(); }

// Both ends after the handshake.
struct TlsPair {
  UniqueSsl near;
  std::string near_unsent;  // A server's tickets.
  TlsPeer peer;

  std::unique_ptr<TlsStream> make_stream();
};

TlsPair make_tls_pair(UniqueFd far, const TlsPlan& plan = {});

}  // namespace wsbalance::relay
