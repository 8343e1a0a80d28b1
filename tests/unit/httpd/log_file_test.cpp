#include "httpd/log_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <string>

#include "relay/unique_fd.h"
#include "support/catch.h"

namespace wsbalance::httpd {
namespace {

using namespace std::chrono_literals;
using relay::UniqueFd;
using Result = LogFile::Result;

struct Pipe {
  Pipe() {
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    out.reset(ends[0]);
    in.reset(ends[1]);
    REQUIRE(::fcntl(in.get(), F_SETPIPE_SZ, 4096) == 4096);
  }
  std::string read(std::size_t most = 65536) {
    std::string text(most, '\0');
    const ssize_t count = ::read(out.get(), text.data(), most);
    text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    return text;
  }
  UniqueFd out;
  UniqueFd in;
};

TEST_CASE("a program that does not read costs lines and no time after the first", "[log]") {
  Pipe pipe;
  LogFile log("|test", pipe.in.get());
  const std::string line = std::string(999, 'x') + '\n';
  for (int i = 0; i < 4; ++i) CHECK(log.write(line, 0ms) == Result::written);
  const auto begin = std::chrono::steady_clock::now();
  CHECK(log.write(line, 20ms) == Result::not_taken);
  CHECK(std::chrono::steady_clock::now() - begin >= 20ms);
  for (int i = 0; i < 100; ++i) CHECK(log.write(line, 1h) == Result::not_taken);
  CHECK(pipe.read() == line + line + line + line);
  CHECK(log.write("again\n", 0ms) == Result::written);
  CHECK(pipe.read() == "again\n");
}

TEST_CASE("behind a part of a line the next one begins on its own", "[log]") {
  Pipe pipe;
  LogFile log("|test", pipe.in.get());
  CHECK(log.write(std::string(6000, 'x') + '\n', 0ms) == Result::not_taken);
  CHECK(log.write("next\n", 0ms) == Result::not_taken);
  CHECK(pipe.read() == std::string(4096, 'x'));
  CHECK(log.write("next\n", 0ms) == Result::written);
  CHECK(log.write("another\n", 0ms) == Result::written);
  CHECK(pipe.read() == "\nnext\nanother\n");
}

TEST_CASE("an error is told once until it works again", "[log]") {
  (void)std::signal(SIGPIPE, SIG_IGN);
  Pipe pipe;
  LogFile log("|test", pipe.in.get());
  const UniqueFd good(::dup(pipe.in.get()));
  const UniqueFd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  REQUIRE(full);
  REQUIRE(::dup2(full.get(), pipe.in.get()) >= 0);
  CHECK(log.write("one\n", 0ms) == Result::broke);
  CHECK(log.last_error() == ENOSPC);
  CHECK(log.write("two\n", 0ms) == Result::still_broken);
  REQUIRE(::dup2(good.get(), pipe.in.get()) >= 0);
  CHECK(log.write("three\n", 0ms) == Result::works_again);
  CHECK(log.lost() == 2);
  CHECK(log.write("four\n", 0ms) == Result::written);
  CHECK(pipe.read() == "three\nfour\n");
  pipe.out.reset();
  CHECK(log.write("five\n", 0ms) == Result::broke);
  CHECK(log.last_error() == EPIPE);
  CHECK(log.lost() == 1);
}

TEST_CASE("a line is one write, and a file stays blocking", "[log]") {
  const std::string path = "/tmp/wsb-log-file-test." + std::to_string(::getpid());
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  REQUIRE(fd);
  ::unlink(path.c_str());
  LogFile log("file", fd.get());
  CHECK((::fcntl(fd.get(), F_GETFL) & O_NONBLOCK) == 0);
  const std::string line = std::string(100'000, 'x') + '\n';
  CHECK(log.write(line, 0ms) == Result::written);
  struct stat status {};
  REQUIRE(::fstat(fd.get(), &status) == 0);
  CHECK(status.st_size == static_cast<off_t>(line.size()));
}

}  // namespace
}  // namespace wsbalance::httpd
