// What a carrier is made of and needs no httpd: descriptors, title, the parent's life, the kind of
// a child's end.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "httpd/child_end.h"
#include "httpd/open_descriptors.h"
#include "httpd/parent_watch.h"
#include "httpd/process_title.h"
#include "support/catch.h"

namespace wsbalance::httpd {
namespace {

// Runs it in a process of its own; what it returned.
template <typename Body>
int in_forked_process(Body&& body) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(body());
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST_CASE("all descriptors are closed but those that are kept", "[carrier]") {
  CHECK(in_forked_process([] {
          int made[6];
          for (int& fd : made) fd = ::open("/dev/null", O_RDONLY);
          const int far = ::fcntl(made[0], F_DUPFD, 200);
          close_all_but({made[4], 1, made[1], far, made[1], -1});
          const bool kept = is_open(1) && is_open(made[1]) && is_open(made[4]) && is_open(far);
          const bool closed = !is_open(0) && !is_open(2) && !is_open(made[0]) &&
                              !is_open(made[2]) && !is_open(made[3]) && !is_open(made[5]);
          return kept && closed ? 7 : 1;
        }) == 7);
}

std::string read_all(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_CASE("the title is shown, also when it changes, and the environment is kept", "[carrier]") {
  CHECK(in_forked_process([] {
          ::setenv("WSB_TITLE_TEST", "here", 1);
          const std::string path = ::getenv("PATH");
          ProcessTitle title;
          const std::string text = "apache2: a title of some length";
          title.show("wsb-carrier", text);
          if (read_all("/proc/self/cmdline").substr(0, text.size() + 1) != text + '\0') return 1;
          if (read_all("/proc/self/comm") != "wsb-carrier\n") return 2;
          title.show("wsb-carrier", "short");
          if (read_all("/proc/self/cmdline").find("title") != std::string::npos) return 3;
          title.show("wsb-carrier", std::string(100'000, 'x'));  // Cut.
          if (::getenv("WSB_TITLE_TEST") != std::string("here") || path != ::getenv("PATH"))
            return 4;
          return 7;
        }) == 7);
}

TEST_CASE("the end of a parent is noticed by its child and grandchild", "[carrier]") {
  int report[2];
  REQUIRE(::pipe(report) == 0);
  CHECK(in_forked_process([&] {
          if (::fork() == 0) {
            const ParentWatch watch;
            if (watch.is_gone() || ::fork() == 0) {
              // A second process watches the same one.
              pollfd gone{watch.fd(), POLLIN, 0};
              const bool told = ::poll(&gone, 1, 20'000) == 1;
              const char answer = told && watch.is_gone() ? 'y' : 'n';
              ::_exit(::write(report[1], &answer, 1) == 1 ? 0 : 1);
            }
            const char ready = watch.is_gone() ? 'n' : 'r';
            ::_exit(::write(report[1], &ready, 1) == 1 ? 0 : 1);
          }
          char ready = 0;
          return ::read(report[0], &ready, 1) == 1 && ready == 'r' ? 7 : 1;
        }) == 7);
  char answer = 0;
  REQUIRE(::read(report[0], &answer, 1) == 1);
  CHECK(answer == 'y');
  ::close(report[0]);
  ::close(report[1]);
}

TEST_CASE("a child's end is graceful or not", "[carrier]") {
  const auto threaded = [](bool told, bool graceful) {
    return is_graceful({.is_threaded_mpm = true, .was_told = told, .was_told_graceful = graceful});
  };
  CHECK(threaded(true, true));
  CHECK_FALSE(threaded(true, false));
  CHECK_FALSE(threaded(false, false));
  CHECK(is_graceful({.was_told = true}));
  CHECK(is_graceful({}));  // prefork, accept() failed.
  CHECK_FALSE(is_graceful({.was_told = true, .is_in_signal_handler = true}));
}

volatile bool was_in_handler = false;

TEST_CASE("a handler of SIGTERM or SIGHUP is told from everything else", "[carrier]") {
  CHECK_FALSE(is_in_stop_handler());
  for (const int number : {SIGTERM, SIGHUP, SIGUSR1}) {
    was_in_handler = false;
    struct sigaction before {};
    struct sigaction action {};
    action.sa_handler = [](int) { was_in_handler = is_in_stop_handler(); };
    REQUIRE(::sigaction(number, &action, &before) == 0);
    ::raise(number);
    ::sigaction(number, &before, nullptr);
    CHECK(was_in_handler == (number != SIGUSR1));
  }
}

}  // namespace
}  // namespace wsbalance::httpd
