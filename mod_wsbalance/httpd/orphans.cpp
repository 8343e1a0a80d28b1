#include "httpd/orphans.h"

#include <sys/prctl.h>
#include <unistd.h>

#include "httpd/pool.h"
#include "httpd/process_id.h"
#include "httpd/shared_rows.h"

namespace wsbalance::httpd {
namespace {

bool gets_orphans() {
  int is_subreaper = 0;
  return ::getpid() == 1 ||
         (::prctl(PR_GET_CHILD_SUBREAPER, &is_subreaper, 0, 0, 0) == 0 && is_subreaper != 0);
}

struct Carrier {
  apr_proc_t process;
  apr_hash_t* known;
};

}  // namespace

Orphans::Orphans(apr_pool_t* pool, const SharedRows& rows)
    : pool_(pool), rows_(rows), are_ours_(gets_orphans()), known_(apr_hash_make(pool)) {
  know_carriers();
}

void Orphans::know_carriers() {
  if (!are_ours_) return;
  rows_.for_each_carrier([this](const ProcessId& carrier) {
    if (apr_hash_get(known_, &carrier.pid, sizeof(carrier.pid)) != nullptr) return;
    auto* added = pool_new<Carrier>(pool_, Carrier{{}, known_});
    added->process.pid = carrier.pid;
    apr_hash_set(known_, &added->process.pid, sizeof(pid_t), added);
    apr_proc_other_child_register(&added->process, on_event, added, nullptr, pool_);
  });
}

void Orphans::on_event(int reason, void* data, int) {
  if (reason != APR_OC_REASON_DEATH && reason != APR_OC_REASON_LOST) return;
  auto& carrier = *static_cast<Carrier*>(data);
  apr_proc_other_child_unregister(data);
  apr_hash_set(carrier.known, &carrier.process.pid, sizeof(pid_t), nullptr);
}

}  // namespace wsbalance::httpd
