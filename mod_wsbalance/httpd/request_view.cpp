#include "httpd/request_view.h"

namespace wsbalance::httpd {

RequestView::RequestView(const request_rec* r) {
  const apr_array_header_t* lines = apr_table_elts(r->headers_in);
  const auto* entries = reinterpret_cast<const apr_table_entry_t*>(lines->elts);
  fields_.reserve(static_cast<std::size_t>(lines->nelts));
  for (int i = 0; i < lines->nelts; ++i) {
    fields_.push_back({entries[i].key, protocol::trim(entries[i].val)});
  }
  head_ = {r->method, HTTP_VERSION_MAJOR(r->proto_num), HTTP_VERSION_MINOR(r->proto_num), fields_};
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
