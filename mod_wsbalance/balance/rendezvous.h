// rendezvous.h - the member of a key: weighted rendezvous hashing (highest random weight).
//
// Layer:    balance (pure).
// Threads:  any.
//
// Each member has a score for each key, from the two texts and its weight alone, and the highest one
// wins. So whoever has the same members chooses the same one, in whatever order they stand, and a
// member that leaves or comes moves its own share only. All arithmetic is of whole numbers: the
// same on each machine, whatever its library of mathematics.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "balance/candidate.h"

namespace wsbalance::balance {

// These are part of what machines agree on: a change moves keys.
std::uint64_t hash_text(std::string_view text) noexcept;
std::uint64_t hash_pair(std::uint64_t key, std::uint64_t member) noexcept;

// -log2 of hash / 2^64, as a fixed-point number with 52 bits behind the point; never 0.
std::uint64_t distance_of(std::uint64_t hash) noexcept;

// The index of the member of that key; there must be a candidate. `bound_percent`: the next one by
// score where a member would have more than that above its part of all load, this one included
// (consistent hashing with bounded loads).
std::size_t choose_by_key(std::string_view key, std::span<const Candidate> candidates,
                          std::optional<unsigned> bound_percent) noexcept;

}  // namespace wsbalance::balance
