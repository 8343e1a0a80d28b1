#include "httpd/startup_lines.h"

#include <openssl/crypto.h>
#include <openssl/opensslv.h>

#include <algorithm>

#include "httpd/descriptor_limit.h"
#include "httpd/queries.h"
#include "httpd/versions.h"

namespace wsbalance::httpd {
namespace {

constexpr Version kHttpdBuilt{AP_SERVER_MAJORVERSION_NUMBER, AP_SERVER_MINORVERSION_NUMBER,
                              AP_SERVER_PATCHLEVEL_NUMBER};

Version running_httpd() {
  ap_version_t found{};
  ap_get_server_revision(&found);
  return {static_cast<unsigned>(found.major), static_cast<unsigned>(found.minor),
          static_cast<unsigned>(found.patch)};
}

const char* text_of(apr_pool_t* pool, const Version& version) {
  return apr_psprintf(pool, "%u.%u.%u", version.major, version.minor, version.patch);
}

// The OpenSSL that mod_ssl calls, as "OpenSSL/3.0.2"; null without mod_ssl.
const char* library_of_mod_ssl(apr_pool_t* pool, server_rec* server) {
  const auto look_up = APR_RETRIEVE_OPTIONAL_FN(ssl_var_lookup);
  char name[] = "SSL_VERSION_LIBRARY";
  return look_up == nullptr ? nullptr : look_up(pool, server, nullptr, nullptr, name);
}

// With event a connection that waits, for its next request or to be closed, holds no worker.
void log_limits(apr_pool_t* pool, server_rec* server, const ModuleState& state,
                const char* versions) {
  const int workers =
      std::max(1, ask_mpm(AP_MPMQ_MAX_DAEMONS)) * std::max(1, ask_mpm(AP_MPMQ_MAX_THREADS));
  const char* connections = "";
  if (ask_mpm(AP_MPMQ_IS_ASYNC) > 0) {
    const double factor = async_request_worker_factor(pool);
    connections = apr_psprintf(pool, " on up to %.0f connections (AsyncRequestWorkerFactor %g)",
                               workers * (1 + factor), factor);
  }
  ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, server,
               "WSB0014: mod_wsbalance %s, %s: %u relay thread(s) a child, at most %u handshakes "
               "waiting, at most %" APR_SIZE_T_FMT
               " bytes kept in a process; MaxRequestWorkers allows %d requests at once%s, and "
               "open tunnels take none of these",
               WSB_VERSION, versions, state.relay.threads, state.waiting_handshakes_max,
               state.relay.buffer_total_bytes_max, workers, connections);
}

}  // namespace

void log_startup(apr_pool_t* pool, server_rec* server, const ModuleState& state) {
  const Version httpd = running_httpd();
  const std::string built_with = library_name(OPENSSL_VERSION_TEXT);
  const std::string runs_with = library_name(OpenSSL_version(OPENSSL_VERSION));
  log_limits(pool, server, state,
             apr_psprintf(pool, "built for httpd %s with %s, running in httpd %s with %s",
                          text_of(pool, kHttpdBuilt), built_with.c_str(), text_of(pool, httpd),
                          runs_with.c_str()));
  if (httpd < kHttpdBuilt) {
    ap_log_error(
        APLOG_MARK, APLOG_WARNING, 0, server,
        "WSB0027: this httpd is %s, and the module was built for %s: httpd promises only "
        "that newer versions run what was built for older ones. Update httpd, or build the "
        "module for this one",
        text_of(pool, httpd), text_of(pool, kHttpdBuilt));
  }
  if (!is_openssl_fit(openssl_version(OpenSSL_version_num()),
                      openssl_version(OPENSSL_VERSION_NUMBER))) {
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, server,
                 "WSB0028: the module runs with %s and was built with %s, which may have functions "
                 "that this one lacks or does otherwise: update OpenSSL, or build the module with "
                 "this one",
                 runs_with.c_str(), built_with.c_str());
  }
  const char* const of_mod_ssl = library_of_mod_ssl(pool, server);
  if (of_mod_ssl != nullptr && runs_with != of_mod_ssl) {
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, server,
                 "WSB0029: mod_ssl uses %s and this module %s: a tunnel over TLS holds a thread "
                 "(WSBalanceMaxPumped). Build the module with the OpenSSL of mod_ssl",
                 of_mod_ssl, runs_with.c_str());
  }
}

}  // namespace wsbalance::httpd
