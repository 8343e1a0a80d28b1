// pool.h - C++ objects in APR pools.
//
// Layer:    httpd.
// Owns:     nothing; the pool does.
// Threads:  the one that may use the pool.
#pragma once

#include <new>
#include <type_traits>
#include <utility>

#include "httpd/httpd_api.h"

namespace wsbalance::httpd {

// Builds a T in pool memory; it is destroyed when the pool is cleared or destroyed.
template <typename T, typename... Args>
T* pool_new(apr_pool_t* pool, Args&&... args) {
  static_assert(alignof(T) <= 8, "apr_palloc() aligns to 8 bytes only");
  static_assert(std::is_nothrow_destructible_v<T>, "a pool cleanup cannot report a throw");
  T* object = new (apr_palloc(pool, sizeof(T))) T(std::forward<Args>(args)...);
  if constexpr (!std::is_trivially_destructible_v<T>) {
    apr_pool_cleanup_register(
        pool, object,
        [](void* data) -> apr_status_t {
          static_cast<T*>(data)->~T();
          return APR_SUCCESS;
        },
        apr_pool_cleanup_null);
  }
  return object;
}

}  // namespace wsbalance::httpd
