// forwarded_fields.h - X-Forwarded-Proto and X-Forwarded-Port, which mod_proxy does not send.
//
// Layer:    httpd.
// Owns:     the request's header table as it was, until the end of the object.
// Threads:  the worker thread of the request.
//
// A member decides by them whether cookies are secure and what its own URL is, so a client must
// not choose them. Whoever set them on the way may: the configuration (RequestHeader), and a proxy
// in front of us that mod_remoteip trusts.
#pragma once

#include "httpd/httpd_api.h"

namespace wsbalance::httpd {

// While it lives, the request's headers have both fields, unless ProxyAddHeaders is off.
class ForwardedFields {
 public:
  explicit ForwardedFields(request_rec* r);
  ForwardedFields(const ForwardedFields&) = delete;
  ForwardedFields& operator=(const ForwardedFields&) = delete;
  ~ForwardedFields() { r_->headers_in = before_; }

 private:
  request_rec* r_;
  apr_table_t* before_;
};

// How the client reaches us, or the proxy in front of us: "https" or "http", as a member gets it in
// X-Forwarded-Proto.
const char* scheme_of_client(const request_rec* r);

// post_read_request: remembers what the client itself sent.
void register_forwarded_fields_hooks();

}  // namespace wsbalance::httpd
