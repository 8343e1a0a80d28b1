// log_channel.h - finished lines from carriers to the children of the current generation, which
// have the logs open that a carrier, older than the last reload, has not.
//
// Layer:    httpd (pure: no header of httpd or APR).
// Owns:     nothing: both ends are open in every process of the server, over restarts.
// Threads:  any; a message is sent and received whole, by one receiver.
// Errors:   values. Never waits longer than it is told to.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "relay/unique_fd.h"

namespace wsbalance::httpd {

// A line without its time and process, which its log knows; or a whole one, for a tunnel log.
struct LogMessage {
  enum class Kind : std::uint8_t { tunnel_log, error_log };
  Kind kind = Kind::tunnel_log;
  std::uint8_t level = 0;   // Of the error log: APLOG_.
  std::string_view name{};  // Of the log: what WSBalanceLog says; "host:port" of a virtual host.
  std::string_view line{};
};

class LogChannel {
 public:
  // A longer message is not sent.
  static constexpr std::size_t kMessageBytesMax = 64 * 1024;

  struct Ends {
    relay::UniqueFd out;
    relay::UniqueFd in;
  };
  // Two empty ones, and errno, if there is no descriptor left.
  static Ends open() noexcept;

  LogChannel(int in, int out) noexcept : in_(in), out_(out) {}

  // False: nobody takes it, within `patience`.
  [[nodiscard]] bool send(const LogMessage& message, std::chrono::milliseconds patience) noexcept;

  // The next message, if there is one; its text is in `buffer`. What another version of this module
  // has sent in a form of its own is passed over.
  std::optional<LogMessage> receive(std::span<char> buffer) noexcept;

  int in() const noexcept { return in_; }    // Where carriers write.
  int out() const noexcept { return out_; }  // Where children read.

 private:
  int in_;
  int out_;
};

}  // namespace wsbalance::httpd
