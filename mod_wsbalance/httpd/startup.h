// startup.h - checks of the configuration, shared memory, and the start of each child.
//
// Layer:    httpd.
// Threads:  the main thread of the parent or of a child.
#pragma once

namespace wsbalance::httpd {

// pre_config, post_config, child_init and child_status.
void register_startup_hooks();

}  // namespace wsbalance::httpd
