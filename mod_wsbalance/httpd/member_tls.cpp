#include "httpd/member_tls.h"

#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string_view>

namespace wsbalance::httpd {
namespace {

struct FreeCertificate {
  void operator()(X509* certificate) const noexcept { X509_free(certificate); }
};

bool is_valid_now(const X509* certificate) {
  return X509_cmp_current_time(X509_get0_notBefore(certificate)) < 0 &&
         X509_cmp_current_time(X509_get0_notAfter(certificate)) > 0;
}

bool names(X509* certificate, const char* host) {
  return X509_check_host(certificate, host, 0, 0, nullptr) == 1 ||
         X509_check_ip_asc(certificate, host, 0) == 1;
}

// mod_ssl's own checks, after those of OpenSSL (ssl_io_filter_handshake()).
std::string why_refused_afterwards(SSL* ssl, conn_rec* member) {
  const std::unique_ptr<X509, FreeCertificate> certificate(SSL_get_peer_certificate(ssl));
  if (certificate == nullptr) return "it showed no certificate";
  if (!is_valid_now(certificate.get())) {
    return "its certificate has expired or is not valid yet (SSLProxyCheckPeerExpire)";
  }
  const char* host = apr_table_get(member->notes, "proxy-request-hostname");
  if (host != nullptr && !names(certificate.get(), host)) {
    return std::string("its certificate is not for the name ") + host + " (SSLProxyCheckPeerName)";
  }
  return "refused after the handshake (LogLevel ssl:info says more)";
}

}  // namespace

std::string why_tls_failed(SSL* ssl, conn_rec* member) {
  const char* result = apr_table_get(member->notes, "SSL_connect_rv");
  if (ssl == nullptr || result == nullptr || std::string_view(result) != "err") return "";
  // First: without SSLProxyVerify a certificate that OpenSSL does not trust ends no handshake.
  if (SSL_is_init_finished(ssl)) return why_refused_afterwards(ssl, member);
  const long verified = SSL_get_verify_result(ssl);
  if (verified != X509_V_OK) {
    return std::string("its certificate was refused: ") + X509_verify_cert_error_string(verified) +
           " (SSLProxyVerify)";
  }
  return "the handshake failed: no common protocol or cipher, no TLS at this port, or a client "
         "certificate that it misses (LogLevel ssl:info says more)";
}

}  // namespace wsbalance::httpd
