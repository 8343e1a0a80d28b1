#include <algorithm>
#include <array>

#include "httpd/shared_rows.h"

// What all processes have with a member: the sum of their cells, and the total that is kept beside
// it.
namespace wsbalance::httpd {
namespace {

// As kCellNumbers.
constexpr std::array<std::uint32_t MemberSum::*, kCellNumbers.size()> kSumNumbers{
    &MemberSum::tunnels, &MemberSum::requests, &MemberSum::handshakes, &MemberSum::plain};

void add(const MemberCell& cell, MemberSum& sum) {
  for (std::size_t i = 0; i < kCellNumbers.size(); ++i) {
    sum.*kSumNumbers[i] += (cell.*kCellNumbers[i]).load(std::memory_order_relaxed);
  }
  sum.leaving += cell.leaving.load(std::memory_order_relaxed);
}

// By how much is the total more than the sum, which was made between the two looks at it?
std::int64_t surplus(std::uint32_t before, std::uint32_t sum, std::uint32_t after) {
  const auto [least, most] = std::minmax(before, after);
  if (sum < least) return std::int64_t{least} - sum;
  return sum > most ? std::int64_t{most} - sum : 0;
}

}  // namespace

void SharedRows::sum_members(std::span<MemberSum> sums) const {
  sums = sums.first(members().size());
  std::fill(sums.begin(), sums.end(), MemberSum{});
  for (const ProcessRow& row : processes_) {
    if (!row.is_counting()) continue;
    const MemberCell* const cells = cells_of(row);
    for (std::size_t member = 0; member < sums.size(); ++member) add(cells[member], sums[member]);
  }
}

MemberSum SharedRows::sum_of(std::uint32_t member) const {
  MemberSum sum;
  for (const ProcessRow& row : processes_) {
    if (row.is_counting()) add(cells_of(row)[member], sum);
  }
  return sum;
}

void SharedRows::read_totals(std::span<MemberSum> totals) const {
  totals = totals.first(members().size());
  for (std::size_t member = 0; member < totals.size(); ++member) {
    for (std::size_t i = 0; i < kCellNumbers.size(); ++i) {
      totals[member].*kSumNumbers[i] = members_[member].all.*kCellNumbers[i];
    }
  }
}

void SharedRows::correct_totals(std::span<const MemberSum> before,
                                std::span<const MemberSum> sums) const {
  for (std::size_t member = 0; member < members().size(); ++member) {
    MemberRow& row = members_[member];
    for (std::size_t i = 0; i < kCellNumbers.size(); ++i) {
      std::atomic<std::uint32_t>& total = row.all.*kCellNumbers[i];
      const auto number = kSumNumbers[i];
      const std::int64_t off_by =
          row.all_drift[i].look(surplus(before[member].*number, sums[member].*number, total));
      if (off_by != 0) total.fetch_sub(static_cast<std::uint32_t>(off_by));
    }
  }
}

std::uint32_t SharedRows::seats_of(std::uint32_t member) const {
  std::uint32_t seats = 0;
  for (const ProcessRow& row : processes_) {
    if (row.is_counting()) seats += cells_of(row)[member].seats.load();
  }
  return seats;
}

}  // namespace wsbalance::httpd
