// detach.h - takes a connection away from httpd, which then forgets it.
//
// Layer:    httpd.
// Owns:     what it hands out belongs to the caller.
// Threads:  the worker thread of the request.
//
// httpd keeps reading, shutting down and closing a connection after the handler has returned
// (pipelined requests, lingering close), so it must not have the real descriptor any more: its
// socket record gets an inert one instead, which fails every call at once.
#pragma once

#include <cstddef>
#include <vector>

#include "httpd/httpd_api.h"
#include "relay/endpoint.h"
#include "relay/unique_fd.h"

namespace wsbalance::httpd {

// Can the connection go on as a descriptor, with TLS or without? Returns nullptr if so, else the
// name of what stands in the way: a filter that we do not know, or "HTTP/2".
const char* obstacle_to_detach(conn_rec* connection);

// Takes the rest of a connection whose descriptor was taken (inert_descriptors.h): its TLS, and to the end of `bytes`
// what httpd has read of it already. Without a descriptor in the result the connection is lost.
relay::Connection take_connection(conn_rec* connection, relay::UniqueFd fd,
                                  std::vector<std::byte>& bytes);

}  // namespace wsbalance::httpd
