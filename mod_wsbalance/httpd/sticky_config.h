// sticky_config.h - what an administrator wants of a balancer's route cookie: WSBalanceSticky.
//
// Layer:    httpd.
// Threads:  written while the configuration is read, read by any thread after that.
#pragma once

#include <string>
#include <vector>

#include "balance/cookie.h"

namespace wsbalance::httpd {

enum class SecureCookie { automatic, on, off };

struct StickyConfig {
  std::string cookie;  // Its name.
  balance::CookieAttributes attributes;
  SecureCookie secure = SecureCookie::automatic;
  std::string key_file;             // Empty: cookies are not signed.
  std::vector<std::string> keys;    // Of that file, in their order.
  bool is_key_file_public = false;  // Others than its owner and group may read it.
};

}  // namespace wsbalance::httpd
