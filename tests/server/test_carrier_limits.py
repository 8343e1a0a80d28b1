"""Where a carrier cannot be or shall not be for long: WSBalanceDrainTimeout, WSBalanceMaxCarriers,
a fork that fails, threads that stay. Tunnels are closed in order then."""

import atexit
import fcntl
import functools
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

import extra_module
import processes
from carrying import (ROOM, begin_graceful, carried_pairs, check_all_going_away, check_echo,
                      check_echoes, check_spread, check_told, close_all, event_only, move, number,
                      plain_only, take_closes, wait_for_no_carrier)
from ours import all_quiet
from transport import under
from tunnels import end_of, open_pair
from waiting import wait_until

# In this time the tunnels of a child that can have no carrier are closed.
CLOSED_OVER = 3


@pytest.fixture(scope="module")
def conf(transport, shared_member):
    return f"{ROOM}ProxyPass /raw/ {transport.member_url('ws', shared_member.port)}\n"


def check_drained(server, pairs, seconds):
    """Each is told in its turn, and carries messages until then; then the reason is `drain`."""
    times = take_closes(pairs, b"going away", check_echo)
    print("told after:", [round(told, 1) for told in times])
    check_spread(times, seconds)
    for pair in pairs:
        end = end_of(server, pair.port)
        assert (end.reason, end.close_code, end.closer) == ("drain", 1001, "proxy")
    assert number(server, "WSBalanceEnded[drain]") == len(pairs)


@under("event-tls")
def test_drain_timeout(start_once, conf, member):
    server = start_once(f"WSBalanceDrainTimeout 3s\n{conf}", workers=6)
    pairs = [open_pair(server, member) for _ in range(16)]
    move(server, len(pairs))
    check_drained(server, pairs, 3)
    wait_for_no_carrier(server)


@under("prefork-plain")
def test_drain_timeout_of_prefork(start_once, conf, member):
    """Where a child has one tunnel or two, each still has its time."""
    server = start_once(f"WSBalanceDrainTimeout 2s\n{conf}", workers=4)
    pairs = carried_pairs(server, member, 4)
    check_all_going_away(pairs)
    wait_for_no_carrier(server)
    assert number(server, "WSBalanceEnded[drain]") == len(pairs)


@plain_only
@event_only
def test_one_carrier_and_no_more(start_once, conf, member):
    """WSBalanceMaxCarriers 1: the tunnels of one more child are closed, in some time; those of the
    carrier, which are more, go on."""
    server = start_once(f"WSBalanceMaxCarriers 1\n{conf}", workers=6)
    kept = carried_pairs(server, member, 13)
    closed = [open_pair(server, member) for _ in range(12)]
    server.expect_log("WSB0401", level="warn")
    begin_graceful(server)
    check_drained(server, closed, CLOSED_OVER)
    assert len(server.log.matching("WSB0401")) == 1
    check_echoes(kept)
    close_all(kept)
    wait_for_no_carrier(server)
    close_all(carried_pairs(server, member, 2))  # There is room again.


@plain_only
@event_only
def test_a_carrier_makes_room(start_once, conf, member):
    """WSBalanceMaxCarriers 1: the tunnels of the carrier are closed where they are fewer."""
    server = start_once(f"WSBalanceMaxCarriers 1\n{conf}", workers=6)
    closed = carried_pairs(server, member, 12)
    kept = [open_pair(server, member) for _ in range(13)]
    begin_graceful(server)
    check_drained(server, closed, CLOSED_OVER)
    wait_until(lambda: len(server.carriers()) == 1, what="the smaller carrier to end")
    check_echoes(kept)
    assert len(server.log.matching("WSB0405")) == 1
    close_all(kept)
    wait_for_no_carrier(server)


@under("prefork-plain")
def test_no_carrier(start_once, conf, member):
    """WSBalanceMaxCarriers 0."""
    server = start_once(f"WSBalanceMaxCarriers 0\n{conf}", workers=4)
    pairs = [open_pair(server, member) for _ in range(4)]
    begin_graceful(server)
    check_all_going_away(pairs)
    all_quiet(server)
    assert number(server, "WSBalanceEnded[drain]") == len(pairs)
    assert not server.log.matching("WSB0400")


# -- No fork --------------------------------------------------------------------------------------

# The parent, which is root, may fork.
NO_FORK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

static int has_failed;

pid_t fork(void) {
  if (geteuid() == 0) return ((pid_t (*)(void))dlsym(RTLD_NEXT, "fork"))();
  has_failed = 1;
#ifdef FORK
  return ((pid_t (*)(void))dlsym(RTLD_NEXT, "fork"))();
#endif
  errno = EAGAIN;
  return -1;
}

#ifdef NO_THREAD
int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*body)(void*),
                   void* argument) {
  if (has_failed) return EAGAIN;
  return ((int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*))dlsym(
      RTLD_NEXT, "pthread_create"))(thread, attributes, body, argument);
}
#endif
"""


@functools.lru_cache
def no_fork_library(*defined):
    directory = pathlib.Path(tempfile.mkdtemp(prefix="wsb-no-fork-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    directory.chmod(0o755)
    source, library = directory / "no_fork.c", directory / "no_fork.so"
    source.write_text(NO_FORK)
    subprocess.run(["cc", "-shared", "-fPIC", *[f"-D{name}" for name in defined], "-o", library,
                    source], check=True)
    return library


@under("event-tls")
def test_fork_fails(start_once, conf, member):
    server = start_once(conf, workers=4, preload=no_fork_library())
    pairs = [open_pair(server, member) for _ in range(4)]
    server.expect_log("WSB0403", level="error")
    begin_graceful(server)
    check_all_going_away(pairs)
    all_quiet(server)
    assert number(server, "WSBalanceEnded[drain]") == len(pairs)


@plain_only
@event_only
def test_no_process_and_no_thread_is_left(start_once, conf, member):
    """RLIMIT_NPROC counts threads, too: a child that cannot fork cannot start its threads again
    either. Its tunnels are told all the same."""
    check_told_and_closed(start_once(conf, workers=4, preload=no_fork_library("NO_THREAD")),
                          member, "WSB0403")


@plain_only
@event_only
def test_no_thread_is_left_for_a_carrier(start_once, conf, member):
    server = start_once(conf, workers=4, preload=no_fork_library("NO_THREAD", "FORK"))
    check_told_and_closed(server, member, "WSB0003")


def check_told_and_closed(server, member, log_number):
    pairs = [open_pair(server, member) for _ in range(4)]
    server.expect_log(log_number, level="error")
    begin_graceful(server)
    for pair in pairs:
        check_told(pair)
        pair.close()
    for pair in pairs:
        assert end_of(server, pair.port).reason == "drain"
    all_quiet(server)


# -- Threads that stay ----------------------------------------------------------------------------

@under("event-plain")
def test_a_thread_of_another_module_stays(start_once, conf, member):
    """A process with another thread cannot be forked whole."""
    line = extra_module.load_line("thread_module.c", "test_thread_module")
    server = start_once(f"{line}\n{conf}", workers=4)
    pairs = [open_pair(server, member) for _ in range(6)]
    child, = server.children()
    server.expect_log("WSB0402", level="warn")
    begin_graceful(server)
    wait_until(lambda: server.log.matching("WSB0402"), 10, "WSB0402")
    assert thread_names(child).count("wsb-log") == 1
    check_all_going_away(pairs)
    all_quiet(server)
    for pair in pairs:
        assert end_of(server, pair.port).reason == "drain"
    assert not server.carriers() and number(server, "WSBalanceEnded[drain]") == len(pairs)


def thread_names(pid):
    return [path.read_text().strip() for path in pathlib.Path(f"/proc/{pid}/task").glob("*/comm")]


@plain_only
@event_only
def test_a_log_program_does_not_read(start_once, conf, member, public_dir):
    """An error log of a virtual host, at whose full pipe httpd itself waits, holds the log writer
    for good: no carrier. Nor does the child wait for ever. (At a reload httpd ends the program.)"""
    program = public_dir / "deaf.sh"
    program.write_text("#!/bin/sh\nexec sleep 1000\n")
    program.chmod(0o755)
    server = start_once(f"""
{conf}
MaxConnectionsPerChild {4 * LINES_OF_A_PAGE}
<VirtualHost *>
  ErrorLog "|{program}"
</VirtualHost>
""", workers=6)
    shrink_pipe(server)
    pairs = [open_pair(server, member) for _ in range(6)]
    close_all([open_pair(server, member) for _ in range(2 * LINES_OF_A_PAGE)])
    wait_until(lambda: server.tunnels() == len(pairs), what="the others to be closed")
    server.expect_log("WSB0402", level="warn")
    server.allow_log("AH03490", "AH00288")
    wait_until(lambda: server.answers() and server.log.matching("WSB0402"), what="the child's end")
    check_all_going_away(pairs)
    all_quiet(server)
    assert not server.carriers()


LINES_OF_A_PAGE = 4096 // 200


def shrink_pipe(server):
    """To the least that a pipe can be: a page."""
    child, = [pid for pid in server.children() if processes.listens(pid)]
    pipes = [fd for fd, what in processes.open_descriptors(child).items()
             if what.startswith("pipe:")]
    for number_of_pipe in pipes:
        with open(f"/proc/{child}/fd/{number_of_pipe}", "wb", opener=as_it_is) as pipe:
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 4096)


def as_it_is(path, _):
    return os.open(path, os.O_RDWR | os.O_NONBLOCK)
