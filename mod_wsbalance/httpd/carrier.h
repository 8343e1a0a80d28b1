// carrier.h - the process that goes on with a child's tunnels when the child has ended gracefully.
//
// Layer:    httpd.
// Owns:     the whole process.
// Threads:  the only thread of a process that has just been forked.
// Errors:   logged; its tunnels are closed then, and the process ends.
#pragma once

#include <chrono>
#include <cstdint>

#include "httpd/httpd_api.h"
#include "httpd/process_id.h"

namespace wsbalance::relay {
class Relay;
}

namespace wsbalance::httpd {

class Lineage;
class LogWriter;
class OrderFollower;
class ParentWatch;
class SharedRows;
struct ProcessRow;

// What the child leaves to its carrier.
struct Inheritance {
  server_rec* server;     // The main one.
  relay::Relay& relay;    // Paused.
  LogWriter& log_writer;  // Paused.
  const Lineage& lineage;
  const ParentWatch& parent;
  const SharedRows& rows;
  ProcessRow& row;  // The child's, which has become the carrier's.
  OrderFollower& orders;
  ProcessId self;  // The carrier.
  int generation;
  std::chrono::milliseconds drain_timeout{0};  // WSBalanceDrainTimeout; 0: off.
};

// Carries the tunnels until the last one has ended, the server stops, or its parent is gone. Until
// then all signals are blocked, as they were when the process was forked.
[[noreturn]] void run_carrier(const Inheritance& inheritance) noexcept;

}  // namespace wsbalance::httpd
