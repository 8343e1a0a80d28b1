// settings.h - what holds of each directive, as text: the table behind DUMP_WSBALANCE.
//
// Layer:    httpd.
// Threads:  the main thread, when the configuration has been read.
#pragma once

#include <span>
#include <string>

#include "httpd/balancer_config.h"
#include "httpd/config.h"

namespace wsbalance::httpd {

enum class Place { server, scope, balancer };  // As in the three configs of a SettingView.

// Where settings are looked at. What of it a row does not need may be null.
struct SettingView {
  server_rec* server = nullptr;
  const ServerConfig* whole = nullptr;
  const DirConfig* scope = nullptr;
  const BalancerConfig* balancer = nullptr;
  const proxy_balancer* record = nullptr;
};

struct Shown {
  std::string value;     // What stands behind the directive's name.
  std::string origin{};  // Of a default that is no constant: how it comes about.
  bool is_line = true;   // Can be written as a line of a configuration that says the same.

  bool operator==(const Shown&) const = default;
};

struct Setting {
  const char* name;
  Place place;
  Shown (*show)(const SettingView& view);
};

// All directives but other names of one, in the order of the manual. One that has a line for each
// side has a row for each.
std::span<const Setting> all_settings();

}  // namespace wsbalance::httpd
