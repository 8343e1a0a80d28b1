#include "httpd/log_output.h"

#include <array>
#include <cstdarg>

#include "httpd/lineage.h"
#include "httpd/log_file.h"
#include "httpd/module_state.h"
#include "httpd/tunnel_log.h"

namespace wsbalance::httpd {
namespace {

using std::chrono::milliseconds;

// The error log is worth a short wait only: a carrier has files of its own, if old ones.
constexpr milliseconds kErrorLogPatience{100};

// What a virtual host is called over reloads; "" for the main server.
class ServerName {
 public:
  explicit ServerName(const server_rec* server) noexcept {
    if (server == nullptr || !server->is_virtual) return;
    const char* const host = server->server_hostname;
    apr_snprintf(text_.data(), text_.size(), "%s:%u", host != nullptr ? host : "", server->port);
  }
  operator std::string_view() const noexcept { return text_.data(); }

 private:
  std::array<char, 256> text_{};
};

const server_rec* server_named(const server_rec* main_server, std::string_view name) noexcept {
  if (name.empty()) return main_server;
  for (const server_rec* server = main_server->next; server != nullptr; server = server->next) {
    if (ServerName(server) == name) return server;
  }
  return main_server;
}

// What the configuration has open under this name now.
LogFile* file_named(server_rec* main_server, std::string_view name) noexcept {
  for (server_rec* server = main_server; server != nullptr; server = server->next) {
    const TunnelLog* const log = tunnel_log_of(server);
    if (log != nullptr && log->file != nullptr && log->target == name) return log->file;
  }
  return nullptr;
}

}  // namespace

LogOutput::LogOutput(server_rec* main_server, const ModuleState& state)
    : main_server_(main_server),
      channel_(state.lineage->log_in(), state.lineage->log_out()),
      rows_(*state.rows),
      epoch_(state.epoch),
      message_(LogChannel::kMessageBytesMax) {}

// Only the first of many lines waits for somebody who takes them.
bool LogOutput::send(const LogMessage& message, milliseconds patience) noexcept {
  is_stalled_ = !channel_.send(message, is_stalled_ ? milliseconds(0) : patience);
  return !is_stalled_;
}

bool LogOutput::write_tunnel_log(const server_rec* server, std::string_view line,
                                 milliseconds patience) noexcept {
  const TunnelLog* const log = tunnel_log_of(server);
  if (log == nullptr || log->file == nullptr) return true;
  if (is_forwarding_ &&
      send({.kind = LogMessage::Kind::tunnel_log, .name = log->target, .line = line}, patience)) {
    return true;
  }
  return write_file(*log->file, line, patience);
}

bool LogOutput::write_file(LogFile& file, std::string_view line, milliseconds patience) noexcept {
  switch (file.write(line, patience)) {
    case LogFile::Result::written:
    case LogFile::Result::still_broken:
      return true;
    case LogFile::Result::not_taken:
      return false;
    case LogFile::Result::broke:
      write_error_log(APLOG_ERR, file.last_error(), nullptr,
                      "WSB0305: cannot write to the tunnel log %s: its lines are lost until that "
                      "works again",
                      file.name());
      return true;
    case LogFile::Result::works_again:
      write_error_log(APLOG_NOTICE, 0, nullptr,
                      "WSB0306: the tunnel log %s is written again: %llu lines are lost",
                      file.name(), static_cast<unsigned long long>(file.lost()));
      return true;
  }
  return true;
}

void LogOutput::write_error_log(int level, apr_status_t status, const server_rec* server,
                                const char* format, ...) noexcept {
  if (server == nullptr) server = main_server_;
  if (!APLOG_IS_LEVEL(server, level)) return;
  std::array<char, kErrorLineBytes> line;
  va_list arguments;
  va_start(arguments, format);
  const int size = apr_vsnprintf(line.data(), line.size(), format, arguments);
  va_end(arguments);
  const std::string_view text(line.data(), static_cast<std::size_t>(size));
  if (is_forwarding_ && send({.kind = LogMessage::Kind::error_log,
                              .level = static_cast<std::uint8_t>(level),
                              .name = ServerName(server),
                              .line = text},
                             kErrorLogPatience)) {
    return;
  }
  ap_log_error(APLOG_MARK, level, status, server, "%s", line.data());
}

std::size_t LogOutput::write_forwarded(milliseconds patience) noexcept {
  std::size_t lost = 0;
  for (int count = 0; count < kForwardedMax && forwarded_fd() >= 0; ++count) {
    const auto message = channel_.receive(message_);
    if (!message) break;
    if (!write_message(*message, patience)) ++lost;
  }
  return lost;
}

bool LogOutput::write_message(const LogMessage& message, milliseconds patience) noexcept {
  if (message.kind == LogMessage::Kind::tunnel_log) {
    LogFile* const file = file_named(main_server_, message.name);
    return file != nullptr && write_file(*file, message.line, patience);
  }
  const server_rec* const server = server_named(main_server_, message.name);
  ap_log_error(APLOG_MARK, message.level & APLOG_LEVELMASK, 0, server, "%.*s",
               static_cast<int>(message.line.size()), message.line.data());
  return true;
}

void LogOutput::list_descriptors(std::vector<int>& found) const {
  found.push_back(channel_.in());
  for (server_rec* server = main_server_; server != nullptr; server = server->next) {
    apr_os_file_t error_log = -1;
    if (server->error_log != nullptr &&
        apr_os_file_get(&error_log, server->error_log) == APR_SUCCESS) {
      found.push_back(error_log);
    }
    const TunnelLog* const log = tunnel_log_of(server);
    if (log != nullptr && log->file != nullptr) found.push_back(log->file->descriptor());
  }
}

}  // namespace wsbalance::httpd
