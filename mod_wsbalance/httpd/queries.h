// queries.h - httpd and APR functions that answer through a pointer, as functions of a value.
//
// Layer:    httpd.
// Threads:  any.
#pragma once

#include "httpd/httpd_api.h"

namespace wsbalance::httpd {

// `question`: an AP_MPMQ_ number. 0 if the MPM does not know.
inline int ask_mpm(int question) {
  int answer = 0;
  return ap_mpm_query(question, &answer) == APR_SUCCESS ? answer : 0;
}

inline int descriptor_of(apr_socket_t* socket) {
  apr_os_sock_t fd = -1;
  apr_os_sock_get(&fd, socket);
  return fd;
}

}  // namespace wsbalance::httpd
