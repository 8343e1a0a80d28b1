// proxy_symbols.h - what we use of mod_proxy, so that loading us does not fail without it.
//
// Layer:    httpd.
//
// httpd resolves a module's symbols when it loads it. Weak ones are null when mod_proxy is not
// there by then, and start-up can say in one line what to do, instead of the loader's "undefined
// symbol". httpd_api.h includes this, so that the list holds for every source. scripts/check
// compares this list with what the module really needs.
#pragma once

// Of httpd's proxy_util.h, which is not installed; an older httpd does not have it.
extern "C" int ap_proxy_canon_url(request_rec* r);

#pragma weak ap_proxy_acquire_connection
#pragma weak ap_proxy_backend_broke
#pragma weak ap_proxy_balancer_get_best_worker
#pragma weak ap_proxy_buckets_lifetime_transform
#pragma weak ap_proxy_canon_netloc
#pragma weak ap_proxy_canon_url
#pragma weak ap_proxy_canonenc
#pragma weak ap_proxy_canonenc_ex
#pragma weak ap_proxy_connect_backend
#pragma weak ap_proxy_connection_create_ex
#pragma weak ap_proxy_cookie_reverse_map
#pragma weak ap_proxy_create_hdrbrgd
#pragma weak ap_proxy_determine_connection
#pragma weak ap_proxy_get_balancer
#pragma weak ap_proxy_get_worker
#pragma weak ap_proxy_initialize_worker
#pragma weak ap_proxy_location_reverse_map
#pragma weak ap_proxy_pass_brigade
#pragma weak ap_proxy_port_of_scheme
#pragma weak ap_proxy_post_request
#pragma weak ap_proxy_pre_http_request
#pragma weak ap_proxy_release_connection
#pragma weak ap_proxy_should_override
#pragma weak ap_proxy_ssl_engine
#pragma weak ap_proxy_worker_can_upgrade
#pragma weak proxy_hook_canon_handler
#pragma weak proxy_hook_check_trans
#pragma weak proxy_hook_post_request
#pragma weak proxy_hook_pre_request
#pragma weak proxy_hook_scheme_handler
#pragma weak proxy_module
#pragma weak proxy_run_create_req

namespace wsbalance::httpd {

inline bool is_proxy_loaded() { return proxy_hook_scheme_handler != nullptr; }

}  // namespace wsbalance::httpd
