// response_head.h - reads the head of a member's answer from pieces of any size.
//
// Layer:    protocol (pure).
// Owns:     the bytes of the head; all views that it gives end with the next reset() or with it.
// Threads:  one at a time.
// Errors:   one HandshakeError for each broken rule; after an error nothing more is taken.
//
// Strict (RFC 9112 2.2, 4, 5): a head that httpd's own reader would repair is refused, because what
// follows it would be passed on unseen.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/field.h"
#include "protocol/handshake_error.h"

namespace wsbalance::protocol {

// How much of a head is taken, in bytes and lines. A line counts without its line end.
struct HeadLimits {
  std::size_t line_bytes_max = 8192;
  std::size_t fields_max = 100;
  std::size_t head_bytes_max = 64 * 1024;
};

class ResponseHead {
 public:
  enum class State { need_more, complete, failed };

  explicit ResponseHead(const HeadLimits& limits);
  ResponseHead(const ResponseHead&) = delete;  // fields() would be views into the other one.
  ResponseHead& operator=(const ResponseHead&) = delete;

  // Takes bytes up to the end of the head, at most. Returns how many it took: fewer than all only
  // when the state is `complete` (the rest belongs to what follows) or `failed` (the last byte
  // taken is the one that broke a rule). How the bytes are cut into pieces changes nothing.
  std::size_t feed(std::string_view bytes);

  // The member has ended its side. A head that is not complete fails with `head_truncated`.
  void end_of_file();

  // Forgets the head that was read, for the one that follows an interim answer.
  void reset();

  // Ends with an error that only the reader of several heads can see (too_many_interim_answers).
  void refuse(HandshakeError error) { fail(error); }

  State state() const { return state_; }
  HandshakeError error() const { return error_; }
  bool is_empty() const { return bytes_.empty(); }  // Not a byte of a head has come.

  // Below: valid when the state is `complete`.
  int version_minor() const { return version_minor_; }  // HTTP/1.x
  int status() const { return status_; }                // 100 to 999
  std::string_view reason() const;                      // May be empty.
  Fields fields() const { return fields_; }

 private:
  // Where a field stands in bytes_. A view would not survive the growth of the string.
  struct FieldPlace {
    std::size_t name_begin = 0;
    std::size_t name_size = 0;
    std::size_t value_begin = 0;
    std::size_t value_size = 0;
  };

  HandshakeError check_last_byte() const;
  HandshakeError end_line();
  HandshakeError parse_status_line(std::string_view line);
  HandshakeError parse_field_line(std::string_view line);
  void complete();
  void fail(HandshakeError error);

  HeadLimits limits_;
  State state_ = State::need_more;
  HandshakeError error_ = HandshakeError::none;
  std::string bytes_;
  std::size_t line_begin_ = 0;  // In bytes_; 0 while the status line is read.
  int version_minor_ = 0;
  int status_ = 0;
  std::size_t reason_begin_ = 0;
  std::size_t reason_size_ = 0;
  std::vector<FieldPlace> places_;
  std::vector<Field> fields_;  // Made of places_ when the head is complete.
};

}  // namespace wsbalance::protocol
