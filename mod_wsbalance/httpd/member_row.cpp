#include "httpd/member_row.h"

#include <algorithm>

namespace wsbalance::httpd {
namespace {

void add(std::atomic<std::uint64_t>& count, std::uint64_t value) noexcept {
  if (value != 0) count.fetch_add(value, std::memory_order_relaxed);
}

template <std::size_t kSize>
void put(std::array<char, kSize>& to, std::string_view text) {
  char* const end = std::copy_n(text.data(), std::min(text.size(), kSize - 1), to.data());
  std::fill(end, to.data() + kSize, '\0');
}

}  // namespace

void EndCounts::count(const relay::TunnelSummary& summary) noexcept {
  add(ended[static_cast<std::size_t>(summary.reason)], 1);
  add(throttled, std::uint64_t{summary.to_member.throttled} + summary.to_client.throttled);
  add(violations, std::uint64_t{summary.to_member.violations} + summary.to_client.violations);
}

void MemberMoves::zero() {
  for (auto* word : {&is_followed, &closes_when_down, &closes_at_drain, &drain_over, &slow_start,
                     &rebalance_percent, &rebalance_every, &state, &reckoned, &to_give}) {
    *word = 0;
  }
  order = 0;
  next_step_ms = 0;
  steps_end_ms = 0;
  opened_before = 0;
}

void MemberRow::name(const MemberNames& names, std::uint64_t hash_of_names) {
  put(server, names.server);
  put(balancer, names.balancer);
  put(worker, names.worker);
  hash = hash_of_names;
}

void MemberRow::zero_counts() {
  for (std::atomic<std::uint64_t>& count : ends.ended) count = 0;
  for (auto* count :
       {&opened, &handshakes_failed, &bytes_to_member, &bytes_to_client, &messages_to_member,
        &messages_to_client, &ends.lost, &ends.throttled, &ends.violations, &record, &fed_open,
        &fed_to_member, &fed_to_client, &checks, &checks_failed, &ejections}) {
    *count = 0;
  }
  busy_drift.reset();
  for (const auto number : kCellNumbers) all.*number = 0;
  for (DriftWatch& drift : all_drift) drift.reset();
  forget_health();
  failures.clear();
  up_since_ms = 0;
  moves.zero();
}

void MemberRow::forget_health() {
  health = 0;
  check_due_ms = 0;
  ejected_until_ms = 0;
}

void MemberRow::count_end(const relay::TunnelSummary& summary) noexcept {
  ends.count(summary);
  add(bytes_to_member, summary.to_member.bytes);
  add(bytes_to_client, summary.to_client.bytes);
  add(messages_to_member, summary.to_member.messages);
  add(messages_to_client, summary.to_client.messages);
}

// FNV-1a, with a byte that no name has between the names.
std::uint64_t hash_of(const MemberNames& names) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  const auto take = [&hash](char byte) {
    hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3u;
  };
  for (const std::string_view text : {names.server, names.balancer, names.worker}) {
    for (const char byte : text) take(byte);
    take('\0');
  }
  return hash;
}

}  // namespace wsbalance::httpd
