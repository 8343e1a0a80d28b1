// wsload.cpp - the crowd for scripts/figures: a member and clients by the thousand, on 127.0.0.1.
//
// One thread and one epoll loop per process. Every message says whose it is and which one, so an
// echo that was lost, changed, repeated or given to another tunnel is seen. Clients print one line
// of key=value pairs.
#include <sys/resource.h>

#include <csignal>
#include <numeric>
#include <optional>
#include <thread>

#include "load/crowd.h"
#include "load/member.h"
#include "load/talk.h"

namespace load {
namespace {

constexpr char kUsage[] =
    "wsload serve   --port P [--cert FILE --key FILE]   with both: TLS\n"
    "    a member: echoes; /push sends without end, /hang never answers, /say-503 says that, "
    "/bad-101\n"
    "    answers another key, no upgrade: 200\n"
    "wsload tunnels --port P --path /ws/ --count N [--at-once 16] [--messages 2] [--size 125]\n"
    "               [--hold SECONDS]   opens, echoes and compares on all, holds, closes\n"
    "wsload talk    --port P --path /ws/ --count N [--talking N] [--every 500] [--quiet SECONDS]\n"
    "               [--turnover N] [--size 125]\n"
    "               each says a message every so many ms (0: when the last one is back), so many\n"
    "               leave and come in a second; SIGUSR1: prints what was since the last time, "
    "SIGTERM:\n"
    "               all leave\n"
    "wsload slow    --port P --path /ws/push --count N --seconds S [--read BYTES_PER_SECOND]\n"
    "wsload shakes  --port P --path /ws/hang --count N --seconds S   handshakes all at once\n"
    "wsload rate    --port P --path /ws/ --per-second N --seconds S   handshakes, each closed at "
    "once\n"
    "wsload pair    --port P --path /ws/ --seconds S [--other-port P]\n"
    "    one tunnel, message after message; with another one in turns, to compare them\n"
    "wsload get     --port P --path / --seconds S [--every 20]\n"
    "    one ordinary GET after the other, with a rest of so many ms; SIGTERM ends it\n"
    "All but serve take --tls: TLS 1.3, whatever certificate the server shows.\n";

// Opens, echoes on all, holds, closes.
class Tunnels : public Crowd {
 public:
  explicit Tunnels(const Options& options)
      : Crowd(options, 16),
        messages_(number(options, "messages", 2)),
        size_(number(options, "size", 125)),
        hold_(static_cast<double>(number(options, "hold", 0))) {}

  void run_all() {
    const auto start = Clock::now();
    run(kPhaseSeconds, [this] { return all_answered(); });
    const unsigned long opened = answers_[101];
    for (unsigned long round = 1; round <= messages_; ++round) {
      for (auto& peer : peers_) {
        if (peer->state == Peer::open) write(*peer, frame(kBinary, message(*peer), true));
      }
      run(kPhaseSeconds, [&] { return echoed_ >= round * open_; });
    }
    if (hold_ > 0) {  // Whoever measures waits for this line.
      std::printf("open=%lu\n", open_);
      std::fflush(stdout);
      run(hold_, [] { return false; });
    }
    const unsigned long left = open_;
    for (auto& peer : peers_) {
      if (peer->state != Peer::open) continue;
      peer->state = Peer::closing;
      write(*peer, frame(kClose, kCloseNormal, true));
    }
    run(kPhaseSeconds, [&] { return closed_ + unclean_ == left; });
    std::printf(
        "opened=%lu refused=%lu echoed=%lu wrong=%lu lost=%lu closed=%lu pings=%lu seconds=%.1f\n",
        opened, count_ - opened, echoed_, wrong_, opened - left, closed_, pings_,
        ms_since(start) / 1000);
  }

 private:
  static constexpr double kPhaseSeconds = 120;

  std::string message(const Peer& peer) const {
    std::string text = std::to_string(peer.id) + " " + std::to_string(peer.received) + " ";
    while (text.size() < size_) text += static_cast<char>('a' + (text.size() + peer.id) % 26);
    return text;
  }

  void received(Peer& peer, const std::string& payload) override {
    ++(payload == message(peer) ? echoed_ : wrong_);
    ++peer.received;
  }

  unsigned long messages_, size_, echoed_ = 0, wrong_ = 0;
  double hold_;
};

// Members push, the clients read a trickle or nothing.
class Slow : public Crowd {
 public:
  explicit Slow(const Options& options)
      : Crowd(options, 16),
        bytes_(number(options, "read", 0)),
        seconds_(static_cast<double>(number(options, "seconds", 10))) {
    reads_ = false;
    receive_buffer_ = 4096;  // What the kernel keeps is not what is measured.
  }

  void run_all() {
    run(300, [this] { return all_answered(); });
    std::printf("open=%lu\n", open_);
    std::fflush(stdout);
    run(seconds_, [] { return false; });
    std::printf("opened=%lu refused=%lu open_at_end=%lu read=%lu\n", answers_[101],
                count_ - answers_[101], open_, read_);
  }

 private:
  // Each tunnel in turn, all of them once a second.
  void turned() override {
    const double ms = ms_since(last_);
    const auto due = static_cast<std::size_t>(ms / 1000 * static_cast<double>(peers_.size()));
    if (bytes_ == 0 || due == 0) return;
    last_ = Clock::now();
    for (std::size_t i = 0; i < std::min(due, peers_.size()); ++i) {
      Peer& peer = *peers_[next_++ % peers_.size()];
      if (peer.state != Peer::open) continue;
      if (!peer.fill(bytes_)) end(peer);
      read_ += peer.in.size();
      peer.in.clear();
    }
  }

  unsigned long bytes_, read_ = 0;
  std::size_t next_ = 0;
  Clock::time_point last_ = Clock::now();
  double seconds_;
};

// Handshakes that nobody answers, or not in time.
class Shakes : public Crowd {
 public:
  explicit Shakes(const Options& options)
      : Crowd(options, ~0UL), seconds_(static_cast<double>(number(options, "seconds", 10))) {}

  void run_all() {
    run(seconds_, [this] { return all_answered(); });
    for (const auto& [status, count] : answers_) std::printf("status_%d=%lu ", status, count);
    std::printf("waiting=%lu retry_after=%lu\n", shaking_, retry_after_);
  }

 private:
  double seconds_;
};

// So many handshakes in each second, however long each takes; each tunnel is closed at once.
class Rate : public Crowd {
 public:
  explicit Rate(const Options& options)
      : Crowd(options, ~0UL),
        per_second_(static_cast<double>(number(options, "per-second", 500))),
        seconds_(static_cast<double>(number(options, "seconds", 10))) {
    count_ = 0;
  }

  void run_all() {
    began_ = Clock::now();
    run(seconds_, [] { return false; });
    is_over_ = true;
    run(30, [this] { return all_answered(); });
    std::printf("handshakes=%lu status_101=%lu others=%lu no_answer=%lu ", count_, answers_[101],
                count_ - answers_[101] - answers_[0] - shaking_, answers_[0] + shaking_);
    std::sort(times_.begin(), times_.end());
    const auto at = [this](std::size_t percent) {
      return times_.empty() ? 0
                            : times_[std::min(times_.size() - 1, times_.size() * percent / 100)];
    };
    std::printf("p50_ms=%.1f p99_ms=%.1f max_ms=%.1f\n", at(50), at(99), at(100));
  }

 private:
  void turned() override {
    if (is_over_) return;
    const double due = ms_since(began_) / 1000 * per_second_;
    while (static_cast<double>(count_) < due) {
      ++count_;
      due_.push_back(Clock::now());
    }
  }

  void opened(Peer& peer) override {
    times_.push_back(ms_since(due_[peer.id]));
    peer.out += frame(kClose, "\x03\xe8", true);
    peer.state = Peer::closing;
    --open_;
  }

  double per_second_, seconds_;
  bool is_over_ = false;
  Clock::time_point began_;
  std::vector<Clock::time_point> due_;  // Of each peer.
  std::vector<double> times_;
};

// A blocking connection for the single, ordinary client.
std::unique_ptr<Peer> dial(unsigned long port, const Tls& tls) {
  auto peer = std::make_unique<Peer>(new_socket(0, 0), tls);
  const timeval limit{10, 0};
  setsockopt(peer->stream.fd(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  if (!connect_to(peer->stream.fd(), port)) peer->stream.shut();
  return peer;
}

// Reads until `end` is in what was read, and takes it out; empty if it does not come.
std::string read_until(Peer& peer, const std::string& end) {
  for (;;) {
    const std::size_t at = peer.in.find(end);
    if (at != std::string::npos) {
      std::string head = peer.in.substr(0, at + end.size());
      peer.in.erase(0, at + end.size());
      return head;
    }
    const std::size_t before = peer.in.size();
    if (!peer.fill(65536) || peer.in.size() == before) return {};  // Ended, or 10 s without a byte.
  }
}

// Of the sorted `times`, in ms.
double at_share(const std::vector<double>& times, std::size_t percent) {
  return times.empty() ? 0 : times[std::min(times.size() - 1, times.size() * percent / 100)];
}

void print_times(const char* what, std::vector<double>& times, unsigned long failed) {
  std::sort(times.begin(), times.end());
  std::printf("%s=%zu failed=%lu p99_ms=%.1f max_ms=%.1f", what, times.size(), failed,
              at_share(times, 99), at_share(times, 100));
}

// An open tunnel in which each message is echoed before the next one is sent.
class Pair {
 public:
  Pair(unsigned long port, const std::string& path, const Tls& tls) : peer_(dial(port, tls)) {
    peer_->out = request(path, new_key());
    alive_ = peer_->flush() && read_until(*peer_, "\r\n\r\n").starts_with("HTTP/1.1 101 ");
  }

  // False if that was the last one.
  bool echo() {
    if (!alive_) return false;
    const std::string sent = "message " + std::to_string(times.size());
    const auto before = Clock::now();
    peer_->out = frame(kBinary, sent, true);
    int opcode = 0;
    std::string echo;
    alive_ = peer_->flush();
    while (alive_ && !take_frame(peer_->in, opcode, echo)) {
      const std::size_t had = peer_->in.size();
      alive_ = peer_->fill(65536) && peer_->in.size() > had;
    }
    alive_ = alive_ && echo == sent;
    times.push_back(ms_since(before));
    return alive_;
  }

  unsigned long failed() const { return alive_ ? 0 : 1; }
  double mean() const {
    return std::accumulate(times.begin(), times.end(), 0.0) / static_cast<double>(times.size());
  }

  std::vector<double> times;

 private:
  std::unique_ptr<Peer> peer_;
  bool alive_;
};

// With two tunnels they take turns, message by message: whatever else the machine does meets both.
void run_pair(const Options& options) {
  const auto start = Clock::now();
  const double limit_ms = 1000.0 * static_cast<double>(number(options, "seconds", 10));
  const std::string path = option(options, "path", "/ws/");
  const Tls tls = client_tls(options);
  Pair pair(number(options, "port", 0), path, tls);
  const bool has_other = options.contains("other-port");
  std::optional<Pair> other;
  if (has_other) other.emplace(number(options, "other-port", 0), path, tls);
  while (ms_since(start) < limit_ms && pair.echo() && (!other || other->echo())) {
  }
  print_times("echoes", pair.times, pair.failed() + (other ? other->failed() : 0));
  if (other && !other->times.empty()) {
    std::sort(other->times.begin(), other->times.end());
    const auto print_ratio = [](const char* what, double a, double b) {
      std::printf(" %s_us=%.1f other_%s_us=%.1f %s_ratio=%.3f", what, 1000 * a, what, 1000 * b,
                  what, a / b);
    };
    for (const std::size_t percent : {50UL, 99UL}) {
      print_ratio(percent == 50 ? "p50" : "p99", at_share(pair.times, percent),
                  at_share(other->times, percent));
    }
    print_ratio("mean", pair.mean(), other->mean());
  }
  std::printf("\n");
}

void run_gets(const Options& options) {
  const auto start = Clock::now();
  const double limit_ms = 1000.0 * static_cast<double>(number(options, "seconds", 10));
  const std::string path = option(options, "path", "/");
  const Tls tls = client_tls(options);
  std::vector<double> times;
  unsigned long failed = 0;
  const std::chrono::milliseconds rest(number(options, "every", 20));
  while (ms_since(start) < limit_ms && told_to_end == 0) {
    const auto before = Clock::now();
    const auto peer = dial(number(options, "port", 0), tls);
    peer->out = "GET " + path + " HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    const bool sent = peer->flush();
    const bool ok = sent && read_until(*peer, "\r\n\r\n").starts_with("HTTP/1.1 200 ");
    if (!ok && told_to_end != 0) break;  // The signal has ended the wait for it.
    failed += ok ? 0 : 1;
    times.push_back(ms_since(before));
    std::this_thread::sleep_for(rest);
  }
  print_times("gets", times, failed);
  std::printf("\n");
}

}  // namespace
}  // namespace load

int main(int argc, char** argv) {
  load::Options options;
  const std::string command = argc > 1 ? argv[1] : "";
  for (int i = 2; i < argc; ++i) {
    const std::string name = std::string(argv[i]).substr(2);
    const bool has_value = i + 1 < argc && std::strncmp(argv[i + 1], "--", 2) != 0;
    options[name] = has_value ? argv[++i] : "";
  }

  std::signal(SIGPIPE, SIG_IGN);
  rlimit descriptors{};
  getrlimit(RLIMIT_NOFILE, &descriptors);
  descriptors.rlim_cur = descriptors.rlim_max;
  setrlimit(RLIMIT_NOFILE, &descriptors);

  if (command == "serve") {
    const std::string certificate = load::option(options, "cert", "");
    load::Tls tls;
    if (!certificate.empty()) tls = load::tls_server(certificate, load::option(options, "key", ""));
    load::Member(load::number(options, "port", 0), std::move(tls)).run();
  }
  if (command == "talk" || command == "get") load::listen_to_signals();
  if (command == "tunnels") {
    load::Tunnels(options).run_all();
  } else if (command == "talk") {
    load::Talk(options).run_all();
  } else if (command == "slow") {
    load::Slow(options).run_all();
  } else if (command == "shakes") {
    load::Shakes(options).run_all();
  } else if (command == "rate") {
    load::Rate(options).run_all();
  } else if (command == "pair") {
    load::run_pair(options);
  } else if (command == "get") {
    load::run_gets(options);
  } else {
    std::fputs(load::kUsage, stderr);
    return 2;
  }
  return 0;
}
