// httpd_api.h - the only includer of httpd's and APR's headers.
//
// Layer:    httpd.
//
// mod_proxy.h, mod_status.h and others have no extern "C" of their own: their functions would get
// C++ names that httpd does not have.
#pragma once

// The directive table's functions keep their types (http_config.h).
#define AP_HAVE_DESIGNATED_INITIALIZER 1

extern "C" {
#include <httpd.h>

#include <apr_date.h>
#include <apr_hash.h>
#include <apr_lib.h>
#include <apr_optional.h>
#include <apr_shm.h>
#include <apr_strings.h>
#include <apr_thread_proc.h>
#include <http_config.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_log.h>
#include <http_main.h>
#include <http_protocol.h>
#include <http_request.h>
#include <http_ssl.h>
#if __has_include(<mod_http2.h>)
#include <mod_http2.h>
#endif
#include <mod_proxy.h>
#include <mod_ssl.h>
#include <mod_ssl_openssl.h>
#include <mod_status.h>
#include <mpm_common.h>
#include <scoreboard.h>
#include <unixd.h>
#include <util_filter.h>

#if !__has_include(<mod_http2.h>)  // httpd before 2.4.55 does not install it.
APR_DECLARE_OPTIONAL_FN(void, http2_get_num_workers, (server_rec * server, int* low, int* high));
#endif

extern module AP_MODULE_DECLARE_DATA wsbalance_module;
}

APLOG_USE_MODULE(wsbalance);

#include "httpd/proxy_symbols.h"
