// detach.h - takes a connection's descriptor away from httpd, which then forgets the connection.
//
// Layer:    httpd.
// Owns:     what it hands out: the real descriptor belongs to the caller.
// Threads:  the worker thread of the request.
//
// httpd keeps reading, shutting down and closing a connection after the handler has returned
// (pipelined requests, lingering close), so it must not have the real descriptor any more: its
// socket record gets an inert one instead, which fails every call at once.
#pragma once

#include <cstddef>
#include <vector>

#include "httpd/httpd_api.h"
#include "relay/unique_fd.h"

namespace wsbalance::httpd {

// Can the connection go on as a plain descriptor? Returns nullptr if so, else the name of what
// stands in the way: a filter that changes the bytes or that we do not know, or "HTTP/2".
const char* obstacle_to_detach(conn_rec* connection);

// Exchanges the descriptor in `socket` for `inert` and returns the real one.
relay::UniqueFd take_descriptor(apr_socket_t* socket, relay::UniqueFd inert);

// Appends what the connection's input filters have read already. Call it after take_descriptor():
// then nothing can come from the network any more, and all that is still there goes to the new
// owner of the descriptor.
void take_buffered_input(conn_rec* connection, std::vector<std::byte>& bytes);

// Marks a client's connection as given away, so that httpd closes it without lingering.
void mark_detached(conn_rec* connection);

// pre_close_connection.
void register_detach_hooks();

}  // namespace wsbalance::httpd
