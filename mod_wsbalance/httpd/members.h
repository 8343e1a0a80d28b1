// members.h - which row of the shared memory counts for a member of mod_proxy.
//
// Layer:    httpd.
// Owns:     nothing; it lives in httpd's configuration pool.
// Threads:  make() the parent's main thread; of() any worker thread, without a lock where the member
//           has been seen before.
// Errors:   of() may throw std::bad_alloc. Members without a row of their own share one.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "httpd/httpd_api.h"
#include "httpd/member_feed.h"
#include "httpd/shared_rows.h"

namespace wsbalance::httpd {

struct MemberRef {
  std::uint16_t row = SharedRows::kOtherMember;
  proxy_worker_shared* record = nullptr;  // Null where mod_proxy counts nothing (no balancer).
};

class Members {
 public:
  // A virtual host and what it is called here. Hosts without directives of ours share a ServerConfig.
  struct ServerName {
    const server_rec* server;
    const char* name;
  };

  // How many the configuration has.
  static std::size_t count(const server_rec* main_server);

  // Finds or claims a row for each member of the configuration, and tells mod_proxy's new records
  // what tunnels there are. After mod_proxy_balancer's post_config. `pool`: of the configuration.
  static Members* make(apr_pool_t* pool, server_rec* main_server, const SharedRows& rows,
                       std::uint32_t epoch);

  // The member that a request goes to. One that was added at run time is told from others here.
  MemberRef of(const request_rec* r, const proxy_worker* worker) { return of(r->server, *worker); }
  MemberRef of(const server_rec* server, const proxy_worker& worker);

 private:
  Members(const SharedRows& rows, std::uint32_t epoch, std::span<const ServerName> server_names,
          std::span<std::atomic<std::uint64_t>> known);

  void add_all(server_rec* server);
  void set_rules_of_removed(const server_rec* server);
  void add(const server_rec* server, const proxy_worker& worker);
  void follow(MemberRow& row, const server_rec* server, const proxy_worker& worker,
              bool is_first_start);
  std::uint16_t row_of(const server_rec* server, const proxy_worker& worker);
  const char* name_of(const server_rec* server) const;
  int find(const proxy_worker_shared* record) const;
  void remember(const proxy_worker_shared* record, std::uint16_t row);

  SharedRows rows_;
  std::uint32_t epoch_;
  std::span<const ServerName> server_names_;
  // Records of mod_proxy and rows, by a hash of the record's address. Each word has both of them.
  std::span<std::atomic<std::uint64_t>> known_;
};

// The fields that follow tunnels.
inline MemberRecord fields_of(proxy_worker_shared& record) {
  return {record.busy, record.transferred, record.read};
}

}  // namespace wsbalance::httpd
