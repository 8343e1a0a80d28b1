// handshake_slot.h - one of the handshakes that may wait for a member at the same time.
//
// Layer:    httpd.
// Owns:     one count in the child's row, until release() or its end.
// Threads:  the worker thread of the handshake.
#pragma once

#include "httpd/module_state.h"
#include "httpd/shared_rows.h"

namespace wsbalance::httpd {

// Where all slots are taken, a handshake waits for one while others are freed all the time, so that
// a burst is served whole by members that answer at once. Where none is freed for kQuietLooks it
// gives up, and those that come after it do so at once until one is: with members that are slow or
// hang, no worker is held by a handshake that has no slot.
class HandshakeSlot {
 public:
  HandshakeSlot(const ModuleState& state, ProcessRow& row);
  HandshakeSlot(const HandshakeSlot&) = delete;
  HandshakeSlot& operator=(const HandshakeSlot&) = delete;
  ~HandshakeSlot() { release(); }

  explicit operator bool() const { return row_ != nullptr; }
  void release();

 private:
  static constexpr apr_interval_time_t kLookEvery = apr_time_from_msec(1);
  static constexpr int kQuietLooks = 3;
  static constexpr int kLooksMax = 20;

  static bool try_count_in(const ModuleState& state, ProcessRow& row);

  HandshakeProgress& progress_;
  ProcessRow* row_ = nullptr;
};

}  // namespace wsbalance::httpd
