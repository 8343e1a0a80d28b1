// entry_points.cpp - the functions that mod_wsbalance.c names, and the map of all hooks.
//
// In the order in which httpd calls them:
//
//   pre_config            startup          mod_proxy is there, and loaded before us?
//   check_config          config_check     members with TLS that nothing switches on, directives
//                                          that exclude each other; routes to balancers get
//                                          the slash that they lack
//   test_config           settings_dump    only with -t: -D DUMP_WSBALANCE
//   open_logs             tunnel_log       files and programs of WSBalanceLog
//   post_config           explicit_parameters  max= and maxattempts= before mod_proxy changes them
//   post_config           startup, members shared rows, limits, names of sticky balancers; members
//                                          that were out stay out
//   child_init            startup, child   relay, log writer, row keeper, health checker start
//   error_log             connect_watch    why mod_proxy could not connect to a member
//   quick_handler         cache_bypass     mod_cache does not see handshakes
//   pre_handshake         tls_take_over    (mod_ssl) which SSL belongs to a connection
//   post_read_request     forwarded_fields which X-Forwarded-* are the client's own
//   child_stopping        startup, child   pumped tunnels are closed, at a stop all are
//   check_trans           route            (mod_proxy) is a ws:// route right for this request?
//   fixups                route            426 where nothing else took the request
//   handler               cache_bypass     mod_cache again, without CacheQuickHandler
//   pre_request           lb_methods       (mod_proxy) the key of a request for lbmethod=byhash
//   pre_request           next_member      (mod_proxy) what a balancer was asked for
//   pre_request           sticky_route     (mod_proxy) which route the client's cookie names
//   (a balancer chooses)  lb_methods       (mod_proxy_balancer) bytunnels, byp2c, byhash
//   canon_handler         sticky_route     (mod_proxy) the client's own fields are back
//   canon_handler         route            (mod_proxy) ws:// URLs where no other module does it
//   scheme_handler        upgrade_handler  (mod_proxy) for every request the route cookie;
//                                          handshake, 101, hand-over to the relay
//   post_request          failover         (mod_proxy) our refusals are not the member's, and
//                                          what members did was told attempt by attempt
//   request_status        sticky_route     (mod_proxy) no route cookie where no member answered
//   request_status        next_member      (mod_proxy) Retry-After where no member was left
//   pre_close_connection  hand_over        the client's connection becomes a tunnel's
//   status_hook           status           (mod_status) figures
//   child_status          startup          the row of a child that died is cleared
//   (a child's pool ends)  child_exit      a carrier is forked, or tunnels are closed
//   (configuration ends)   server_stop     the server stops: carriers are told and waited for
#include "httpd/cache_bypass.h"
#include "httpd/config.h"
#include "httpd/config_check.h"
#include "httpd/connect_watch.h"
#include "httpd/directives.h"
#include "httpd/explicit_parameters.h"
#include "httpd/failover.h"
#include "httpd/forwarded_fields.h"
#include "httpd/hand_over.h"
#include "httpd/lb_methods.h"
#include "httpd/next_member.h"
#include "httpd/pool.h"
#include "httpd/route.h"
#include "httpd/settings_dump.h"
#include "httpd/startup.h"
#include "httpd/status.h"
#include "httpd/sticky_route.h"
#include "httpd/tls_take_over.h"
#include "httpd/tunnel_log.h"
#include "httpd/upgrade_handler.h"

namespace w = wsbalance::httpd;

extern "C" {

void* wsbalance_create_dir_config(apr_pool_t* pool, char*) {
  return w::pool_new<w::DirConfig>(pool);
}

void* wsbalance_merge_dir_config(apr_pool_t* pool, void* base, void* add) {
  return w::pool_new<w::DirConfig>(
      pool, w::merge(*static_cast<w::DirConfig*>(base), *static_cast<w::DirConfig*>(add)));
}

void* wsbalance_create_server_config(apr_pool_t* pool, server_rec*) {
  return w::pool_new<w::ServerConfig>(pool);
}

void* wsbalance_merge_server_config(apr_pool_t* pool, void* base, void* add) {
  return w::pool_new<w::ServerConfig>(
      pool, w::merge(*static_cast<w::ServerConfig*>(base), *static_cast<w::ServerConfig*>(add)));
}

void wsbalance_register_hooks(apr_pool_t* pool) {
  w::register_startup_hooks();
  if (!w::is_proxy_loaded()) return;  // Start-up ends with a line that says so.
  w::register_cache_hooks();
  w::register_connect_watch_hooks();
  w::register_route_hooks();
  w::register_config_check_hooks();
  w::register_settings_dump_hooks();
  w::register_tunnel_log_hooks();
  w::register_forwarded_fields_hooks();
  w::register_lb_methods(pool);
  w::register_explicit_parameters_hooks();
  w::register_next_member_hooks();
  w::register_failover_hooks();
  w::register_upgrade_hooks();
  w::register_tls_hooks();
  w::register_hand_over_hooks();
  w::register_status_hooks();
  w::register_sticky_hooks();
}

}  // extern "C"
