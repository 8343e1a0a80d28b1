// request_view.h - a request_rec as the pure handshake rules see one.
//
// Layer:    httpd.
// Owns:     the list of fields; the text is the request's.
// Threads:  the worker thread of the request.
#pragma once

#include <vector>

#include "httpd/httpd_api.h"
#include "protocol/upgrade_request.h"

namespace wsbalance::httpd {

class RequestView {
 public:
  explicit RequestView(const request_rec* r);
  const protocol::RequestHead& head() const { return head_; }

 private:
  std::vector<protocol::Field> fields_;
  protocol::RequestHead head_;
};

// Is this a request of a client for a WebSocket? Never a subrequest, and never the internal
// redirect of an error: an ErrorDocument that is proxied would otherwise open a tunnel for a client
// that access control has just refused.
bool wants_websocket(const request_rec* r);

// Does the worker's upgrade= leave this request to mod_proxy's own modules? Without the parameter
// it does not; with it WebSockets are ours if it has them, and of everything else nothing is.
bool is_left_alone(request_rec* r, const proxy_worker* worker);

}  // namespace wsbalance::httpd
