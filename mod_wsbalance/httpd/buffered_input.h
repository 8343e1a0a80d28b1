// buffered_input.h - what a connection's input filters have read already.
//
// Layer:    httpd.
// Threads:  the worker thread of the connection.
#pragma once

#include <cstddef>
#include <vector>

#include "httpd/httpd_api.h"

namespace wsbalance::httpd {

// Appends it to `bytes`. Call it when nothing can come from the network any more: then all that is
// still there goes to the new owner of the descriptor. May throw std::bad_alloc.
void take_buffered_input(conn_rec* connection, std::vector<std::byte>& bytes);

}  // namespace wsbalance::httpd
