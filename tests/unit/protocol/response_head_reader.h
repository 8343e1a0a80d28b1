// response_head_reader.h - reads a head in a test and keeps all that came out of it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/response_head.h"
#include "support/pieces.h"

namespace wsbalance::test {

struct HeadOutcome {
  protocol::ResponseHead::State state = protocol::ResponseHead::State::need_more;
  std::string error;      // The text of the broken rule.
  std::size_t taken = 0;  // Bytes, over all pieces.
  bool is_empty = true;
  // Empty unless complete:
  int version_minor = -1;
  int status = 0;
  std::string reason;
  std::vector<std::pair<std::string, std::string>> fields;

  bool operator==(const HeadOutcome&) const = default;

  bool is_complete() const { return state == protocol::ResponseHead::State::complete; }
  bool needs_more() const { return state == protocol::ResponseHead::State::need_more; }
};

struct HeadReader {
  protocol::ResponseHead head;
  std::size_t taken = 0;

  void feed(std::string_view piece) { taken += head.feed(piece); }

  HeadOutcome outcome() const {
    HeadOutcome outcome{.state = head.state(),
                        .error = protocol::rule_of(head.error()).text,
                        .taken = taken,
                        .is_empty = head.is_empty(),
                        .version_minor = -1,
                        .status = 0,
                        .reason = {},
                        .fields = {}};
    if (!outcome.is_complete()) return outcome;
    outcome.version_minor = head.version_minor();
    outcome.status = head.status();
    outcome.reason = head.reason();
    for (const protocol::Field& field : head.fields()) {
      outcome.fields.emplace_back(field.name, field.value);
    }
    return outcome;
  }
};

inline auto head_reader(const protocol::HeadLimits& limits = {}) {
  return [limits] { return HeadReader{protocol::ResponseHead(limits)}; };
}

// Reads `bytes` whole and in pieces; the outcome must be the same.
inline HeadOutcome read_head(std::string_view bytes, const protocol::HeadLimits& limits = {}) {
  return outcome_of_any_cut(bytes, head_reader(limits));
}

inline std::string text_of(protocol::HandshakeError error) { return protocol::rule_of(error).text; }

}  // namespace wsbalance::test
