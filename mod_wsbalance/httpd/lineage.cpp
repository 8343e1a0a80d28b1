#include "httpd/lineage.h"

#include <sys/eventfd.h>
#include <sys/mman.h>

#include <new>
#include <type_traits>

#include "httpd/log_channel.h"
#include "relay/unique_fd.h"

namespace wsbalance::httpd {
namespace {

// With a number that changes when the layout of Lineage does.
constexpr const char* kRetainedKey = "mod_wsbalance_lineage_1";

}  // namespace

Lineage* Lineage::find_or_make() noexcept {
  static_assert(std::is_trivially_copyable_v<Lineage>, "httpd keeps it as bytes");
  if (void* found = ap_retained_data_get(kRetainedKey)) return static_cast<Lineage*>(found);

  relay::UniqueFd stop(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop) return nullptr;
  LogChannel::Ends ends = LogChannel::open();
  if (!ends.in) return nullptr;
  void* const shared =
      ::mmap(nullptr, sizeof(StopOrder), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return nullptr;
  auto* lineage = new (ap_retained_data_create(kRetainedKey, sizeof(Lineage))) Lineage;
  lineage->stop_order_ = new (shared) StopOrder;
  lineage->stop_fd_ = stop.release();
  lineage->log_in_ = ends.in.release();
  lineage->log_out_ = ends.out.release();
  return lineage;
}

void Lineage::give_stop_order(std::chrono::milliseconds over) noexcept {
  stop_order_->over_ms.store(static_cast<std::uint32_t>(over.count()));
  stop_order_->is_given.store(1);
  (void)::eventfd_write(stop_fd_, 1);
}

}  // namespace wsbalance::httpd
