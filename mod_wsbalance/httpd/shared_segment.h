// shared_segment.h - the shared memory of the rows: made once, found again after each restart.
//
// Layer:    httpd.
// Owns:     nothing: the memory belongs to the process that httpd's parent is, until that ends.
// Threads:  the parent's main thread.
// Errors:   empty, and `rv` tells why there is no shared memory.
#pragma once

#include <optional>

#include "httpd/httpd_api.h"
#include "httpd/shared_rows.h"

namespace wsbalance::httpd {

// The rows of earlier generations, or new ones with `numbers` if there are none; those that are there
// keep their numbers.
std::optional<SharedRows> open_shared_rows(server_rec* server, RowNumbers numbers,
                                           apr_status_t* rv);

}  // namespace wsbalance::httpd
