#include "httpd/answer_reader.h"

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <string_view>

#include "httpd/queries.h"

namespace wsbalance::httpd {
namespace {

using Deadline = std::chrono::steady_clock::time_point;

constexpr int kInterimAnswersMax = 10;  // As mod_proxy_http takes at most.

enum class Wait { readable, timed_out, client_gone };

// A stream of HTTP/2 has no descriptor that tells of its end, only a flag.
constexpr std::chrono::milliseconds kLookForEndOfStream{250};

// Waits until the member has sent something.
Wait wait_readable(apr_socket_t* member, conn_rec* client, Deadline deadline) {
  const bool has_descriptor = client->master == nullptr;
  pollfd entries[] = {
      {descriptor_of(member), POLLIN, 0},
      {has_descriptor ? descriptor_of(ap_get_conn_socket(client)) : -1, POLLRDHUP, 0}};
  for (;;) {
    auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return Wait::timed_out;
    if (client->aborted) return Wait::client_gone;
    if (!has_descriptor) left = std::min(left, kLookForEndOfStream);
    if (poll(entries, std::size(entries), static_cast<int>(left.count())) <= 0) continue;
    return entries[0].revents != 0 ? Wait::readable : Wait::client_gone;
  }
}

// Feeds what one non-blocking read of a line gave. Reading by lines leaves what follows the head
// where httpd's own readers will look for it. Returns the read's status; `bytes` says how much
// came.
apr_status_t read_line(conn_rec* member, apr_bucket_brigade* brigade, protocol::ResponseHead& head,
                       apr_size_t& bytes) {
  bytes = 0;
  const apr_status_t rv = ap_get_brigade(member->input_filters, brigade, AP_MODE_GETLINE,
                                         APR_NONBLOCK_READ, HUGE_STRING_LEN);
  for (apr_bucket* bucket = APR_BRIGADE_FIRST(brigade); bucket != APR_BRIGADE_SENTINEL(brigade);
       bucket = APR_BUCKET_NEXT(bucket)) {
    const char* data = nullptr;
    apr_size_t size = 0;
    if (apr_bucket_read(bucket, &data, &size, APR_NONBLOCK_READ) != APR_SUCCESS) break;
    head.feed({data, size});
    bytes += size;
  }
  apr_brigade_cleanup(brigade);
  return rv;
}

bool is_skipped(int status) { return status < 200 && status != HTTP_SWITCHING_PROTOCOLS; }

AnswerResult read_head(proxy_conn_rec* connection, conn_rec* client, Deadline deadline,
                       apr_bucket_brigade* brigade, protocol::ResponseHead& head) {
  using State = protocol::ResponseHead::State;
  // On a fresh connection nothing can be there before the socket is readable; but TLS may have read
  // more than its handshake.
  bool must_wait = !connection->is_ssl;
  int interim_answers = 0;
  while (head.state() != State::failed) {
    if (head.state() == State::complete) {
      if (!is_skipped(head.status())) return AnswerResult::complete;
      if (++interim_answers > kInterimAnswersMax) {
        head.refuse(protocol::HandshakeError::too_many_interim_answers);
        break;
      }
      head.reset();
    }
    if (must_wait) {
      const Wait wait = wait_readable(connection->sock, client, deadline);
      if (wait == Wait::timed_out) return AnswerResult::timed_out;
      if (wait == Wait::client_gone) return AnswerResult::client_gone;
    }

    apr_size_t bytes = 0;
    const apr_status_t rv = read_line(connection->connection, brigade, head, bytes);
    must_wait = bytes == 0;
    connection->worker->s->read += static_cast<apr_off_t>(bytes);
    if (rv != APR_SUCCESS && !APR_STATUS_IS_EAGAIN(rv)) head.end_of_file();
  }
  return AnswerResult::failed;
}

}  // namespace

bool is_gone(conn_rec* client) {
  if (client->aborted) return true;
  if (client->master != nullptr) return false;  // Only the flag tells.
  pollfd entry{descriptor_of(ap_get_conn_socket(client)), POLLRDHUP, 0};
  return poll(&entry, 1, 0) > 0;
}

AnswerResult read_answer_head(request_rec* r, proxy_conn_rec* connection, Deadline deadline,
                              protocol::ResponseHead& head) {
  apr_bucket_brigade* brigade =
      apr_brigade_create(connection->connection->pool, connection->connection->bucket_alloc);
  const AnswerResult result = read_head(connection, r->connection, deadline, brigade, head);
  apr_brigade_destroy(brigade);
  return result;
}

}  // namespace wsbalance::httpd
