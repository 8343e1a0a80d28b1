#include "httpd/hash_key.h"

#include <string>

#include "balance/client_key.h"

namespace wsbalance::httpd {
namespace {

// At the pool, which an internal redirect has too.
constexpr const char* kKey = "mod_wsbalance: hash key";

struct PreparedKey {
  const BalancerConfig* config;
  const char* text;
};

const char* evaluate(request_rec* r, const BalancerConfig& config) {
  const char* error = nullptr;
  const char* const text = ap_expr_str_exec(r, config.hash_key, &error);
  if (error == nullptr) return text;
  ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                "WSB0501: WSBalanceHashKey of %s: %s: the client's address is taken", config.name,
                error);
  return nullptr;
}

const PreparedKey* find(request_rec* r, const BalancerConfig& config) {
  void* found = nullptr;
  apr_pool_userdata_get(&found, kKey, r->pool);
  const auto* const key = static_cast<const PreparedKey*>(found);
  return key != nullptr && key->config == &config ? key : nullptr;
}

const char* address_of(request_rec* r) {
  std::string key;
  if (const apr_sockaddr_t* const address = r->useragent_addr) {
    key = balance::address_key({static_cast<const std::uint8_t*>(address->ipaddr_ptr),
                                static_cast<std::size_t>(address->ipaddr_len)});
  }
  return key.empty() ? r->useragent_ip : apr_pstrmemdup(r->pool, key.data(), key.size());
}

}  // namespace

void prepare_hash_key(request_rec* r, const BalancerConfig& config) {
  if (config.hash_key == nullptr) return;
  auto* const key = static_cast<PreparedKey*>(apr_palloc(r->pool, sizeof(PreparedKey)));
  *key = {&config, evaluate(r, config)};
  apr_pool_userdata_setn(key, kKey, nullptr, r->pool);
}

const char* hash_key(request_rec* r, const BalancerConfig& config) {
  if (config.hash_key == nullptr) return address_of(r);
  const PreparedKey* key = find(r, config);
  if (key == nullptr) {
    prepare_hash_key(r, config);
    key = find(r, config);
  }
  return key->text != nullptr && *key->text != '\0' ? key->text : address_of(r);
}

}  // namespace wsbalance::httpd
