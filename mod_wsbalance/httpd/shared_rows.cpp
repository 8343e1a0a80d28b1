#include "httpd/shared_rows.h"

#include <memory>
#include <new>

#include "httpd/pool.h"

namespace wsbalance::httpd {

SharedRows* SharedRows::create(apr_pool_t* pool, std::size_t rows, apr_status_t* rv) {
  static_assert(alignof(Common) == alignof(ChildRow));
  const std::size_t needed = sizeof(Common) + rows * sizeof(ChildRow);
  // Room to align: APR's own header stands in front of what it gives.
  std::size_t space = needed + alignof(ChildRow);
  apr_shm_t* segment = nullptr;
  *rv = apr_shm_create(&segment, space, nullptr, pool);
  if (*rv != APR_SUCCESS) return nullptr;

  void* base = apr_shm_baseaddr_get(segment);
  auto* bytes = static_cast<std::byte*>(std::align(alignof(ChildRow), needed, base, space));
  auto* common = new (bytes) Common;
  auto* first = reinterpret_cast<ChildRow*>(bytes + sizeof(Common));
  for (std::size_t i = 0; i < rows; ++i) new (first + i) ChildRow;
  return new (apr_palloc(pool, sizeof(SharedRows))) SharedRows(common, {first, rows});
}

ChildRow* SharedRows::claim(pid_t pid) {
  for (ChildRow& row : rows_) {
    std::int32_t free = 0;
    if (row.pid.compare_exchange_strong(free, pid)) {
      row.open_tunnels = 0;
      row.waiting_handshakes = 0;
      return &row;
    }
  }
  return nullptr;
}

void SharedRows::release(pid_t pid) {
  for (ChildRow& row : rows_) {
    if (row.pid != pid) continue;
    row.open_tunnels = 0;
    row.waiting_handshakes = 0;
    row.pid = 0;
  }
}

Totals SharedRows::totals() const {
  Totals totals;
  for (const ChildRow& row : rows_) {
    if (row.pid.load(std::memory_order_relaxed) == 0) continue;
    totals.open_tunnels += row.open_tunnels.load(std::memory_order_relaxed);
    totals.waiting_handshakes += row.waiting_handshakes.load();
  }
  return totals;
}

}  // namespace wsbalance::httpd
