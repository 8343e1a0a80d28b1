// answer_reader.h - reads the head of a member's answer within a limited time.
//
// Layer:    httpd.
// Threads:  the worker thread of the request.
// Errors:   timed_out, client_gone, or failed (ResponseHead::error() says which rule).
#pragma once

#include <chrono>

#include "httpd/httpd_api.h"
#include "protocol/response_head.h"

namespace wsbalance::httpd {

// Has the client gone away? Asked without waiting.
bool is_gone(conn_rec* client);

enum class AnswerResult { complete, timed_out, client_gone, failed };

// Reads until `head` is complete, skipping interim answers (RFC 9110 15.2) other than 101, at most
// until `deadline`, however slowly the bytes drip, and only as long as the client of `r` is there:
// one that went away must not hold a worker. What follows the head stays in httpd's filters.
AnswerResult read_answer_head(request_rec* r, proxy_conn_rec* connection,
                              std::chrono::steady_clock::time_point deadline,
                              protocol::ResponseHead& head);

}  // namespace wsbalance::httpd
