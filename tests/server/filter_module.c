/* A connection filter that mod_wsbalance does not know, for test_filters.py.
 *
 *   TestFilter client|member mask
 *
 * On the connections with clients, or with members, of this virtual host each byte is xored with
 * the mask. With 0 the bytes stay as they are; but in every case the filter holds what it has read
 * and was not asked for yet, and logs at the end how many bytes it has seen. */
#include "httpd.h" /* Before the others, which need it. */

#include <string.h>

#include "apr_strings.h"
#include "http_config.h"
#include "http_connection.h"
#include "http_log.h"
#include "util_filter.h"

APLOG_USE_MODULE(test_filter);

#define IN_NAME "TEST_FILTER_IN"
#define OUT_NAME "TEST_FILTER_OUT"
#define READ_SIZE 8192

typedef struct {
  const char* side;
  unsigned char mask;
} settings;

typedef struct {
  conn_rec* connection;
  const settings* settings;
  apr_bucket_brigade* held; /* Xored, not asked for yet. */
  apr_off_t in, out;
} state;

static void append_xored(state* s, apr_bucket_brigade* to, const char* data, apr_size_t size) {
  char* copy = apr_bucket_alloc(size, to->bucket_alloc);
  for (apr_size_t i = 0; i < size; i++) copy[i] = (char)(data[i] ^ s->settings->mask);
  APR_BRIGADE_INSERT_TAIL(to,
                          apr_bucket_heap_create(copy, size, apr_bucket_free, to->bucket_alloc));
}

/* Empties `from` into `to`; `count` is what was xored. */
static apr_status_t pass_xored(state* s, apr_bucket_brigade* from, apr_bucket_brigade* to,
                               apr_off_t* count) {
  while (!APR_BRIGADE_EMPTY(from)) {
    apr_bucket* bucket = APR_BRIGADE_FIRST(from);
    if (APR_BUCKET_IS_METADATA(bucket)) {
      APR_BUCKET_REMOVE(bucket);
      APR_BRIGADE_INSERT_TAIL(to, bucket);
      continue;
    }
    const char* data = NULL;
    apr_size_t size = 0;
    apr_status_t rv = apr_bucket_read(bucket, &data, &size, APR_BLOCK_READ);
    if (rv != APR_SUCCESS) return rv;
    if (size > 0) append_xored(s, to, data, size);
    *count += (apr_off_t)size;
    apr_bucket_delete(bucket);
  }
  return APR_SUCCESS;
}

/* Copies up to `size` of what is held and leaves it there. */
static apr_status_t look_ahead(state* s, apr_bucket_brigade* into, apr_off_t size) {
  apr_size_t count = (apr_size_t)size;
  char* data = apr_bucket_alloc(count, into->bucket_alloc);
  apr_status_t rv = apr_brigade_flatten(s->held, data, &count);
  if (rv == APR_SUCCESS) {
    APR_BRIGADE_INSERT_TAIL(
        into, apr_bucket_heap_create(data, count, apr_bucket_free, into->bucket_alloc));
  } else {
    apr_bucket_free(data);
  }
  return rv;
}

static apr_status_t filter_in(ap_filter_t* f, apr_bucket_brigade* into, ap_input_mode_t mode,
                              apr_read_type_e block, apr_off_t size) {
  state* s = f->ctx;
  if (mode == AP_MODE_INIT) return ap_get_brigade(f->next, into, mode, block, size);
  if (mode != AP_MODE_READBYTES && mode != AP_MODE_GETLINE && mode != AP_MODE_SPECULATIVE) {
    return APR_ENOTIMPL;
  }
  if (APR_BRIGADE_EMPTY(s->held)) {
    apr_bucket_brigade* fresh = apr_brigade_create(f->c->pool, f->c->bucket_alloc);
    apr_status_t rv = ap_get_brigade(f->next, fresh, AP_MODE_READBYTES, block, READ_SIZE);
    if (rv == APR_SUCCESS) rv = pass_xored(s, fresh, s->held, &s->in);
    apr_brigade_destroy(fresh);
    if (rv != APR_SUCCESS) return rv;
  }
  if (APR_BRIGADE_EMPTY(s->held)) return APR_SUCCESS;
  if (mode == AP_MODE_SPECULATIVE) return look_ahead(s, into, size);
  if (mode == AP_MODE_GETLINE) {
    return apr_brigade_split_line(into, s->held, APR_BLOCK_READ, HUGE_STRING_LEN);
  }
  apr_bucket* rest = NULL;
  apr_status_t rv = apr_brigade_partition(s->held, size, &rest);
  if (rv != APR_SUCCESS && rv != APR_INCOMPLETE) return rv;
  while (APR_BRIGADE_FIRST(s->held) != rest && !APR_BRIGADE_EMPTY(s->held)) {
    apr_bucket* bucket = APR_BRIGADE_FIRST(s->held);
    APR_BUCKET_REMOVE(bucket);
    APR_BRIGADE_INSERT_TAIL(into, bucket);
  }
  return APR_SUCCESS;
}

static apr_status_t filter_out(ap_filter_t* f, apr_bucket_brigade* brigade) {
  state* s = f->ctx;
  apr_bucket_brigade* xored = apr_brigade_create(f->c->pool, f->c->bucket_alloc);
  apr_status_t rv = pass_xored(s, brigade, xored, &s->out);
  if (rv == APR_SUCCESS) rv = ap_pass_brigade(f->next, xored);
  apr_brigade_destroy(xored);
  return rv;
}

static apr_status_t tell(void* baton) {
  state* s = baton;
  ap_log_error(APLOG_MARK, APLOG_INFO, 0, s->connection->base_server,
               "test filter: %s in=%" APR_OFF_T_FMT " out=%" APR_OFF_T_FMT, s->settings->side,
               s->in, s->out);
  return APR_SUCCESS;
}

static int on_pre_connection(conn_rec* c, void* socket) {
  const settings* wanted = ap_get_module_config(c->base_server->module_config, &test_filter_module);
  (void)socket;
  if (wanted->side == NULL || strcmp(wanted->side, c->outgoing ? "member" : "client") != 0) {
    return DECLINED;
  }
  state* s = apr_pcalloc(c->pool, sizeof(*s));
  s->connection = c;
  s->settings = wanted;
  s->held = apr_brigade_create(c->pool, c->bucket_alloc);
  apr_pool_pre_cleanup_register(c->pool, s, tell);
  ap_add_input_filter(IN_NAME, s, NULL, c);
  ap_add_output_filter(OUT_NAME, s, NULL, c);
  return OK;
}

static const char* set_filter(cmd_parms* command, void* unused, const char* side,
                              const char* mask) {
  settings* found = ap_get_module_config(command->server->module_config, &test_filter_module);
  (void)unused;
  found->side = side;
  found->mask = (unsigned char)apr_strtoi64(mask, NULL, 0);
  return NULL;
}

static void* create_settings(apr_pool_t* pool, server_rec* server) {
  (void)server;
  return apr_pcalloc(pool, sizeof(settings));
}

static const command_rec commands[] = {
    AP_INIT_TAKE2("TestFilter", set_filter, NULL, RSRC_CONF, "client or member, and a mask"),
    {NULL}};

static void register_hooks(apr_pool_t* pool) {
  (void)pool;
  /* Below TLS, so that it sees what goes over the wire. */
  ap_register_input_filter(IN_NAME, filter_in, NULL, AP_FTYPE_NETWORK - 1);
  ap_register_output_filter(OUT_NAME, filter_out, NULL, AP_FTYPE_NETWORK - 1);
  ap_hook_pre_connection(on_pre_connection, NULL, NULL, APR_HOOK_MIDDLE);
}

module AP_MODULE_DECLARE_DATA test_filter_module = {
    STANDARD20_MODULE_STUFF, NULL, NULL, create_settings, NULL, commands, register_hooks};
