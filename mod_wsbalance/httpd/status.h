// status.h - our part of mod_status.
//
// Layer:    httpd.
// Threads:  worker threads.
#pragma once

namespace wsbalance::httpd {

// status_hook, an optional hook: without mod_status nobody calls it.
void register_status_hooks();

}  // namespace wsbalance::httpd
