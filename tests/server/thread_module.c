/* A module with a thread that does not end with its child, for test_carrier_limits.py. */
#include "httpd.h" /* Before the others, which need it. */

#include <pthread.h>
#include <unistd.h>

#include "http_config.h"
#include "http_log.h"

APLOG_USE_MODULE(test_thread);

static void* stay(void* unused) {
  for (;;) pause();
  return unused;
}

static void on_child_init(apr_pool_t* pool, server_rec* server) {
  pthread_t thread;
  (void)pool;
  if (pthread_create(&thread, NULL, stay, NULL) != 0) {
    ap_log_error(APLOG_MARK, APLOG_ERR, 0, server, "test thread: not started");
  }
}

static void register_hooks(apr_pool_t* pool) {
  (void)pool;
  ap_hook_child_init(on_child_init, NULL, NULL, APR_HOOK_MIDDLE);
}

module AP_MODULE_DECLARE_DATA test_thread_module = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks};
