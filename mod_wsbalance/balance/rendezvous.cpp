#include "balance/rendezvous.h"

#include <bit>

namespace wsbalance::balance {
namespace {

__extension__ using Uint128 = unsigned __int128;

constexpr int kFractionBits = 52;

// The finalizer of splitmix64: each bit of the input changes half of the output's.
constexpr std::uint64_t mix(std::uint64_t value) noexcept {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

// May the member have one more? At least one of all may: their limits add up to more than there is.
bool has_room(const Candidate& candidate, std::uint64_t load, std::uint64_t weight,
              unsigned bound_percent) noexcept {
  const Uint128 part = Uint128{load} * candidate.weight * (100 + bound_percent);
  const Uint128 whole = Uint128{weight} * 100;
  return candidate.load + 1 <= static_cast<std::uint64_t>((part + whole - 1) / whole);
}

struct Score {
  std::uint32_t weight = 0;
  std::uint64_t hash = 0;
};

// By weight / distance; where two are equal the hash decides, so that the order does not. A distance
// never grows with the hash, so it is seldom needed.
bool is_higher(const Score& a, const Score& b) noexcept {
  if (a.weight >= b.weight && a.hash > b.hash) return true;
  if (a.weight <= b.weight && a.hash <= b.hash) return false;
  const Uint128 left = Uint128{a.weight} * distance_of(b.hash);
  const Uint128 right = Uint128{b.weight} * distance_of(a.hash);
  return left != right ? left > right : a.hash > b.hash;
}

}  // namespace

// FNV-1a, mixed: by itself it leaves texts that differ at their end close to each other.
std::uint64_t hash_text(std::string_view text) noexcept {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char byte : text) {
    hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3u;
  }
  return mix(hash);
}

std::uint64_t hash_pair(std::uint64_t key, std::uint64_t member) noexcept {
  return mix(key + 0x9e3779b97f4a7c15u * member);
}

std::uint64_t distance_of(std::uint64_t hash) noexcept {
  if (hash == 0) hash = 1;
  const int zeros = std::countl_zero(hash);
  std::uint64_t mantissa = hash << zeros;  // From 1 to 2, with 63 bits behind the point.
  // Each square brings the next bit of the logarithm before the point.
  std::uint64_t fraction = 0;
  for (int i = 0; i < kFractionBits; ++i) {
    const Uint128 square = Uint128{mantissa} * mantissa;
    const bool is_two_or_more = (square >> 127) != 0;
    mantissa = static_cast<std::uint64_t>(square >> (is_two_or_more ? 64 : 63));
    fraction = fraction << 1 | static_cast<std::uint64_t>(is_two_or_more);
  }
  return (static_cast<std::uint64_t>(zeros + 1) << kFractionBits) - fraction;
}

std::size_t choose_by_key(std::string_view key, std::span<const Candidate> candidates,
                          std::optional<unsigned> bound_percent) noexcept {
  std::uint64_t load = 1;
  std::uint64_t weight = 0;
  for (const Candidate& candidate : candidates) {
    load += candidate.load;
    weight += candidate.weight;
  }
  const std::uint64_t key_hash = hash_text(key);
  std::size_t chosen = 0;
  Score best;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const Candidate& candidate = candidates[i];
    if (bound_percent && !has_room(candidate, load, weight, *bound_percent)) continue;
    const std::uint64_t hash = hash_pair(key_hash, hash_text(candidate.name));
    const Score score{candidate.weight, hash};
    if (best.weight != 0 && !is_higher(score, best)) continue;
    best = score;
    chosen = i;
  }
  return chosen;
}

}  // namespace wsbalance::balance
