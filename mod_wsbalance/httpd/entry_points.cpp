// entry_points.cpp - the functions that mod_wsbalance.c names, and the map of all hooks.
//
// In the order in which httpd calls them:
//
//   pre_config            startup          mod_proxy is there, and loaded before us?
//   check_config          config_check     members with TLS that nothing switches on, directives
//                                          that exclude each other
//   open_logs             tunnel_log       files and programs of WSBalanceLog
//   post_config           startup, members shared rows, limits
//   child_init            startup, child   relay, log writer, row keeper start
//   pre_handshake         tls_take_over    (mod_ssl) which SSL belongs to a connection
//   post_read_request     forwarded_fields which X-Forwarded-* are the client's own
//   child_stopping        startup, child   pumped tunnels are closed, at a stop all are
//   check_trans           route            (mod_proxy) is a ws:// route right for this request?
//   fixups                route            426 where nothing else took the request
//   canon_handler         route            (mod_proxy) ws:// URLs where no other module does it
//   scheme_handler        upgrade_handler  (mod_proxy) handshake, 101, hand-over to the relay
//   post_request          upgrade_handler  (mod_proxy) our refusals are not the member's
//   pre_close_connection  hand_over        the client's connection becomes a tunnel's
//   status_hook           status           (mod_status) figures
//   child_status          startup          the row of a child that died is cleared
//   (a child's pool ends)  child_exit      a carrier is forked, or tunnels are closed
//   (configuration ends)   server_stop     the server stops: carriers are told and waited for
#include "httpd/config.h"
#include "httpd/config_check.h"
#include "httpd/directives.h"
#include "httpd/forwarded_fields.h"
#include "httpd/hand_over.h"
#include "httpd/pool.h"
#include "httpd/route.h"
#include "httpd/startup.h"
#include "httpd/status.h"
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

void wsbalance_register_hooks(apr_pool_t*) {
  w::register_startup_hooks();
  if (!w::is_proxy_loaded()) return;  // Start-up ends with a line that says so.
  w::register_route_hooks();
  w::register_config_check_hooks();
  w::register_tunnel_log_hooks();
  w::register_forwarded_fields_hooks();
  w::register_upgrade_hooks();
  w::register_tls_hooks();
  w::register_hand_over_hooks();
  w::register_status_hooks();
}

}  // extern "C"
