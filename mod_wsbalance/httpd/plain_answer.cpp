#include "httpd/plain_answer.h"

#include "httpd/answer_headers.h"

namespace wsbalance::httpd {
namespace {

// httpd's filters read a body only for a request_rec: this one stands for the member's answer. It
// lives as long as the member's connection; mod_proxy destroys it at the release.
request_rec* make_answer_request(request_rec* r, proxy_conn_rec* connection) {
  conn_rec* member = connection->connection;
  apr_pool_t* pool = nullptr;
  apr_pool_create(&pool, member->pool);
  apr_pool_tag(pool, "wsbalance_answer");
  auto* answer = static_cast<request_rec*>(apr_pcalloc(pool, sizeof(request_rec)));
  answer->pool = pool;
  answer->status = HTTP_OK;
  answer->headers_in = apr_table_make(pool, 20);
  answer->trailers_in = apr_table_make(pool, 2);
  answer->subprocess_env = apr_table_make(pool, 2);
  answer->headers_out = apr_table_make(pool, 2);
  answer->trailers_out = apr_table_make(pool, 2);
  answer->err_headers_out = apr_table_make(pool, 2);
  answer->notes = apr_table_make(pool, 2);
  answer->server = r->server;
  answer->log = r->log;
  answer->proxyreq = PROXYREQ_RESPONSE;
  answer->request_time = r->request_time;
  answer->connection = member;
  answer->input_filters = answer->proto_input_filters = member->input_filters;
  answer->output_filters = answer->proto_output_filters = member->output_filters;
  answer->useragent_ip = member->client_ip;
  answer->useragent_addr = member->client_addr;
  answer->request_config = ap_create_request_config(pool);
  proxy_run_create_req(r, answer);
  connection->r = answer;
  return answer;
}

// ProxyErrorOverride: the body of the error is httpd's, not the member's.
int override_error(request_rec* r, int status) {
  if (const char* challenge = apr_table_get(r->headers_out, "WWW-Authenticate")) {
    if (status == HTTP_UNAUTHORIZED) {
      apr_table_set(r->err_headers_out, "WWW-Authenticate", challenge);
    }
  }
  // With an error status of its own ErrorDocument would think that it calls itself.
  r->status = HTTP_OK;
  // Keeps proxy_handler() from taking a 500 or 503 for the member's failure.
  apr_table_setn(r->notes, "proxy-error-override", "1");
  return status;
}

// Passes the body piece by piece; what is there goes out before it waits for more. Returns OK, or
// DONE when the answer could not be finished.
int pass_body(request_rec* r, request_rec* answer, apr_bucket_brigade* in,
              apr_bucket_brigade* out) {
  constexpr apr_off_t kPieceBytes = AP_IOBUFSIZE;
  apr_read_type_e mode = APR_NONBLOCK_READ;
  for (;;) {
    const apr_status_t rv =
        ap_get_brigade(answer->input_filters, in, AP_MODE_READBYTES, mode, kPieceBytes);
    bool finished = false;
    int result = OK;
    if (mode == APR_NONBLOCK_READ &&
        (APR_STATUS_IS_EAGAIN(rv) || (rv == APR_SUCCESS && APR_BRIGADE_EMPTY(in)))) {
      APR_BRIGADE_INSERT_TAIL(out, apr_bucket_flush_create(r->connection->bucket_alloc));
      mode = APR_BLOCK_READ;
    } else if (rv == APR_EOF || (rv == APR_SUCCESS && APR_BRIGADE_EMPTY(in))) {
      // The end of a body that lasts until the member closes (RFC 9112 6.3 item 8).
      APR_BRIGADE_INSERT_TAIL(out, apr_bucket_eos_create(r->connection->bucket_alloc));
      finished = true;
    } else if (rv != APR_SUCCESS) {
      ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, r,
                    "WSB0241: the member broke off in the body of its answer");
      ap_proxy_backend_broke(r, out);
      finished = true;
      result = DONE;
    } else {
      ap_proxy_buckets_lifetime_transform(r, in, out);
      finished = APR_BUCKET_IS_EOS(APR_BRIGADE_LAST(out));
      mode = APR_NONBLOCK_READ;
    }
    const apr_status_t passed = ap_pass_brigade(r->output_filters, out);
    apr_brigade_cleanup(out);
    apr_brigade_cleanup(in);
    if (passed != APR_SUCCESS || r->connection->aborted) return DONE;
    if (finished) return result;
  }
}

int pass_empty_body(request_rec* r, apr_bucket_brigade* out) {
  APR_BRIGADE_INSERT_TAIL(out, apr_bucket_eos_create(r->connection->bucket_alloc));
  ap_pass_brigade(r->output_filters, out);
  apr_brigade_cleanup(out);
  return r->connection->aborted ? DONE : OK;
}

bool has_body(const request_rec* r, int status) {
  return !r->header_only && !AP_STATUS_IS_HEADER_ONLY(status);
}

}  // namespace

int pass_plain_answer(request_rec* r, const proxy_server_conf* conf, MemberConnection& member,
                      const protocol::ResponseHead& head) {
  auto* dir = static_cast<proxy_dir_conf*>(ap_get_module_config(r->per_dir_config, &proxy_module));
  request_rec* answer = make_answer_request(r, member.get());
  const int status = head.status();
  r->status = status;
  const std::string_view reason = head.reason();
  r->status_line =
      apr_psprintf(r->pool, "%d %.*s", status, static_cast<int>(reason.size()), reason.data());
  apr_table_setn(r->notes, "proxy-status", r->status_line);

  take_member_fields(r, head.fields());
  const char* coding = apr_table_get(r->headers_out, "Transfer-Encoding");
  const bool offers_websocket = protocol::has_token(head.fields(), "Upgrade", "websocket");
  // RFC 9112 6.3: Transfer-Encoding counts, and both together smell of request smuggling.
  if (coding != nullptr) apr_table_unset(r->headers_out, "Content-Length");
  if (!remove_hop_by_hop(r)) {
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                  "WSB0242: the member's answer has a malformed Connection field");
    r->headers_out = apr_table_make(r->pool, 2);
    return HTTP_BAD_GATEWAY;
  }
  if (const char* type = apr_table_get(r->headers_out, "Content-Type")) {
    ap_set_content_type(r, apr_pstrdup(r->pool, type));
  }
  add_via(r, conf, member.server_port_text());

  if (ap_proxy_should_override(dir, status)) return override_error(r, status);
  // The upgrade that a 426 asks for is about the client's connection too (RFC 9110 15.5.22).
  if (offers_websocket) {
    apr_table_setn(r->headers_out, "Upgrade", "websocket");
    apr_table_setn(r->headers_out, "Connection", "Upgrade");
  }

  r->sent_bodyct = 1;
  apr_bucket_brigade* out = apr_brigade_create(r->pool, r->connection->bucket_alloc);
  if (!has_body(r, status)) {
    member.release();
    return pass_empty_body(r, out);
  }
  // HTTP_IN finds the end of the body by the fields of its request.
  answer->headers_in = apr_table_clone(answer->pool, r->headers_out);
  if (coding != nullptr) apr_table_setn(answer->headers_in, "Transfer-Encoding", coding);
  apr_table_unset(r->headers_out, "Transfer-Encoding");
  ap_proxy_pre_http_request(answer->connection, answer);
  apr_bucket_brigade* in = apr_brigade_create(answer->pool, answer->connection->bucket_alloc);
  return pass_body(r, answer, in, out);
}

}  // namespace wsbalance::httpd
