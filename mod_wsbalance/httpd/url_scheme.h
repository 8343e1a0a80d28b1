// url_scheme.h - the scheme of a URL that mod_proxy hands around.
//
// Layer:    httpd.
// Threads:  stateless.
#pragma once

#include <string_view>

#include "protocol/field.h"

namespace wsbalance::httpd {

// Has `url` this scheme, in any case?
inline bool has_scheme(std::string_view url, std::string_view scheme) {
  return url.size() > scheme.size() && url[scheme.size()] == ':' &&
         protocol::equal_ignoring_case(url.substr(0, scheme.size()), scheme);
}

}  // namespace wsbalance::httpd
