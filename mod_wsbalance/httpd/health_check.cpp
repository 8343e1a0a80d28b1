#include "httpd/health_check.h"

#include <openssl/evp.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "protocol/accept_key.h"
#include "protocol/control_frame.h"
#include "protocol/frame_scanner.h"
#include "protocol/response_head.h"
#include "protocol/upgrade_response.h"

namespace wsbalance::httpd {
namespace {

using std::chrono::milliseconds;

constexpr int kInterimAnswersMax = 10;  // As for a handshake of a client.

// For a member that answers our close frame, so that it sees an end in order.
constexpr milliseconds kGoodbyeLimit{250};

template <typename Value>
Value random() {
  Value value{};
  if (::getentropy(&value, sizeof(value)) != 0) {
    throw std::system_error(errno, std::generic_category(), "getentropy");
  }
  return value;
}

// 16 bytes in base64.
std::string random_key() {
  const auto bytes = random<std::array<unsigned char, 16>>();
  std::array<unsigned char, 25> text{};
  const int size = EVP_EncodeBlock(text.data(), bytes.data(), static_cast<int>(bytes.size()));
  return {reinterpret_cast<const char*>(text.data()), static_cast<std::size_t>(size)};
}

std::string_view view_of(const protocol::ControlFrame& frame) {
  return {reinterpret_cast<const char*>(frame.bytes().data()), frame.bytes().size()};
}

std::string host_of(const CheckPlan& plan) {
  if (plan.config->host != nullptr) return plan.config->host;
  const std::string& host = plan.place.host;
  std::string text = host.find(':') != std::string::npos ? "[" + host + "]" : host;
  if (!plan.is_default_port) text += ":" + std::to_string(plan.place.port);
  return text;
}

std::string request_of(const CheckPlan& plan, const std::string& key) {
  const HealthConfig& config = *plan.config;
  std::string text = std::string("GET ") + config.path + " HTTP/1.1\r\nHost: " + host_of(plan) +
                     "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13"
                     "\r\nSec-WebSocket-Key: " +
                     key;
  if (config.subprotocol != nullptr) {
    text += std::string("\r\nSec-WebSocket-Protocol: ") + config.subprotocol;
  }
  if (config.origin != nullptr) text += std::string("\r\nOrigin: ") + config.origin;
  return text + "\r\nUser-Agent: mod_wsbalance health check\r\n\r\n";
}

std::string list_of(const std::vector<int>& statuses) {
  std::string text;
  for (const int status : statuses) {
    text += (text.empty() ? "" : " or ") + std::to_string(status);
  }
  return text;
}

class Check {
 public:
  Check(CheckPlan& plan, int stop_fd)
      : plan_(plan),
        connection_(CheckConnection::Clock::now() + plan.config->times.timeout, stop_fd) {}

  CheckResult run() {
    if (open() && plan_.config->method != CheckMethod::tcp && switch_protocols() &&
        plan_.config->method == CheckMethod::ping) {
      ping();
    }
    CheckResult result = connection_.result();
    if (has_switched_ && result.end != CheckEnd::stopped) say_goodbye();
    return result;
  }

 private:
  bool open() {
    if (plan_.addresses.empty()) {
      std::string why;
      plan_.addresses = addresses_of(plan_.place, why);
      if (plan_.addresses.empty()) return connection_.fail(std::move(why));
    }
    const auto* const proxy = static_cast<const proxy_server_conf*>(
        ap_get_module_config(plan_.server->module_config, &proxy_module));
    const apr_sockaddr_t* const source =
        proxy->source_address_set ? proxy->source_address : nullptr;
    if (!connection_.open(plan_.addresses, source)) {
      plan_.addresses.clear();  // They may have changed.
      return false;
    }
    return !plan_.has_tls || plan_.config->method == CheckMethod::tcp ||
           connection_.use_tls(plan_.server, plan_.section, plan_.place.host);
  }

  bool switch_protocols() {
    const std::string key = random_key();
    if (!connection_.send(request_of(plan_, key)) || !read_head()) return false;
    const std::vector<int>& expected = plan_.config->expected;
    const bool is_switching = head_.status() == HTTP_SWITCHING_PROTOCOLS;
    if (std::find(expected.begin(), expected.end(), head_.status()) == expected.end()) {
      has_switched_ = is_switching;
      return connection_.fail("status " + std::to_string(head_.status()) + " instead of " +
                              list_of(expected));
    }
    if (!is_switching) return true;
    const std::string accept = protocol::accept_key(key);
    std::vector<protocol::Field> offered;
    if (plan_.config->subprotocol != nullptr) {
      offered.push_back({"Sec-WebSocket-Protocol", plan_.config->subprotocol});
    }
    const auto error = protocol::check_switching_response(head_.version_minor(), head_.fields(),
                                                          {accept, offered});
    if (error != protocol::HandshakeError::none) return fail_by_rule(error);
    return has_switched_ = true;
  }

  bool fail_by_rule(protocol::HandshakeError error) {
    const protocol::HandshakeRule& rule = protocol::rule_of(error);
    return connection_.fail(std::string("no valid answer: ") + rule.text + " (" + rule.reference +
                            ")");
  }

  // What follows the head stays in bytes_.
  bool read_head() {
    using State = protocol::ResponseHead::State;
    int interim_answers = 0;
    for (;;) {
      if (bytes_.empty() && !connection_.receive(bytes_, "answer")) return false;
      bytes_.erase(0, head_.feed(bytes_));
      if (head_.state() == State::failed) return fail_by_rule(head_.error());
      if (head_.state() == State::need_more) continue;
      if (head_.status() >= 200 || head_.status() == HTTP_SWITCHING_PROTOCOLS) return true;
      if (++interim_answers > kInterimAnswersMax) {
        return fail_by_rule(protocol::HandshakeError::too_many_interim_answers);
      }
      head_.reset();
    }
  }

  bool ping() {
    const auto tag = random<protocol::PingTag>();
    const auto mask = random<std::uint32_t>();
    if (!connection_.send(view_of(protocol::ControlFrame::ping(tag, &mask)))) return false;
    protocol::FrameScanner scanner;
    std::string received;
    for (;;) {
      const auto result = scanner.scan(std::as_bytes(std::span(bytes_)), {}, &tag);
      bytes_.erase(0, result.passed);
      if (result.stop == protocol::FrameScanner::Stop::own_pong) return true;
      if (scanner.has_close()) {
        return connection_.fail("a close frame (" + std::to_string(scanner.close_code()) +
                                ") instead of the pong");
      }
      if (result.stop == protocol::FrameScanner::Stop::refused) {
        return connection_.fail("broken frames instead of the pong");
      }
      if (!connection_.receive(received, "pong")) return false;
      bytes_ += received;
    }
  }

  // What it comes to does not matter any more.
  void say_goodbye() {
    connection_.hurry(kGoodbyeLimit);
    const auto mask = random<std::uint32_t>();
    if (!connection_.send(view_of(protocol::ControlFrame::close(1000, "", &mask)))) return;
    while (connection_.receive(bytes_, "close frame")) {
    }
  }

  CheckPlan& plan_;
  CheckConnection connection_;
  protocol::ResponseHead head_{protocol::HeadLimits{}};
  std::string bytes_;  // Received, not looked at yet.
  bool has_switched_ = false;
};

}  // namespace

CheckResult check_member(CheckPlan& plan, int stop_fd) { return Check(plan, stop_fd).run(); }

}  // namespace wsbalance::httpd
