#include "protocol/response_head.h"

#include <algorithm>

namespace wsbalance::protocol {
namespace {

constexpr std::string_view kVersionBegin = "HTTP/1.";  // Its case counts (RFC 9112 2.3).

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

// What no line may have (RFC 9110 5.5, RFC 9112 4). Bytes from 0x80 are obs-text and allowed.
constexpr bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\t') || byte == 0x7f;
}

}  // namespace

ResponseHead::ResponseHead(const HeadLimits& limits) : limits_(limits) {}

// Byte by byte, so that each rule is judged at the byte that breaks it, wherever the input is cut,
// and no byte is looked at again but once at the end of its line.
std::size_t ResponseHead::feed(std::string_view bytes) {
  std::size_t taken = 0;
  while (taken < bytes.size() && state_ == State::need_more) {
    bytes_.push_back(bytes[taken++]);
    const HandshakeError error = bytes_.back() == '\n' ? end_line() : check_last_byte();
    if (error != HandshakeError::none) fail(error);
  }
  return taken;
}

void ResponseHead::end_of_file() {
  if (state_ == State::need_more) fail(HandshakeError::head_truncated);
}

void ResponseHead::reset() {
  state_ = State::need_more;
  error_ = HandshakeError::none;
  bytes_.clear();
  line_begin_ = 0;
  version_minor_ = 0;
  status_ = 0;
  reason_begin_ = 0;
  reason_size_ = 0;
  places_.clear();
  fields_.clear();
}

std::string_view ResponseHead::reason() const {
  return std::string_view(bytes_).substr(reason_begin_, reason_size_);
}

// Judges a byte that does not end its line.
HandshakeError ResponseHead::check_last_byte() const {
  const char byte = bytes_.back();
  const std::size_t column = bytes_.size() - 1 - line_begin_;
  if (bytes_.size() > limits_.head_bytes_max) return HandshakeError::head_too_large;
  if (line_begin_ == 0 && column < kVersionBegin.size() && byte != kVersionBegin[column]) {
    return HandshakeError::status_line_malformed;  // Garbage is known at once.
  }
  if (line_begin_ > 0 && column == 0 && (byte == ' ' || byte == '\t')) {
    return HandshakeError::obsolete_folding;
  }
  if (column > 0 && bytes_[bytes_.size() - 2] == '\r') return HandshakeError::control_character;
  if (byte == '\r') return HandshakeError::none;  // Belongs to the line end if LF follows.
  if (is_control(byte)) return HandshakeError::control_character;
  if (column >= limits_.line_bytes_max) return HandshakeError::line_too_long;
  return HandshakeError::none;
}

// Judges the line that LF has just ended. A bare LF will do (RFC 9112 2.2).
HandshakeError ResponseHead::end_line() {
  if (bytes_.size() > limits_.head_bytes_max) return HandshakeError::head_too_large;
  std::string_view line = std::string_view(bytes_).substr(line_begin_);
  line.remove_suffix(1);
  if (line.ends_with('\r')) line.remove_suffix(1);

  HandshakeError error = HandshakeError::none;
  if (line_begin_ == 0) {
    error = parse_status_line(line);
  } else if (line.empty()) {
    complete();
  } else {
    error = parse_field_line(line);
  }
  line_begin_ = bytes_.size();
  return error;
}

// status-line = HTTP-version SP status-code SP [ reason-phrase ] (RFC 9112 4). The second SP may be
// missing before an empty reason, as many servers leave it out. check_last_byte() has seen to
// kVersionBegin and control characters.
HandshakeError ResponseHead::parse_status_line(std::string_view line) {
  constexpr std::size_t kMinor = kVersionBegin.size();
  constexpr std::size_t kStatus = kMinor + 2;
  constexpr std::size_t kStatusEnd = kStatus + 3;
  if (line.size() < kStatusEnd || !is_digit(line[kMinor]) || line[kMinor + 1] != ' ') {
    return HandshakeError::status_line_malformed;
  }
  const std::string_view digits = line.substr(kStatus, 3);
  if (!std::all_of(digits.begin(), digits.end(), is_digit) || digits[0] == '0') {
    return HandshakeError::status_line_malformed;
  }
  if (line.size() > kStatusEnd && line[kStatusEnd] != ' ') {
    return HandshakeError::status_line_malformed;
  }
  version_minor_ = line[kMinor] - '0';
  status_ = (digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0');
  reason_begin_ = std::min(kStatusEnd + 1, line.size());
  reason_size_ = line.size() - reason_begin_;
  return HandshakeError::none;
}

// field-line = field-name ":" OWS field-value OWS (RFC 9112 5). White space before the colon makes
// the name no token: a proxy may remove it (RFC 9112 5.1), we refuse.
HandshakeError ResponseHead::parse_field_line(std::string_view line) {
  if (places_.size() == limits_.fields_max) return HandshakeError::too_many_fields;
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) {
    return HandshakeError::field_line_malformed;
  }
  const std::string_view value = trim(line.substr(colon + 1));
  // trim() gives no place for an empty value.
  const char* const value_at = value.empty() ? line.data() + colon + 1 : value.data();
  const auto value_begin = static_cast<std::size_t>(value_at - bytes_.data());
  places_.push_back({line_begin_, colon, value_begin, value.size()});
  return HandshakeError::none;
}

void ResponseHead::complete() {
  const std::string_view head = bytes_;
  fields_.reserve(places_.size());
  for (const FieldPlace& place : places_) {
    fields_.push_back({head.substr(place.name_begin, place.name_size),
                       head.substr(place.value_begin, place.value_size)});
  }
  state_ = State::complete;
}

void ResponseHead::fail(HandshakeError error) {
  state_ = State::failed;
  error_ = error;
}

}  // namespace wsbalance::protocol
