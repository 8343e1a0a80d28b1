// log_output.h - where lines about tunnels go: the logs, or from a carrier the children that have
// the logs open.
//
// Layer:    httpd.
// Owns:     nothing: logs are httpd's, the channel is the server's.
// Threads:  the log writer; forward() before that has started.
// Errors:   a tunnel log that breaks is told of in the error log, once.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "httpd/httpd_api.h"
#include "httpd/log_channel.h"
#include "httpd/shared_rows.h"

namespace wsbalance::httpd {

class LogFile;       // httpd/log_file.h
struct ModuleState;  // httpd/module_state.h

class LogOutput {
 public:
  // `main_server`: whose error log gets what is no virtual host's. May throw std::bad_alloc.
  LogOutput(server_rec* main_server, const ModuleState& state);

  // From here on this process is a carrier. Its own logs get a line only if no child takes it.
  void forward() noexcept { is_forwarding_ = true; }

  // One line, whole, into the tunnel log of this virtual host, if it has one. False: it is lost,
  // because nobody reads; to be counted. Waits for `patience` at most.
  [[nodiscard]] bool write_tunnel_log(const server_rec* server, std::string_view line,
                                      std::chrono::milliseconds patience) noexcept;

  // As ap_log_error(). Null: the main server.
  void write_error_log(int level, apr_status_t status, const server_rec* server, const char* format,
                       ...) noexcept __attribute__((format(printf, 5, 6)));

  // What carriers have sent, as far as it is there. Returns how many lines were lost.
  std::size_t write_forwarded(std::chrono::milliseconds patience) noexcept;

  // Adds the descriptors that a carrier needs for its lines.
  void list_descriptors(std::vector<int>& found) const;

  // Readable when there is something. -1 in a carrier, and in a child that lingers after a reload:
  // its logs may be those that were rotated away.
  int forwarded_fd() const noexcept {
    return is_forwarding_ || rows_.epoch() != epoch_ ? -1 : channel_.out();
  }

 private:
  static constexpr std::size_t kErrorLineBytes = 4096;
  static constexpr int kForwardedMax = 64;  // Of one call.

  bool send(const LogMessage& message, std::chrono::milliseconds patience) noexcept;
  bool write_file(LogFile& file, std::string_view line,
                  std::chrono::milliseconds patience) noexcept;
  bool write_message(const LogMessage& message, std::chrono::milliseconds patience) noexcept;

  server_rec* const main_server_;
  LogChannel channel_;
  const SharedRows rows_;
  const std::uint32_t epoch_;
  bool is_forwarding_ = false;
  bool is_stalled_ = false;  // The last message was not taken.
  std::vector<char> message_;
};

}  // namespace wsbalance::httpd
