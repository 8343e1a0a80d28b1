#include "httpd/buffered_input.h"

namespace wsbalance::httpd {

void take_buffered_input(conn_rec* connection, std::vector<std::byte>& bytes) {
  ap_remove_input_filter_byhandle(connection->input_filters, "reqtimeout");
  apr_bucket_brigade* brigade = apr_brigade_create(connection->pool, connection->bucket_alloc);
  // Each turn takes a bucket that is there already, or meets the end of what is there and stops.
  while (ap_get_brigade(connection->input_filters, brigade, AP_MODE_READBYTES, APR_NONBLOCK_READ,
                        HUGE_STRING_LEN) == APR_SUCCESS &&
         !APR_BRIGADE_EMPTY(brigade)) {
    for (apr_bucket* bucket = APR_BRIGADE_FIRST(brigade); bucket != APR_BRIGADE_SENTINEL(brigade);
         bucket = APR_BUCKET_NEXT(bucket)) {
      const char* data = nullptr;
      apr_size_t size = 0;
      if (apr_bucket_read(bucket, &data, &size, APR_NONBLOCK_READ) != APR_SUCCESS) continue;
      const auto* begin = reinterpret_cast<const std::byte*>(data);
      bytes.insert(bytes.end(), begin, begin + size);
    }
    apr_brigade_cleanup(brigade);
  }
  apr_brigade_destroy(brigade);
}

}  // namespace wsbalance::httpd
