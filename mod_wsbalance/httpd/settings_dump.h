// settings_dump.h - httpd -t -D DUMP_WSBALANCE: the settings that hold, as lines of a configuration.
//
// Layer:    httpd.
// Threads:  the main thread of a server that only tests its configuration.
#pragma once

namespace wsbalance::httpd {

// test_config.
void register_settings_dump_hooks();

}  // namespace wsbalance::httpd
