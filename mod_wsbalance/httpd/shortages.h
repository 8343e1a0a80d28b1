// shortages.h - what a child may run out of while it serves handshakes: the answer, and the log's
// lines when that begins and when it is over.
//
// Layer:    httpd.
// Threads:  any worker thread.
#pragma once

#include "httpd/httpd_api.h"
#include "httpd/shortage.h"

namespace wsbalance::httpd {

struct Shortages {
  Shortage descriptors;
  Shortage memory;
};

// The handshake gets 503 with Retry-After; returns that.
int refuse_without_descriptors(request_rec* r, Shortages& shortages);
int refuse_without_memory(request_rec* r);

// A handshake had all that it needs.
void note_enough(const request_rec* r, Shortages& shortages);

}  // namespace wsbalance::httpd
