// older_httpd.h - what not every httpd that we are built for has. No other file asks for its number.
//
// Layer:    httpd.
// Threads:  any.
//
// docs/supported-versions.md has the list. Where a function is missing there is another way, at
// compile time and where one is weak also when a newer build runs in an older httpd.
#pragma once

#include <cstddef>
#include <cstring>

#include "httpd/httpd_api.h"

#if !AP_MODULE_MAGIC_AT_LEAST(20120211, 121)
#error "mod_wsbalance needs the headers of httpd 2.4.52 or later"
#endif

#if AP_MODULE_MAGIC_AT_LEAST(20120211, 129)
#pragma weak ap_get_pollfd_from_conn
#endif

namespace wsbalance::httpd {

// The URL of a member without its path. 2.4.52 has no longer name; it refuses one that does not fit. A
// module that was built for it sees only the beginning of longer ones in a newer httpd.
inline const char* full_name(const proxy_worker_shared& member) {
#if AP_MODULE_MAGIC_AT_LEAST(20120211, 124)
  return member.name_ex;
#else
  return member.name;
#endif
}

// Encodes the path of a URL for a member. Null: it cannot be. Before 2.4.56 an encoded slash is
// encoded once more, `keeps_encoded_slashes` or not.
inline const char* encode_path(request_rec* r, const char* path, bool keeps_encoded_slashes) {
  const int length = static_cast<int>(strlen(path));
#if AP_MODULE_MAGIC_AT_LEAST(20120211, 127)
  if (ap_proxy_canonenc_ex != nullptr) {
    const int flags = keeps_encoded_slashes ? PROXY_CANONENC_NOENCODEDSLASHENCODING : 0;
    return ap_proxy_canonenc_ex(r->pool, path, length, enc_path, flags, r->proxyreq);
  }
#else
  static_cast<void>(keeps_encoded_slashes);
#endif
  return ap_proxy_canonenc(r->pool, path, length, enc_path, 0, r->proxyreq);
}

// What tells of input on a connection over HTTP/2. False: nothing does, before 2.4.58.
inline bool find_input(conn_rec* connection, apr_pollfd_t* found) {
#if AP_MODULE_MAGIC_AT_LEAST(20120211, 129)
  apr_interval_time_t timeout = 0;
  return ap_get_pollfd_from_conn != nullptr &&
         ap_get_pollfd_from_conn(connection, found, &timeout) == APR_SUCCESS;
#else
  static_cast<void>(connection);
  static_cast<void>(found);
  return false;
#endif
}

// The elements of an array of mod_proxy's own, which in a newer httpd may be larger than in the one
// that we were built for (proxy_worker is since 2.4.59).
template <typename T>
class ElementsOf {
 public:
  explicit ElementsOf(const apr_array_header_t* array) : array_(array) {}
  T& operator[](int i) const {
    return *reinterpret_cast<T*>(array_->elts + static_cast<std::ptrdiff_t>(i) * array_->elt_size);
  }

 private:
  const apr_array_header_t* array_;
};

// A copy of a record of mod_proxy's, for its own functions. In a newer httpd the record may have fields
// that we do not know: in the copy they are there, and 0.
template <typename T>
T* copy_of(apr_pool_t* pool, const T& record) {
  constexpr std::size_t kRoom = 512;
  void* const copy = apr_pcalloc(pool, sizeof(T) + kRoom);
  memcpy(copy, &record, sizeof(T));
  return static_cast<T*>(copy);
}

}  // namespace wsbalance::httpd
