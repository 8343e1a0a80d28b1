#include "httpd/refusal.h"

namespace wsbalance::httpd {
namespace {

constexpr const char* kOwnRefusal = "wsbalance-own-refusal";
constexpr const char* kRetryAfterSeconds = "5";

int refuse(request_rec* r, int status) {
  close_if_bytes_wait(r);
  apr_table_setn(r->notes, kOwnRefusal, "1");
  // Leaves mod_proxy's loop over members without a mark on the one it had chosen.
  apr_table_setn(r->notes, "proxy-error-override", "1");
  return status;
}

}  // namespace

int refuse_request(request_rec* r, protocol::HandshakeError error) {
  const protocol::HandshakeRule& rule = protocol::rule_of(error);
  ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, "%s: handshake refused with %d: %s (%s)", rule.log_id,
                rule.status, rule.text, rule.reference);
  if (rule.status == HTTP_UPGRADE_REQUIRED) {
    apr_table_setn(r->err_headers_out, "Sec-WebSocket-Version", "13");
    apr_table_setn(r->err_headers_out, "Upgrade", "websocket");
    apr_table_setn(r->err_headers_out, "Connection", "Upgrade");
  }
  return refuse(r, rule.status);
}

int refuse_plain_request(request_rec* r) {
  ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                "WSB0214: %s is a WebSocket route and this request is no upgrade: 426", r->uri);
  apr_table_setn(r->err_headers_out, "Upgrade", "websocket");
  apr_table_setn(r->err_headers_out, "Connection", "Upgrade");
  return refuse(r, HTTP_UPGRADE_REQUIRED);
}

void add_retry_after(request_rec* r) {
  apr_table_setn(r->err_headers_out, "Retry-After", kRetryAfterSeconds);
}

int refuse_busy(request_rec* r) {
  add_retry_after(r);
  return refuse(r, HTTP_SERVICE_UNAVAILABLE);
}

int refuse_after_tries(request_rec* r, int status) {
  if (status == HTTP_SERVICE_UNAVAILABLE) add_retry_after(r);
  return refuse(r, status);
}

int refuse_gone(request_rec* r) { return refuse(r, HTTP_REQUEST_TIME_OUT); }

bool is_own_refusal(const request_rec* r) {
  return apr_table_get(r->notes, kOwnRefusal) != nullptr;
}

void close_if_bytes_wait(request_rec* r) {
  conn_rec* client = r->connection;
  if (client->master != nullptr) return;  // A stream of HTTP/2 has no other request.
  apr_bucket_brigade* brigade = apr_brigade_create(r->pool, client->bucket_alloc);
  const apr_status_t rv =
      ap_get_brigade(client->input_filters, brigade, AP_MODE_SPECULATIVE, APR_NONBLOCK_READ, 1);
  if (rv == APR_SUCCESS && !APR_BRIGADE_EMPTY(brigade)) client->keepalive = AP_CONN_CLOSE;
  apr_brigade_destroy(brigade);
}

}  // namespace wsbalance::httpd
