#include "httpd/pump.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <memory>
#include <utility>

#include "httpd/child.h"
#include "httpd/older_httpd.h"
#include "httpd/queries.h"

namespace wsbalance::httpd {
namespace {

constexpr std::size_t kReadSize = 16 * 1024;
constexpr int kReadsPerTurn = 8;  // So that a side that never pauses lets the other one through.
constexpr int kBlindReadMs = 50;  // Between reads, where nothing tells of input.

// A stream of HTTP/2 whose client has ended its side can still be reset, of which only a flag tells.
constexpr int kLookForResetMs = 250;

// For the last bytes of a tunnel that the relay has ended, when the process has to end.
constexpr std::chrono::milliseconds kGrace{200};

// One pumped connection.
class Channel {
 public:
  explicit Channel(PumpedSide side)
      : connection_(side.connection),
        fd_(std::move(side.fd)),
        brigade_(apr_brigade_create(connection_->pool, connection_->bucket_alloc)) {
    // It limits requests, and would end a tunnel that is silent.
    ap_remove_input_filter_byhandle(connection_->input_filters, "reqtimeout");
    ap_remove_output_filter_byhandle(connection_->output_filters, "SSL/TLS Coalescing Filter");
  }
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  ~Channel() { apr_brigade_destroy(brigade_); }

  bool is_over() const { return !fd_; }

  // What to wait for, two entries, and for how long at most: milliseconds, -1 for ever.
  int prepare(pollfd* entries);
  // Moves what it can without waiting for input.
  void carry(const pollfd* entries);

 private:
  bool wants_input() const { return fd_ && is_input_open_ && waiting_.empty(); }
  void read_connection();
  void append_buckets();
  void write_waiting();
  void offer_output();
  void read_socket();
  bool write_connection(apr_bucket* data);
  void end_output();
  void end() { fd_.reset(); }

  conn_rec* connection_;
  relay::UniqueFd fd_;
  apr_bucket_brigade* brigade_;
  std::vector<char> waiting_;  // Read from the connection; the socket did not take it.
  bool is_input_open_ = true;
  bool is_output_open_ = true;
  bool has_output_ = false;     // The relay has bytes for a socket that takes none now.
  bool may_have_input_ = true;  // Filters may hold bytes of which no poll() tells.
};

// The descriptor that tells of input, or -1 if there is none: then reading says what is there.
int input_descriptor(conn_rec* connection) {
  apr_pollfd_t found{};
  found.p = connection->pool;
  if (find_input(connection, &found) && found.desc_type == APR_POLL_FILE) {
    apr_os_file_t fd = -1;
    apr_os_file_get(&fd, found.desc.f);
    return fd;
  }
  return connection->master != nullptr ? -1 : descriptor_of(ap_get_conn_socket(connection));
}

int Channel::prepare(pollfd* entries) {
  entries[0] = {-1, 0, 0};
  if (wants_input()) entries[0] = {input_descriptor(connection_), POLLIN, 0};
  // Without events it still tells that the relay has closed its end.
  entries[1] = {fd_.get(), 0, 0};
  if (has_output_) {
    entries[0].fd = descriptor_of(ap_get_conn_socket(connection_));
    entries[0].events |= POLLOUT;
    if (waiting_.empty()) entries[1].fd = -1;  // Or its hang-up would be told again and again.
  } else if (is_output_open_) {
    entries[1].events |= POLLIN;
  }
  if (!waiting_.empty()) entries[1].events |= POLLOUT;
  if (!is_input_open_ && connection_->master != nullptr) return kLookForResetMs;
  if (!wants_input()) return -1;
  if (may_have_input_) return 0;
  return entries[0].fd < 0 ? kBlindReadMs : -1;
}

void Channel::carry(const pollfd* entries) {
  if (is_over()) return;
  const bool is_broken = (entries[0].revents & (POLLERR | POLLHUP)) != 0;
  if (entries[1].revents & POLLOUT) write_waiting();
  if (has_output_ && (is_broken || (entries[0].revents & POLLOUT))) {
    read_socket();
  } else if (entries[1].revents & (POLLIN | POLLHUP | POLLERR)) {
    if (!is_output_open_) return end();
    offer_output();
  }
  const bool has_input = (entries[0].revents & ~POLLOUT) != 0 || entries[0].fd < 0;
  if ((has_input || may_have_input_) && wants_input()) read_connection();
  if (connection_->aborted || (!is_input_open_ && !is_output_open_ && waiting_.empty())) end();
}

// The relay has something for this side. Filters end a write only when the socket has taken it all,
// so nothing is given to them before the socket says that it takes more; or a client that does not
// read would hold up what it sends, and the end of the child. HTTP/2 has nothing that could be asked.
void Channel::offer_output() {
  pollfd socket{descriptor_of(ap_get_conn_socket(connection_)), POLLOUT, 0};
  has_output_ = connection_->master == nullptr && ::poll(&socket, 1, 0) == 0;
  if (!has_output_) read_socket();
}

// Until nothing is there, because only then will the descriptor tell of more.
void Channel::read_connection() {
  may_have_input_ = false;
  for (int reads = 0; wants_input() && reads < kReadsPerTurn; ++reads) {
    const apr_status_t rv = ap_get_brigade(connection_->input_filters, brigade_, AP_MODE_READBYTES,
                                           APR_NONBLOCK_READ, kReadSize);
    append_buckets();
    write_waiting();
    if (APR_STATUS_IS_EAGAIN(rv)) return;
    if (rv != APR_SUCCESS) {
      is_input_open_ = false;
      if (!APR_STATUS_IS_EOF(rv)) return end();
      if (waiting_.empty()) ::shutdown(fd_.get(), SHUT_WR);
      return;
    }
  }
  may_have_input_ = true;  // It stopped for another reason.
}

// Metadata says nothing here: mod_http2 begins with an EOS for the request's (empty) body.
void Channel::append_buckets() {
  for (apr_bucket* bucket = APR_BRIGADE_FIRST(brigade_); bucket != APR_BRIGADE_SENTINEL(brigade_);
       bucket = APR_BUCKET_NEXT(bucket)) {
    const char* data = nullptr;
    apr_size_t size = 0;
    if (APR_BUCKET_IS_METADATA(bucket)) continue;
    if (apr_bucket_read(bucket, &data, &size, APR_BLOCK_READ) != APR_SUCCESS) break;
    waiting_.insert(waiting_.end(), data, data + size);
  }
  apr_brigade_cleanup(brigade_);
}

void Channel::write_waiting() {
  if (waiting_.empty()) return;
  const ssize_t count =
      ::send(fd_.get(), waiting_.data(), waiting_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (count < 0 && errno != EAGAIN && errno != EINTR) {
    // The tunnel takes no more from this side; what it still has for it comes all the same.
    waiting_.clear();
    is_input_open_ = false;
    return;
  }
  if (count > 0) waiting_.erase(waiting_.begin(), waiting_.begin() + count);
  if (waiting_.empty() && !is_input_open_) ::shutdown(fd_.get(), SHUT_WR);
}

void Channel::read_socket() {
  has_output_ = false;
  std::array<char, kReadSize> buffer;
  const ssize_t count = ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (count < 0) {
    if (errno != EAGAIN && errno != EINTR) end_output();
    return;
  }
  if (count == 0) return end_output();
  if (!write_connection(apr_bucket_transient_create(buffer.data(), static_cast<apr_size_t>(count),
                                                    connection_->bucket_alloc))) {
    end();
  }
}

bool Channel::write_connection(apr_bucket* data) {
  APR_BRIGADE_INSERT_TAIL(brigade_, data);
  APR_BRIGADE_INSERT_TAIL(brigade_, apr_bucket_flush_create(connection_->bucket_alloc));
  const apr_status_t rv = ap_pass_brigade(connection_->output_filters, brigade_);
  apr_brigade_cleanup(brigade_);
  return rv == APR_SUCCESS && !connection_->aborted;
}

// The tunnel has no more for this side.
void Channel::end_output() {
  is_output_open_ = false;
  if (connection_->master != nullptr) {
    // HTTP/2: END_STREAM. Clients need not end their side of the stream then, and few do: to wait
    // for that would hold a thread.
    write_connection(apr_bucket_eos_create(connection_->bucket_alloc));
    end();
  } else if (ap_ssl_conn_is_ssl(connection_)) {
    end();  // Only httpd can say the end of TLS, when it closes the connection.
  } else {
    apr_socket_shutdown(ap_get_conn_socket(connection_), APR_SHUTDOWN_WRITE);
  }
}

bool are_over(const std::vector<std::unique_ptr<Channel>>& channels) {
  return std::all_of(channels.begin(), channels.end(),
                     [](const auto& channel) { return channel->is_over(); });
}

// The shorter of two waits for poll().
int shorter(int a, int b) { return a < 0 ? b : b < 0 ? a : std::min(a, b); }

}  // namespace

PumpSlot::~PumpSlot() {
  if (child_ != nullptr) child_->pumped().fetch_sub(1, std::memory_order_relaxed);
}

bool PumpSlot::acquire(Child& child, unsigned limit) {
  if (child.pumped().fetch_add(1, std::memory_order_relaxed) >= limit) {
    child.pumped().fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  child_ = &child;
  return true;
}

void run_pump(Child& child, std::vector<PumpedSide> sides) {
  using Clock = std::chrono::steady_clock;
  std::vector<std::unique_ptr<Channel>> channels;
  for (PumpedSide& side : sides) channels.push_back(std::make_unique<Channel>(std::move(side)));
  std::vector<pollfd> entries(1 + 2 * channels.size());
  auto end_by = Clock::time_point::max();
  while (!are_over(channels)) {
    const auto now = Clock::now();
    int wait_ms = child.look_interval_ms();
    if (end_by == Clock::time_point::max() && child.is_stopping()) {
      // Once for all pumped tunnels of this child: whoever sees it first.
      child.close_pumped_tunnels();
      end_by = now + kCloseLimitAtStop + kGrace;
    }
    const bool is_ending = end_by != Clock::time_point::max();
    if (is_ending) {
      if (now >= end_by) return;
      wait_ms =
          static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(end_by - now).count());
    }
    entries[0] = {is_ending ? -1 : child.stopping_fd(), POLLIN, 0};
    for (std::size_t i = 0; i < channels.size(); ++i) {
      wait_ms = shorter(wait_ms, channels[i]->prepare(&entries[1 + 2 * i]));
    }
    if (::poll(entries.data(), entries.size(), wait_ms) < 0) {
      if (errno != EINTR) return;
      continue;
    }
    for (std::size_t i = 0; i < channels.size(); ++i) channels[i]->carry(&entries[1 + 2 * i]);
  }
}

}  // namespace wsbalance::httpd
