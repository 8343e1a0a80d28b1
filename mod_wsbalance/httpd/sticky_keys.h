// sticky_keys.h - the keys that sign route cookies, in a file.
//
// Layer:    httpd.
// Threads:  called while the configuration is read.
// Errors:   null, or what is wrong with the file.
#pragma once

#include <string>
#include <vector>

#include "httpd/httpd_api.h"

namespace wsbalance::httpd {

// A key a line, without white space around it; empty lines and those that begin with # are none.
// `is_public`: others than the file's owner and group may read it.
const char* read_sticky_keys(apr_pool_t* pool, const char* path, std::vector<std::string>& keys,
                             bool& is_public);

}  // namespace wsbalance::httpd
