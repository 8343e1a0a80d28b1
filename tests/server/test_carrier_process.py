"""What a carrier is as a process: its title, session, signals, descriptors; and what many of them
leave behind, which is nothing."""

import collections
import re
import signal

import pytest

import processes
from carrying import (LOG, ROOM, carried_pairs, check_echoes, close_all, event_only, move,
                      number, plain_only, titles, wait_for_no_carrier)
from ours import all_quiet
from transport import under
from tunnels import open_pair
from waiting import SLOWNESS, wait_until


@pytest.fixture(scope="module")
def conf(transport, shared_member):
    return f'{ROOM}{LOG}ProxyPass /raw/ {transport.member_url("ws", shared_member.port)}\n'


@under("event-plain", "prefork-tls")
def test_what_a_carrier_is(start_once, conf, member):
    """Its title counts its tunnels; it has a session of its own, httpd's dispositions of signals,
    and open what it needs: logs, two descriptors a tunnel, what wakes it."""
    server = start_once(conf, workers=4)
    pairs = [open_pair(server, member) for _ in range(5)]
    carrier, *_ = pids = move(server, len(pairs))
    for pid in pids:
        check_signals(pid)
        check_descriptors(server, pid, titles(server)[pid][1])
        assert processes.session(pid) == pid
        assert processes.listens(pid) is False
        assert titles(server)[pid][0] == 0
    while pairs:
        pairs.pop().close()
        wait_until(lambda: sum(count for _, count in titles(server).values()) == len(pairs), 3,
                   "the title to count")
        check_echoes(pairs)
    wait_until(lambda: not processes.is_alive(carrier), 3, "the end")


def check_signals(pid):
    """SIGTERM and SIGINT are read from a descriptor; what is said to a process group is nothing."""
    ignored = {signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGUSR1, signal.SIGWINCH}
    # Sanitizers keep theirs.
    of_sanitizers = {signal.SIGABRT, signal.SIGBUS, signal.SIGSEGV} if SLOWNESS > 1 else set()
    assert processes.signal_set(pid, "SigCgt") & set(range(1, 32)) <= of_sanitizers
    assert processes.signal_set(pid, "SigIgn") == ignored
    # All are blocked while it starts its threads.
    wait_until(lambda: processes.signal_set(pid, "SigBlk") == {signal.SIGTERM, signal.SIGINT},
               what="only these to be blocked")


# One relay thread and a log writer.
WAKERS = {"eventpoll": 1, "pidfd": 1, "signalfd": 1}


def check_descriptors(server, pid, tunnels):
    found = processes.open_descriptors(pid)
    parent = processes.open_descriptors(server.parent_pid())
    assert {found.pop(number) for number in (0, 1, 2)} == {parent[number] for number in (0, 1, 2)}
    kinds = collections.Counter(
        re.sub(r":?\[?[0-9]*\]?$|[\[\]]", "", what.replace("anon_inode:", "")) for what in
        found.values())
    log = str(server.directory / "tunnels.json")  # The error log is 2.
    assert kinds.pop("socket") == 2 * tunnels + 1, found  # And the way to the logs.
    assert kinds.pop("eventfd") <= 3, found
    assert kinds.pop(log) == 1, found
    assert kinds == WAKERS, found


@event_only
@plain_only
def test_two_descriptors_a_tunnel(start_once, conf, member):
    server = start_once(conf, workers=6)
    pairs = [open_pair(server, member) for _ in range(30)]
    carrier, = move(server, len(pairs))
    before = len(processes.open_descriptors(carrier))
    for pair in pairs[:20]:
        pair.close()
    wait_until(lambda: len(processes.open_descriptors(carrier)) == before - 40, 3,
               "40 descriptors less")
    check_echoes(pairs[20:])


@under("prefork-plain")
def test_many_reloads(start_once, conf, member):
    """30 reloads with tunnels: no descriptor, process or row more than before. (With as few rows as
    there are, each that is left behind would be missed.)"""
    reload_many(start_once(f"WSBalanceMaxCarriers 8\n{conf}", workers=3), member, 30)


@under("event-tls")
def test_many_reloads_of_threads(start_once, conf, member):
    reload_many(start_once(f"WSBalanceMaxCarriers 4\n{conf}", workers=4), member, 3)


def reload_many(server, member, count):
    close_all(carried_pairs(server, member, 2))
    wait_for_no_carrier(server)
    before, most = what_there_is(server), most_descriptors(server)
    kept = carried_pairs(server, member, 1)
    for _ in range(count):
        pairs = [open_pair(server, member) for _ in range(2)]
        server.graceful()
        check_echoes(kept + pairs)
        close_all(pairs)
        wait_until(lambda: number(server, "WSBalanceCarriers") <= 4, 10, "others to end")
    close_all(kept)
    wait_for_no_carrier(server)
    all_quiet(server)
    assert what_there_is(server) == before
    wait_until(lambda: all(map(processes.is_alive, processes.children(server.parent_pid()))), 5,
               "no zombie")
    assert len(server.children()) <= server.workers
    assert most_descriptors(server) <= most + 2  # A connection of httpd's, which is asked just now.


def what_there_is(server):
    """Descriptors of the parent, shared memory, and what stands in it."""
    status = server.status()
    return {"parent": processes.open_descriptors(server.parent_pid()).keys(),
            "keys": {key for key in status if key.startswith("WSBalanceMember")
                     and key.endswith("Name")},
            "open": status["WSBalanceTunnels"], "carriers": status["WSBalanceCarriers"],
            "lost": status["WSBalanceLost"],
            "segments": shared_segments(server.parent_pid())}


def most_descriptors(server):
    return max(len(processes.open_descriptors(pid)) for pid in server.children())


def shared_segments(pid):
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
        return sum("/dev/zero" in line or "SYSV" in line or "/dev/shm" in line for line in file)
