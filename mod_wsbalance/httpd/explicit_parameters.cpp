#include "httpd/explicit_parameters.h"

#include <algorithm>
#include <new>

#include "httpd/config.h"
#include "httpd/guard.h"
#include "httpd/older_httpd.h"

namespace wsbalance::httpd {
namespace {

const int* find(apr_hash_t* table, const void* key) {
  return static_cast<const int*>(apr_hash_get(table, &key, sizeof(key)));
}

void put(apr_pool_t* pool, apr_hash_t* table, const void* key, int value) {
  apr_hash_set(table, apr_pmemdup(pool, &key, sizeof(key)), sizeof(key),
               apr_pmemdup(pool, &value, sizeof(value)));
}

int on_post_config(apr_pool_t* pool, apr_pool_t*, apr_pool_t*, server_rec* server) {
  return guarded(server, "post_config", HTTP_INTERNAL_SERVER_ERROR, [&] {
    mutable_server_config(server).parameters = ExplicitParameters::read(pool, server);
    return OK;
  });
}

}  // namespace

const ExplicitParameters* ExplicitParameters::read(apr_pool_t* pool,
                                                   const server_rec* main_server) {
  auto* all = new (apr_palloc(pool, sizeof(ExplicitParameters))) ExplicitParameters(pool);
  for (const server_rec* server = main_server; server != nullptr; server = server->next) {
    const auto* conf =
        static_cast<proxy_server_conf*>(ap_get_module_config(server->module_config, &proxy_module));
    const ElementsOf<proxy_worker> workers(conf->workers);
    for (int i = 0; i < conf->workers->nelts; ++i) all->add(pool, &workers[i]);
    const ElementsOf<proxy_balancer> balancers(conf->balancers);
    for (int i = 0; i < conf->balancers->nelts; ++i) all->add(pool, &balancers[i]);
  }
  return all;
}

void ExplicitParameters::add(apr_pool_t* pool, const proxy_worker* worker) {
  if (worker->s->hmax > 0) put(pool, connections_max_, worker, worker->s->hmax);
}

void ExplicitParameters::add(apr_pool_t* pool, const proxy_balancer* balancer) {
  auto* const* members = reinterpret_cast<proxy_worker**>(balancer->workers->elts);
  for (int i = 0; i < balancer->workers->nelts; ++i) add(pool, members[i]);
  // mod_proxy_balancer.c, init_balancer_members().
  const int implied = std::max(balancer->workers->nelts - 1, 0);
  if (!balancer->s->max_attempts_set) put(pool, attempts_implied_, balancer, implied);
}

unsigned ExplicitParameters::connections_max(const proxy_worker* worker) const {
  const int* const found = find(connections_max_, worker);
  return found != nullptr ? static_cast<unsigned>(*found) : 0;
}

bool ExplicitParameters::has_attempts_max(const proxy_balancer* balancer) const {
  if (!balancer->s->max_attempts_set) return false;
  const int* const implied = find(attempts_implied_, balancer);
  return implied == nullptr || balancer->s->max_attempts != *implied;
}

void register_explicit_parameters_hooks() {
  static const char* const kBefore[] = {"mod_proxy_balancer.c", nullptr};
  ap_hook_post_config(on_post_config, nullptr, kBefore, APR_HOOK_REALLY_FIRST);
}

}  // namespace wsbalance::httpd
