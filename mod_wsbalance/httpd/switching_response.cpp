#include "httpd/switching_response.h"

#include <array>
#include <string>

namespace wsbalance::httpd {
namespace {

// RFC 9110 6.6.1 and 8.6, RFC 9112 6.1: a 101 has no body, so nothing may announce one. The first
// three are set anew.
constexpr std::array<const char*, 5> kReplaced = {"Upgrade", "Connection", "Sec-WebSocket-Accept",
                                                  "Content-Length", "Transfer-Encoding"};

// mod_headers acts in an output filter of the request only, and a 101 passes none: call the filter
// on a copy that has nobody behind it.
void apply_header_directives(request_rec* r) {
  for (const ap_filter_t* filter = r->output_filters; filter != nullptr; filter = filter->next) {
    if (std::string_view(filter->frec->name) != "fixup_headers_out") continue;
    ap_filter_t copy = *filter;
    copy.next = nullptr;
    apr_bucket_brigade* nothing = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    copy.frec->filter_func.out_func(&copy, nothing);
    apr_brigade_destroy(nothing);
    return;
  }
}

int append_field(void* text, const char* name, const char* value) {
  static_cast<std::string*>(text)->append(name).append(": ").append(value).append("\r\n");
  return 1;
}

}  // namespace

bool send_switching_response(request_rec* r, std::string_view accept) {
  r->status = HTTP_SWITCHING_PROTOCOLS;
  r->status_line = "101 Switching Protocols";
  apply_header_directives(r);
  for (const char* name : kReplaced) {
    apr_table_unset(r->headers_out, name);
    apr_table_unset(r->err_headers_out, name);
  }
  apr_table_setn(r->headers_out, "Upgrade", "websocket");
  apr_table_setn(r->headers_out, "Connection", "Upgrade");
  apr_table_setn(r->headers_out, "Sec-WebSocket-Accept",
                 apr_pstrmemdup(r->pool, accept.data(), accept.size()));

  std::string head;
  head.reserve(512);
  head.append("HTTP/1.1 101 Switching Protocols\r\n");
  apr_table_do(append_field, &head, r->headers_out, nullptr);
  apr_table_do(append_field, &head, r->err_headers_out, nullptr);
  head.append("\r\n");

  conn_rec* client = r->connection;
  apr_bucket_brigade* brigade = apr_brigade_create(r->pool, client->bucket_alloc);
  APR_BRIGADE_INSERT_TAIL(
      brigade, apr_bucket_transient_create(head.data(), head.size(), client->bucket_alloc));
  APR_BRIGADE_INSERT_TAIL(brigade, apr_bucket_flush_create(client->bucket_alloc));
  const apr_status_t rv = ap_pass_brigade(client->output_filters, brigade);
  apr_brigade_destroy(brigade);
  return rv == APR_SUCCESS && !client->aborted;
}

}  // namespace wsbalance::httpd
