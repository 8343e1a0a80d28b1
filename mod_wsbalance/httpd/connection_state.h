// connection_state.h - what we remember of a connection of httpd, to a client or to a member.
//
// Layer:    httpd.
// Owns:     nothing; it lives in the connection's pool.
// Threads:  the worker thread of the connection.
#pragma once

#include "httpd/httpd_api.h"
#include "httpd/pool.h"

namespace wsbalance::httpd {

struct DepartingTunnel;  // httpd/hand_over.h

struct ConnectionState {
  SSL* ssl = nullptr;  // mod_ssl's, as long as mod_ssl has it.
  DepartingTunnel* departing = nullptr;
};

inline ConnectionState* find_connection_state(const conn_rec* connection) {
  return static_cast<ConnectionState*>(
      ap_get_module_config(connection->conn_config, &wsbalance_module));
}

inline ConnectionState& connection_state(conn_rec* connection) {
  ConnectionState* state = find_connection_state(connection);
  if (state == nullptr) {
    state = pool_new<ConnectionState>(connection->pool);
    ap_set_module_config(connection->conn_config, &wsbalance_module, state);
  }
  return *state;
}

}  // namespace wsbalance::httpd
