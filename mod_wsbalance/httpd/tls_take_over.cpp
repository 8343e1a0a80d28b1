#include "httpd/tls_take_over.h"

#include <openssl/bio.h>
#include <openssl/err.h>

#include "httpd/buffered_input.h"
#include "httpd/connection_state.h"
#include "httpd/tls_floor.h"

namespace wsbalance::httpd {
namespace {

// mod_ssl tells of each SSL that it makes, for clients and for members.
int on_pre_handshake(conn_rec* connection, SSL* ssl, int) {
  const SSL_METHOD* method = SSL_get_ssl_method(ssl);
  // Another copy of OpenSSL than ours in this process: its objects are not for our functions.
  if (method != TLS_server_method() && method != TLS_client_method() && method != TLS_method()) {
    return DECLINED;
  }
  connection_state(connection).ssl = ssl;
  return OK;
}

apr_status_t free_bio(void* bio) {
  BIO_free(static_cast<BIO*>(bio));
  return APR_SUCCESS;
}

// mod_ssl keeps plain pointers to its BIOs as long as the connection's pool lives.
void keep(BIO* bio, apr_pool_t* pool) {
  BIO_up_ref(bio);
  apr_pool_cleanup_register(pool, bio, free_bio, apr_pool_cleanup_null);
}

// Makes mod_ssl end its use of the SSL (ssl_filter_io_shutdown() on an EOC bucket), without a
// close_notify: SSL_shutdown() only sets flags while the shutdown is quiet.
void end_use_by_mod_ssl(conn_rec* connection, ap_filter_t* output) {
  const unsigned aborted = connection->aborted;
  connection->aborted = 0;  // Or mod_ssl would not look at the bucket.
  apr_bucket_brigade* brigade = apr_brigade_create(connection->pool, connection->bucket_alloc);
  APR_BRIGADE_INSERT_TAIL(brigade, ap_bucket_eoc_create(connection->bucket_alloc));
  ap_pass_brigade(output, brigade);
  apr_brigade_destroy(brigade);
  connection->aborted = aborted != 0 ? 1 : 0;
}

int refuse_certificate(SSL*, void*) { return 0; }

void ignore_state(const SSL*, int, int) {}

// No callback of mod_ssl may run any more: they look for the conn_rec in the SSL, and some take
// mod_ssl's mutexes. All that mod_ssl sets (ssl_engine_init.c, ssl_init_ctx_callbacks() and around
// it), and why it cannot run once a handshake is over:
//   servername, client_hello, alpn_select, tlsext_ticket_key, status (stapling), verify, tmp_dh,
//   srp, new and get of the session cache
//                   only in a handshake: TlsStream refuses renegotiation, TLS 1.3 has none
//   new session (of a TLS 1.3 ticket from a member)
//                   mod_ssl does not switch on the cache for clients (SSL_SESS_CACHE_CLIENT)
//   client_cert     a TLS 1.3 member may ask for a certificate at any time: cert_cb comes before
//                   it and refuses, which ends this connection only
//   remove session  comes with a fatal alert and, of a session that was not ended in order, with
//                   SSL_free(): not for a session without an id
//   info            log lines of mod_ssl at debug: replaced
//   keylog          secrets of a handshake; a KeyUpdate is not logged by OpenSSL
//   BIO callbacks   belong to mod_ssl's BIOs
void forget_mod_ssl(SSL* ssl) {
  SSL_set_app_data(ssl, nullptr);
  SSL_set_cert_cb(ssl, refuse_certificate, nullptr);
  SSL_set_info_callback(ssl, ignore_state);
  if (SSL_SESSION* session = SSL_get_session(ssl)) {
    static constexpr unsigned char kNone[1] = {};
    SSL_SESSION_set1_id(session, kNone, 0);
  }
}

}  // namespace

bool is_tls_filter(std::string_view name) {
  return name == "ssl/tls filter" || name == "ssl/tls coalescing filter";
}

SSL* tls_of(conn_rec* connection) {
  return ap_ssl_conn_is_ssl(connection) ? connection_state(connection).ssl : nullptr;
}

void read_over_tickets(SSL* ssl) { SSL_set_mode(ssl, SSL_MODE_AUTO_RETRY); }

std::unique_ptr<relay::TlsStream> take_tls(conn_rec* connection,
                                           std::vector<std::byte>& decrypted) {
  SSL* const shared = tls_of(connection);
  ap_filter_t* const output = find_tls_filter(connection->output_filters);
  if (shared == nullptr || output == nullptr) return nullptr;
  SSL_up_ref(shared);
  relay::UniqueSsl ssl(shared);
  BIO* const records_out = BIO_new(BIO_s_mem());
  if (records_out == nullptr) throw std::bad_alloc();
  keep(SSL_get_rbio(shared), connection->pool);
  keep(SSL_get_wbio(shared), connection->pool);

  // Whatever TLS answers to what it reads now (to a KeyUpdate, say) must not go to the descriptor
  // that httpd has left.
  SSL_set0_wbio(shared, records_out);
  read_over_tickets(shared);
  {
    const TlsFloor only_what_is_there(connection);
    take_buffered_input(connection, decrypted);
  }
  const int shutdown_state = SSL_get_shutdown(shared);
  SSL_set_quiet_shutdown(shared, 1);
  end_use_by_mod_ssl(connection, output);
  if (tls_of(connection) != nullptr) return nullptr;
  SSL_set_shutdown(shared, shutdown_state);
  forget_mod_ssl(shared);
  ERR_clear_error();

  const char* records = nullptr;
  const long size = BIO_get_mem_data(records_out, &records);
  return std::make_unique<relay::TlsStream>(
      std::move(ssl),
      std::as_bytes(std::span(records, static_cast<std::size_t>(size > 0 ? size : 0))));
}

void register_tls_hooks() {
  APR_OPTIONAL_HOOK(ssl, pre_handshake, on_pre_handshake, nullptr, nullptr, APR_HOOK_MIDDLE);
}

}  // namespace wsbalance::httpd
