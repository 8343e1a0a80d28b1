// log_writer.h - the thread of a child that writes what there is to say about tunnels that ended:
// WSBalanceLog, and the lines of the error log.
//
// Layer:    httpd.
// Owns:     its thread and the records that wait.
// Threads:  push() from any thread; start() and stop() from the child's main thread.
// Errors:   start() throws std::system_error. A log that takes nothing costs lines, never a wait of
//           whoever pushes; the error log says how many.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "httpd/broken_rules.h"
#include "httpd/httpd_api.h"
#include "httpd/log_output.h"
#include "httpd/shortage.h"
#include "httpd/tunnel_info.h"
#include "relay/quiet_thread.h"
#include "relay/unique_fd.h"

namespace wsbalance::httpd {

class LogWriter {
 public:
  // `main_server`: whose error log gets what is no virtual host's. May throw std::bad_alloc and
  // std::system_error.
  LogWriter(server_rec* main_server, const ModuleState& state);
  ~LogWriter();
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;

  // Also after pause(), one that gave up too, and in a process that was forked since.
  void start();

  // Ends the thread after the line that it is at; what waits goes on to wait. False if a log held it
  // up for longer. Not in a signal handler.
  bool pause(std::chrono::milliseconds limit) noexcept;

  // Between pause() and start(), in a carrier.
  void forward() noexcept { output_.forward(); }
  void list_descriptors(std::vector<int>& found) const;

  // Takes a record whose tunnel has ended. Neither waits nor allocates; where kWaitingMax records
  // wait already, it is dropped and counted.
  void push(std::unique_ptr<TunnelInfo> info) noexcept;

  // Lets the thread write what waits, for `limit` at most, and end; after pause() the caller's thread
  // does it. False if that was not enough.
  // Safe in a signal handler that interrupted any code of this process (prefork ends its children
  // there): the thread does not free a record from here on, and this only waits.
  bool stop(std::chrono::milliseconds limit) noexcept;

 private:
  static constexpr std::uint32_t kWaitingMax = 16384;

  static void run(void* self) noexcept;
  bool is_wanted(const TunnelInfo& info) const noexcept;
  void write_until_stop() noexcept;
  TunnelInfo* take_all() noexcept;
  void wait() noexcept;
  void write(const TunnelInfo& info) noexcept;
  void write_tunnel_log(const TunnelInfo& info);
  void write_error_log(const TunnelInfo& info) noexcept;
  void tell_broken_rules(const TunnelInfo& info);
  void tell_resources(const TunnelInfo& info) noexcept;
  void tell_lost() noexcept;
  std::chrono::milliseconds patience() const noexcept;
  bool is_stopping() const noexcept { return stop_at_.load(std::memory_order_acquire) != 0; }

  relay::UniqueFd wake_;
  std::atomic<TunnelInfo*> newest_{nullptr};  // Of those that wait; each points to the one before.
  std::atomic<std::uint32_t> waiting_{0};
  std::atomic<std::uint64_t> lost_{0};  // Not told yet.
  Shortage resources_;                  // Tunnels end with that reason.
  std::atomic<bool> is_paused_{false};
  std::atomic<std::int64_t> stop_at_{0};  // When stop() gives up: steady, milliseconds; 0: running.

  // Of the thread.
  LogOutput output_;
  std::string line_;
  BrokenRules broken_rules_;
  std::int64_t told_lost_ms_;  // When.

  relay::QuietThread thread_{run, this};
};

}  // namespace wsbalance::httpd
