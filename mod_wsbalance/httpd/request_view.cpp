#include "httpd/request_view.h"

namespace wsbalance::httpd {

RequestView::RequestView(const request_rec* r) {
  // mod_http2 makes an upgrade of HTTP/1.1 of an extended CONNECT (RFC 8441 5), and says that its
  // body is chunked, which no field of HTTP/2 can say.
  const bool is_http2 = r->connection->master != nullptr;
  const apr_array_header_t* lines = apr_table_elts(r->headers_in);
  const auto* entries = reinterpret_cast<const apr_table_entry_t*>(lines->elts);
  fields_.reserve(static_cast<std::size_t>(lines->nelts));
  for (int i = 0; i < lines->nelts; ++i) {
    if (is_http2 && ap_cstr_casecmp(entries[i].key, "Transfer-Encoding") == 0) continue;
    fields_.push_back({entries[i].key, protocol::trim(entries[i].val)});
  }
  const int version = is_http2 ? HTTP_VERSION(1, 1) : r->proto_num;
  head_ = {r->method, HTTP_VERSION_MAJOR(version), HTTP_VERSION_MINOR(version), fields_};
}

bool wants_websocket(const request_rec* r) {
  // The cheap look first: this runs for every request that is proxied.
  if (apr_table_get(r->headers_in, "Upgrade") == nullptr) return false;
  if (r->main != nullptr) return false;
  for (const request_rec* previous = r->prev; previous != nullptr; previous = previous->prev) {
    if (ap_is_HTTP_ERROR(previous->status)) return false;
  }
  return protocol::is_websocket_upgrade(RequestView(r).head());
}

bool is_left_alone(request_rec* r, const proxy_worker* worker) {
  if (*worker->s->upgrade == '\0') return false;
  if (!ap_proxy_worker_can_upgrade(r->pool, worker, "WebSocket", nullptr)) return true;
  // A list may have other protocols beside WebSocket.
  const char* offered = apr_table_get(r->headers_in, "Upgrade");
  return offered != nullptr && !wants_websocket(r) &&
         ap_proxy_worker_can_upgrade(r->pool, worker, offered, nullptr);
}

}  // namespace wsbalance::httpd
