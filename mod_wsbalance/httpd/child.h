// child.h - what one child process has of us: its relay, its log writer, its row, its inert
// descriptor.
//
// Layer:    httpd.
// Owns:     the relay and with it every tunnel of this process.
// Threads:  start() and stop() the child's main thread; the rest any worker thread.
// Errors:   start() throws what the relay throws; make_inert() gives an empty descriptor.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "httpd/httpd_api.h"
#include "httpd/log_writer.h"
#include "httpd/module_state.h"
#include "httpd/shared_rows.h"
#include "relay/relay.h"
#include "relay/settings_pool.h"
#include "relay/unique_fd.h"

namespace wsbalance::httpd {

class Child final : public relay::TunnelObserver {
 public:
  // Makes the child's object and starts its threads; they are stopped by a cleanup of `pool`.
  // The object itself is left to the end of the process: prefork may run that cleanup in a signal
  // handler, where nothing may be freed.
  static Child* start(apr_pool_t* pool, server_rec* server, ModuleState& state);

  relay::Relay& relay() { return relay_; }
  ChildRow& row() { return *row_; }

  // Is this the first handshake in a second that finds no slot? The others need no warning.
  bool should_warn_of_waiting();

  // Of no other tunnel, in any child, before or after a restart.
  std::uint64_t next_tunnel_id();

  // A new descriptor that is open, connected to nothing, and fails every read and write at once.
  relay::UniqueFd make_inert() const;

  relay::SettingsPool& settings() { return settings_; }

  // Pumped tunnels of this process (WSBalanceMaxPumped).
  std::atomic<unsigned>& pumped() { return pumped_; }

  // Must a worker that is held by a tunnel let it go, because the process is to end? The descriptor
  // becomes readable then. Where nothing tells of that (prefork, graceful), a look has to be taken
  // every look_interval_ms(); -1: never.
  bool is_stopping() const;
  int stopping_fd() const { return stopping_fd_.get(); }
  int look_interval_ms() const { return is_threaded_ ? -1 : 1000; }

  // child_stopping. By system calls only: prefork calls it in a signal handler.
  void begin_stop();

  void tunnel_ended(const relay::TunnelSummary& summary,
                    std::unique_ptr<relay::TunnelContext> context) noexcept override;

 private:
  Child(server_rec* server, ModuleState& state);
  static apr_status_t stop(void* data);

  ModuleState& state_;
  ChildRow own_row_;  // Counts where the shared rows are all taken.
  ChildRow* row_;
  std::atomic<apr_time_t> warned_of_waiting_{0};
  std::atomic<unsigned> pumped_{0};
  std::atomic<bool> is_stopping_{false};
  bool is_threaded_;
  int generation_;
  relay::UniqueFd inert_;
  relay::UniqueFd stopping_fd_;
  const std::uint64_t first_tunnel_id_;
  std::atomic<std::uint64_t> tunnel_ids_{0};
  relay::SettingsPool settings_;
  LogWriter log_writer_;  // Before the relay, whose threads push to it.
  relay::Relay relay_;
};

}  // namespace wsbalance::httpd
