#include "unit/relay/tls_peer.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>
#include <stdexcept>
#include <utility>

namespace wsbalance::relay {
namespace {

template <auto release>
struct Release {
  template <typename T>
  void operator()(T* what) const {
    release(what);
  }
};
using UniqueKey = std::unique_ptr<EVP_PKEY, Release<EVP_PKEY_free>>;
using UniqueCertificate = std::unique_ptr<X509, Release<X509_free>>;
using UniqueContext = std::unique_ptr<SSL_CTX, Release<SSL_CTX_free>>;

void require(bool is_true, const char* what) {
  if (!is_true) throw std::runtime_error(what);
}

UniqueKey make_key() {
  const std::unique_ptr<EVP_PKEY_CTX, Release<EVP_PKEY_CTX_free>> context(
      EVP_PKEY_CTX_new_id(EVP_PKEY_EC, nullptr));
  EVP_PKEY* key = nullptr;
  require(EVP_PKEY_keygen_init(context.get()) == 1 &&
              EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context.get(), NID_X9_62_prime256v1) == 1 &&
              EVP_PKEY_keygen(context.get(), &key) == 1,
          "key");
  return UniqueKey(key);
}

UniqueCertificate make_certificate(EVP_PKEY* key) {
  UniqueCertificate certificate(X509_new());
  X509* const it = certificate.get();
  X509_set_version(it, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(it), 1);
  X509_gmtime_adj(X509_getm_notBefore(it), -3600);
  X509_gmtime_adj(X509_getm_notAfter(it), 3600);
  X509_NAME* const name = X509_get_subject_name(it);
  const std::array<unsigned char, 5> host{'t', 'e', 's', 't', '\0'};
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, host.data(), -1, -1, 0);
  X509_set_issuer_name(it, name);
  X509_set_pubkey(it, key);
  require(X509_sign(it, key, EVP_sha256()) > 0, "certificate");
  return certificate;
}

// So that a ticket needs several of the smallest records that OpenSSL can be made to write.
int lengthen_ticket(SSL* ssl, void*) {
  const std::string data(2000, 't');
  return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), data.data(), data.size());
}

UniqueContext make_context(TlsRole role, const TlsPlan& plan) {
  static const UniqueKey key = make_key();
  static const UniqueCertificate certificate = make_certificate(key.get());
  const bool is_server = role == TlsRole::server;
  UniqueContext context(SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method()));
  SSL_CTX* const it = context.get();
  require(it != nullptr, "context");
  SSL_CTX_set_min_proto_version(it, plan.version);
  SSL_CTX_set_max_proto_version(it, plan.version);
  SSL_CTX_set_options(it, static_cast<std::uint64_t>(plan.options));
  if (plan.cipher != nullptr) require(SSL_CTX_set_cipher_list(it, plan.cipher) == 1, "cipher");
  if (!is_server) return context;
  SSL_CTX_set_num_tickets(it, plan.tickets);
  require(SSL_CTX_use_certificate(it, certificate.get()) == 1 &&
              SSL_CTX_use_PrivateKey(it, key.get()) == 1,
          "use of the certificate");
  return context;
}

UniqueSsl make_ssl(TlsRole role, const TlsPlan& plan, bool is_peer) {
  const UniqueContext context = make_context(role, plan);
  if (is_peer && plan.has_long_tickets) {
    SSL_CTX_set_session_ticket_cb(context.get(), lengthen_ticket, nullptr, nullptr);
    SSL_CTX_set_max_send_fragment(context.get(), 512);
  }
  UniqueSsl ssl(SSL_new(context.get()));
  require(ssl != nullptr, "SSL");
  SSL_set_bio(ssl.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  role == TlsRole::server ? SSL_set_accept_state(ssl.get()) : SSL_set_connect_state(ssl.get());
  return ssl;
}

std::string take_output(SSL* ssl) {
  BIO* const out = SSL_get_wbio(ssl);
  std::string bytes(BIO_ctrl_pending(out), '\0');
  if (!bytes.empty()) BIO_read(out, bytes.data(), static_cast<int>(bytes.size()));
  return bytes;
}

void put_input(SSL* ssl, std::string_view bytes) {
  if (!bytes.empty()) BIO_write(SSL_get_rbio(ssl), bytes.data(), static_cast<int>(bytes.size()));
}

// What the side that is done last has to say after it stays where it is.
void shake_hands(SSL* a, SSL* b) {
  const auto are_done = [&] { return SSL_is_init_finished(a) && SSL_is_init_finished(b); };
  for (int flight = 0; flight < 8 && !are_done(); ++flight) {
    SSL_do_handshake(a);
    if (!are_done()) put_input(b, take_output(a));
    std::swap(a, b);
  }
  require(are_done(), "handshake");
  ERR_clear_error();
}

void note_alert(const SSL* ssl, int where, int alert) {
  if ((where & SSL_CB_READ_ALERT) != SSL_CB_READ_ALERT) return;
  static_cast<std::vector<int>*>(SSL_get_app_data(ssl))->push_back(alert);
}

}  // namespace

TlsPeer::TlsPeer(UniqueFd fd, UniqueSsl ssl)
    : fd_(std::move(fd)), alerts_(std::make_unique<std::vector<int>>()), ssl_(std::move(ssl)) {
  if (!ssl_) return;
  SSL_set_app_data(ssl_.get(), alerts_.get());
  SSL_set_info_callback(ssl_.get(), note_alert);
  collect();
}

void TlsPeer::encrypt(std::string_view plaintext, std::size_t record_bytes) {
  if (!ssl_) {
    outbox_ += plaintext;
    return;
  }
  while (!plaintext.empty()) {
    const auto record = plaintext.substr(0, record_bytes);
    std::size_t written = 0;
    require(SSL_write_ex(ssl_.get(), record.data(), record.size(), &written) == 1, "SSL_write_ex");
    plaintext.remove_prefix(written);
  }
  collect();
}

void TlsPeer::key_update(bool is_answer_requested) {
  SSL_key_update(ssl_.get(),
                 is_answer_requested ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED);
  require(SSL_do_handshake(ssl_.get()) == 1, "KeyUpdate");
  collect();
}

void TlsPeer::renegotiate() {
  require(SSL_renegotiate(ssl_.get()) == 1, "renegotiation");
  SSL_do_handshake(ssl_.get());
  collect();
}

void TlsPeer::close_notify() {
  SSL_shutdown(ssl_.get());
  collect();
}

void TlsPeer::fatal_alert() { decrypt("This is no record, and all the keys in the world"); }

std::size_t TlsPeer::send(std::size_t limit) {
  std::size_t sent = 0;
  while (sent < std::min(limit, outbox_.size())) {
    const std::size_t wanted = std::min(limit, outbox_.size()) - sent;
    const ssize_t count = ::send(fd(), outbox_.data() + sent, wanted, MSG_NOSIGNAL);
    if (count <= 0) break;
    sent += static_cast<std::size_t>(count);
  }
  outbox_.erase(0, sent);
  return sent;
}

void TlsPeer::say(std::string_view plaintext) {
  encrypt(plaintext);
  send();
}

std::size_t TlsPeer::take(std::size_t limit) {
  std::array<char, 65536> buffer;
  std::size_t taken = 0;
  while (taken < limit && !has_ended()) {
    const ssize_t count = ::recv(fd(), buffer.data(), std::min(limit - taken, buffer.size()), 0);
    if (count < 0 && errno == EAGAIN) break;
    saw_fin_ = count == 0;
    saw_reset_ = count < 0;
    if (count <= 0) break;
    decrypt({buffer.data(), static_cast<std::size_t>(count)});
    taken += static_cast<std::size_t>(count);
  }
  return taken;
}

bool TlsPeer::saw_alert(int description) const {
  return std::any_of(alerts_->begin(), alerts_->end(),
                     [&](int alert) { return (alert & 0xff) == description; });
}

void TlsPeer::end_writing() {
  if (ssl_) close_notify();
  send();
  send_fin();
}

void TlsPeer::send_fin() { ::shutdown(fd(), SHUT_WR); }

void TlsPeer::reset() {
  const linger now{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  fd_.reset();
}

void TlsPeer::decrypt(std::string_view bytes) {
  if (!ssl_) {
    received_ += bytes;
    return;
  }
  put_input(ssl_.get(), bytes);
  read_plaintext();
  collect();
}

void TlsPeer::read_plaintext() {
  std::array<char, 16 * 1024> plaintext;
  for (;;) {
    ERR_clear_error();
    std::size_t count = 0;
    const int result = SSL_read_ex(ssl_.get(), plaintext.data(), plaintext.size(), &count);
    if (result == 1) {
      received_.append(plaintext.data(), count);
      continue;
    }
    const int error = SSL_get_error(ssl_.get(), result);
    if (error == SSL_ERROR_ZERO_RETURN) saw_close_notify_ = true;
    if (error == SSL_ERROR_SSL) has_failed_ = true;
    return;
  }
}

void TlsPeer::collect() {
  outbox_ += take_output(ssl_.get());
  ERR_clear_error();
}

std::unique_ptr<TlsStream> TlsPair::make_stream() {
  return std::make_unique<TlsStream>(std::move(near), std::as_bytes(std::span(near_unsent)));
}

TlsPair make_tls_pair(UniqueFd far, const TlsPlan& plan) {
  const bool is_peer_client = plan.peer == TlsRole::client;
  UniqueSsl near = make_ssl(is_peer_client ? TlsRole::server : TlsRole::client, plan, false);
  SSL_clear_mode(near.get(), SSL_MODE_AUTO_RETRY);  // As a server may have left it.
  UniqueSsl peer = make_ssl(plan.peer, plan, true);
  shake_hands(is_peer_client ? peer.get() : near.get(), is_peer_client ? near.get() : peer.get());
  std::string near_unsent = take_output(near.get());
  return {std::move(near), std::move(near_unsent), TlsPeer(std::move(far), std::move(peer))};
}

}  // namespace wsbalance::relay
