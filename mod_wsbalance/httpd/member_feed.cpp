#include "httpd/member_feed.h"

#include <atomic>

namespace wsbalance::httpd {
namespace {

// `fed_open` holds the epoch above the number.
std::uint64_t fed(std::uint32_t epoch, std::uint32_t open) {
  return std::uint64_t{epoch} << 32 | open;
}
std::uint32_t epoch_of(std::uint64_t word) { return static_cast<std::uint32_t>(word >> 32); }
std::uint32_t open_of(std::uint64_t word) { return static_cast<std::uint32_t>(word); }

void feed_bytes(const std::atomic<std::uint64_t>& counted, std::atomic<std::uint64_t>& fed_bytes,
                std::int64_t& field) {
  const std::uint64_t now = counted.load(std::memory_order_relaxed);
  const std::uint64_t before = fed_bytes.exchange(now, std::memory_order_relaxed);
  if (now == before) return;
  std::atomic_ref<std::int64_t>(field).fetch_add(static_cast<std::int64_t>(now - before),
                                                 std::memory_order_relaxed);
}

}  // namespace

// mod_proxy itself never goes below 0 either.
void add_busy(std::size_t& busy, std::int64_t difference) {
  const std::atomic_ref<std::size_t> shared(busy);
  std::size_t before = shared.load(std::memory_order_relaxed);
  std::size_t after = 0;
  do {
    const bool is_too_much = difference < 0 && before < static_cast<std::size_t>(-difference);
    after = is_too_much ? 0 : before + static_cast<std::size_t>(difference);
  } while (!shared.compare_exchange_weak(before, after, std::memory_order_relaxed));
}

void seed(MemberRow& row, std::uint32_t epoch, std::uint32_t open, const MemberRecord& record) {
  // With BalancerPersist it comes with what was busy when it was written.
  record.busy = open;
  row.busy_drift.reset();
  row.fed_open = fed(epoch, open);
  row.fed_to_member = row.bytes_to_member.load();
  row.fed_to_client = row.bytes_to_client.load();
}

void feed_opened(MemberRow& row, std::uint32_t epoch, std::size_t& busy) {
  std::uint64_t before = row.fed_open.load(std::memory_order_relaxed);
  do {
    // The record is of an old configuration, or nobody has fed it yet: feed() will.
    if (epoch_of(before) != epoch) return;
  } while (!row.fed_open.compare_exchange_weak(before, fed(epoch, open_of(before) + 1),
                                               std::memory_order_relaxed));
  add_busy(busy, 1);
}

void feed(MemberRow& row, std::uint32_t epoch, std::uint32_t open, const MemberRecord& record) {
  std::uint64_t before = row.fed_open.load(std::memory_order_relaxed);
  if (epoch_of(before) > epoch) return;  // A configuration has begun meanwhile.
  const bool is_new = epoch_of(before) < epoch;
  const std::uint32_t fed_before = is_new ? 0 : open_of(before);
  if (is_new) {
    row.busy_drift.reset();
    row.fed_to_member = row.bytes_to_member.load();
    row.fed_to_client = row.bytes_to_client.load();
  }
  if ((is_new || fed_before != open) &&
      row.fed_open.compare_exchange_strong(before, fed(epoch, open), std::memory_order_relaxed)) {
    add_busy(record.busy, std::int64_t{open} - fed_before);
  }
  feed_bytes(row.bytes_to_member, row.fed_to_member, record.transferred);
  feed_bytes(row.bytes_to_client, row.fed_to_client, record.read);
}

void correct_drift(MemberRow& row, const MemberSum& sum, const MemberRecord& record) {
  const std::size_t busy =
      std::atomic_ref<std::size_t>(record.busy).load(std::memory_order_relaxed);
  const std::int64_t drift =
      static_cast<std::int64_t>(busy) - open_of(row.fed_open.load()) - sum.requests;
  if (const std::int64_t surplus = row.busy_drift.look(drift)) add_busy(record.busy, -surplus);
}

std::uint64_t RecordAddress::pack(const void* address, std::uint32_t epoch) {
  const std::uint64_t number = reinterpret_cast<std::uintptr_t>(address);
  if (number >> 48 != 0) return 0;
  return number << 16 | (epoch & 0xffff);
}

void* RecordAddress::unpack(std::uint64_t word, std::uint32_t epoch) {
  if ((word & 0xffff) != (epoch & 0xffff)) return nullptr;
  return reinterpret_cast<void*>(static_cast<std::uintptr_t>(word >> 16));
}

}  // namespace wsbalance::httpd
