// pieces.h - gives a parser its input in pieces: whatever the cut, the result must be the same.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "support/catch.h"

namespace wsbalance::test {

// Each piece stands alone in memory that is gone afterwards, so that the address sanitizer sees a
// parser that reads past a piece or keeps a view into one.
template <typename Subject>
void feed_piece(Subject& subject, std::string_view piece) {
  const std::vector<char> copy(piece.begin(), piece.end());
  subject.feed(std::string_view(copy.data(), copy.size()));
}

// `make()` returns a subject with feed(std::string_view) and outcome(), a value with ==. Feeds one
// subject with `input` as a whole and returns its outcome.
template <typename Make>
auto outcome_of_whole(std::string_view input, Make&& make) {
  auto subject = make();
  feed_piece(subject, input);
  return subject.outcome();
}

template <typename Make>
auto outcome_byte_by_byte(std::string_view input, Make&& make) {
  auto subject = make();
  for (std::size_t i = 0; i < input.size(); ++i) feed_piece(subject, input.substr(i, 1));
  return subject.outcome();
}

// As outcome_of_whole(), and checks that the outcome is the same with the input cut in two at each
// position (the ends too: an empty piece says nothing), and byte by byte.
template <typename Make>
auto outcome_of_any_cut(std::string_view input, Make&& make) {
  const auto whole = outcome_of_whole(input, make);
  for (std::size_t cut = 0; cut <= input.size(); ++cut) {
    auto subject = make();
    feed_piece(subject, input.substr(0, cut));
    feed_piece(subject, input.substr(cut));
    if (subject.outcome() == whole) continue;
    CAPTURE(cut);
    FAIL_CHECK("another outcome when the input is cut here");
  }
  const bool same_byte_by_byte = outcome_byte_by_byte(input, make) == whole;
  CHECK(same_byte_by_byte);
  return whole;
}

}  // namespace wsbalance::test
