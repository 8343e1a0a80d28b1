// member_feed.h - tells mod_proxy's record of a member what passes through its tunnels, so that
// lbmethod=bybusyness, lbmethod=bytraffic and balancer-manager know.
//
// Layer:    httpd (pure: no header of httpd or APR).
// Threads:  any thread of any process.
//
// mod_proxy makes its records anew with each configuration, and tunnels may outlive that, so a
// member's row says what its record of this epoch has been told. Whatever changes that changes the
// record by the same amount.
//
// mod_proxy itself counts requests in `busy`, without atomic operations and in memory that a child
// that is killed cannot clean up: by and by that drifts. So we count the same requests too.
#pragma once

#include <cstddef>
#include <cstdint>

#include "httpd/member_row.h"
#include "httpd/shared_rows.h"

namespace wsbalance::httpd {

// The fields of a proxy_worker_shared that follow tunnels, beside what mod_proxy counts there.
struct MemberRecord {
  std::size_t& busy;
  std::int64_t& transferred;  // To the member.
  std::int64_t& read;         // From it.
};

// Adds to `busy`, which never goes below 0.
void add_busy(std::size_t& busy, std::int64_t difference);

// A new record: in the parent, before children of the epoch exist. `open`: tunnels that others hold.
void seed(MemberRow& row, std::uint32_t epoch, std::uint32_t open, const MemberRecord& record);

// A tunnel was opened: says so at once, or a burst would go to one member.
void feed_opened(MemberRow& row, std::uint32_t epoch, std::size_t& busy);

// Brings the record to what is open and has passed by now. One process at a time.
void feed(MemberRow& row, std::uint32_t epoch, std::uint32_t open, const MemberRecord& record);

// Behind feed(): takes out of `busy` what is neither a tunnel nor a request, if it is there at each
// of some looks; mod_proxy and we do not count a request in the same instant.
void correct_drift(MemberRow& row, const MemberSum& sum, const MemberRecord& record);

// An address that is the same in all processes of an epoch, and the epoch, in one word, which is 0
// where that is not possible.
class RecordAddress {
 public:
  static std::uint64_t pack(const void* address, std::uint32_t epoch);
  // Null where the word is of another epoch.
  static void* unpack(std::uint64_t word, std::uint32_t epoch);
};

}  // namespace wsbalance::httpd
