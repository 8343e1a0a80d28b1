// cache_bypass.h - mod_cache leaves handshakes alone.
//
// Layer:    httpd.
// Threads:  the worker thread of the request.
//
// A handshake is a GET, so mod_cache would answer it with the page that it keeps for the same URL,
// or make it conditional to have that page validated, or keep what the member answers.
#pragma once

namespace wsbalance::httpd {

void register_cache_hooks();

}  // namespace wsbalance::httpd
