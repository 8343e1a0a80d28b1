/* other_mod_ssl.c - a module that says, as mod_ssl does, which OpenSSL it uses. */
#include <httpd.h>

#include <http_config.h>
#include <mod_ssl.h>

static char* ssl_var_lookup(apr_pool_t* pool, server_rec* server, conn_rec* connection,
                            request_rec* request, char* name) {
  (void)pool, (void)server, (void)connection, (void)request;
  return strcmp(name, "SSL_VERSION_LIBRARY") == 0 ? (char*)"OpenSSL/9.9.9" : (char*)"";
}

static void register_hooks(apr_pool_t* pool) {
  (void)pool;
  APR_REGISTER_OPTIONAL_FN(ssl_var_lookup);
}

module AP_MODULE_DECLARE_DATA other_mod_ssl_module = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks, 0};
