#include "httpd/forwarded_fields.h"

#include <string_view>

#include "httpd/pool.h"

namespace wsbalance::httpd {
namespace {

constexpr const char* kProto = "X-Forwarded-Proto";
constexpr const char* kPort = "X-Forwarded-Port";

// The values as the client sent them. A value that somebody has set since then stands at another
// address: tables hold pointers, and a change always makes a new string.
struct FromClient {
  const char* proto = nullptr;
  const char* port = nullptr;
};

FromClient* find(const request_rec* r) {
  return static_cast<FromClient*>(ap_get_module_config(r->request_config, &wsbalance_module));
}

// Before mod_headers (`early`) and mod_remoteip.
int remember(request_rec* r) {
  if (r->prev != nullptr) {  // An internal redirect keeps the table.
    ap_set_module_config(r->request_config, &wsbalance_module, find(r->prev));
    return DECLINED;
  }
  const char* proto = apr_table_get(r->headers_in, kProto);
  const char* port = apr_table_get(r->headers_in, kPort);
  if (proto != nullptr || port != nullptr) {
    ap_set_module_config(r->request_config, &wsbalance_module,
                         pool_new<FromClient>(r->pool, FromClient{proto, port}));
  }
  return DECLINED;
}

// Did mod_remoteip take the client's address from a field that a trusted proxy had sent? With the
// PROXY protocol, which has a filter of its own, it does not look at any field.
bool is_proxy_trusted(const request_rec* r) {
  if (r->useragent_addr == r->connection->client_addr) return false;
  for (const ap_filter_t* f = r->connection->input_filters; f != nullptr; f = f->next) {
    if (std::string_view(f->frec->name) == "remoteip_input") return false;
  }
  return true;
}

// The field's value, unless that is the client's own word only.
const char* accepted(const request_rec* r, const char* name, const char* from_client) {
  const char* value = apr_table_get(r->headers_in, name);
  return value != nullptr && (value != from_client || is_proxy_trusted(r)) ? value : nullptr;
}

void set(request_rec* r, const char* name, const char* from_client, const char* ours) {
  if (accepted(r, name, from_client) == nullptr) apr_table_setn(r->headers_in, name, ours);
}

bool adds_headers(const request_rec* r) {
  const auto* config =
      static_cast<proxy_dir_conf*>(ap_get_module_config(r->per_dir_config, &proxy_module));
  return config->add_forwarded_headers != 0;
}

}  // namespace

ForwardedFields::ForwardedFields(request_rec* r) : r_(r), before_(r->headers_in) {
  if (!adds_headers(r)) return;
  const FromClient* found = find(r);
  const FromClient from_client = found != nullptr ? *found : FromClient{};
  r->headers_in = apr_table_copy(r->pool, before_);
  set(r, kProto, from_client.proto, ap_http_scheme(r));
  set(r, kPort, from_client.port, apr_itoa(r->pool, r->connection->local_addr->port));
}

const char* scheme_of_client(const request_rec* r) {
  const FromClient* found = find(r);
  const char* value = accepted(r, kProto, found != nullptr ? found->proto : nullptr);
  return value != nullptr ? value : ap_http_scheme(r);
}

void register_forwarded_fields_hooks() {
  ap_hook_post_read_request(remember, nullptr, nullptr, APR_HOOK_REALLY_FIRST);
}

}  // namespace wsbalance::httpd
