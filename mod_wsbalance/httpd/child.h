// child.h - what one child process has of us: its relay, its log writer, its row and who keeps the
// rows, who checks members, its inert descriptors.
//
// Layer:    httpd.
// Owns:     the relay and with it every tunnel of this process.
// Threads:  start() and stop() the child's main thread; the rest any worker thread.
// Errors:   start() throws what the relay throws.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "httpd/child_end.h"
#include "httpd/health_checker.h"
#include "httpd/httpd_api.h"
#include "httpd/in_flight.h"
#include "httpd/inert_descriptors.h"
#include "httpd/log_writer.h"
#include "httpd/members.h"
#include "httpd/module_state.h"
#include "httpd/order_follower.h"
#include "httpd/parent_watch.h"
#include "httpd/row_keeper.h"
#include "httpd/shared_rows.h"
#include "httpd/shortages.h"
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
  ProcessRow& row() { return *row_.row; }

  // A tunnel to that member goes to the relay; before that. Its end is counted by tunnel_ended().
  void count_opened(const MemberRef& member) noexcept;

  // What this process counts of a member; null where the shared rows are all taken.
  MemberCell* cell(std::uint16_t member) const {
    return row_.cells != nullptr ? &row_.cells[member] : nullptr;
  }
  // A number of it, and the same over all processes. Only where there is a cell.
  Counter counter(CellNumber number, std::uint16_t member) const;
  // Set at the end of the process: the row may be another's by now.
  const std::atomic<bool>& has_left_row() const { return has_left_row_; }

  // A request on its way to that member, counted from now on.
  InFlight in_flight(const MemberRef& member, bool is_handshake) noexcept;

  // Is this the first handshake in a second that finds no slot? The others need no warning.
  bool should_warn_of_waiting();

  // Of no other tunnel, in any child, before or after a restart.
  std::uint64_t next_tunnel_id();

  const InertDescriptors& inert() const { return inert_; }
  Shortages& shortages() { return shortages_; }

  relay::SettingsPool& settings() { return settings_; }

  // Pumped tunnels of this process (WSBalanceMaxPumped).
  std::atomic<unsigned>& pumped() { return pumped_; }

  // Must a worker that is held by a tunnel let it go, because the process is to end? The descriptor
  // becomes readable then. Where nothing tells of that (prefork, graceful), a look has to be taken
  // every look_interval_ms(); -1: never.
  bool is_stopping() const;
  int stopping_fd() const { return stopping_fd_.get(); }
  int look_interval_ms() const { return end_.is_threaded_mpm ? -1 : 1000; }

  // Those whose thread has to be let go, because the process ends: in order, with 1001.
  void close_pumped_tunnels() noexcept;

  // child_stopping: all tunnels are closed where the end is not graceful. By system calls only:
  // prefork calls it in a signal handler.
  void begin_stop(bool is_graceful);

  void tunnel_leaves(relay::TunnelContext* context) noexcept override;
  void tunnel_ended(const relay::TunnelSummary& summary,
                    std::unique_ptr<relay::TunnelContext> context) noexcept override;

 private:
  Child(server_rec* server, ModuleState& state);
  static apr_status_t end(void* data);
  bool may_have_carrier() const;
  bool move_to_carrier();
  bool are_others_gone() const;
  bool pause_threads();
  [[noreturn]] void run_as_carrier();
  void close_tunnels();
  OwnRow claim_row(const server_rec* server);

  ModuleState& state_;
  server_rec* const server_;
  const ProcessId process_;
  ChildEnd end_;
  const int generation_;
  const ParentWatch parent_;
  std::atomic<apr_time_t> warned_of_waiting_{0};
  std::atomic<unsigned> pumped_{0};
  std::atomic<bool> is_stopping_{false};
  std::atomic<bool> has_left_row_{false};
  ProcessRow private_row_;  // Counts where the shared rows are all taken.
  const OwnRow row_;
  InertDescriptors inert_;
  Shortages shortages_;
  relay::UniqueFd stopping_fd_;
  const std::uint64_t first_tunnel_id_;
  std::atomic<std::uint64_t> tunnel_ids_{0};
  relay::SettingsPool settings_;
  LogWriter log_writer_;  // Before the relay, whose threads push to it.
  relay::Relay relay_;    // Before the row keeper, whose thread orders tunnels of it closed.
  OrderFollower order_follower_;
  RowKeeper row_keeper_;
  HealthChecker health_checker_;
};

}  // namespace wsbalance::httpd
