#include "httpd/shared_segment.h"

#include <memory>

namespace wsbalance::httpd {
namespace {

// The code of this module is unloaded at each restart, and what comes after it may be another
// version: so this is plain data that no version changes, found by its name (ap_retained_data_get),
// and the memory is APR's own object, without a cleanup of ours.
struct Retained {
  void* memory;
  apr_size_t bytes;
};
constexpr const char* kRetained = "mod_wsbalance-rows";

}  // namespace

std::optional<SharedRows> open_shared_rows(server_rec* server, RowNumbers numbers,
                                           apr_status_t* rv) {
  auto* retained = static_cast<Retained*>(ap_retained_data_get(kRetained));
  if (retained != nullptr) {
    if (auto rows = SharedRows::find(retained->memory, retained->bytes)) return rows;
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, server,
                 "WSB0025: another version of mod_wsbalance ran before this reload: counters begin "
                 "anew, those of tunnels that go on from before are no longer shown");
  } else {
    retained = static_cast<Retained*>(ap_retained_data_create(kRetained, sizeof(Retained)));
  }

  // Room to align: APR's own header stands in front of what it gives.
  const std::size_t needed = SharedRows::bytes_for(numbers);
  std::size_t space = needed + SharedRows::kAlignment;
  apr_shm_t* segment = nullptr;
  *rv = apr_shm_create(&segment, space, nullptr, server->process->pool);
  if (*rv != APR_SUCCESS) return std::nullopt;
  void* memory = apr_shm_baseaddr_get(segment);
  std::align(SharedRows::kAlignment, needed, memory, space);
  *retained = {memory, needed};
  return SharedRows::make(memory, numbers);
}

}  // namespace wsbalance::httpd
