"""Tunnels and the processes that carry them: several children, several relay threads, a child that
is killed, and the stop of the server. (Children that end gracefully: test_carrier.py.)"""

import contextlib
import os
import signal

import pytest

from frames import TEXT, client_frame, frame, read_frame
from http_message import upgrade_request
from ours import all_quiet, check_ours
from proxy_frames import read_close
from raw_peer import connect
from tunnels import (AT_ONCE, Flood, carriers, ended, ends_within, in_thread, narrow, open_many,
                     open_pair, relay_threads, wait_until_steady)
from waiting import SLOWNESS, wait_until

threaded = pytest.mark.parametrize("mpm", ["event", "worker"], indirect=True)

# Stock httpd needs 10 s and a SIGKILL for a child whose worker is in a tunnel.
STOP_SECONDS = 3


@pytest.fixture(scope="module")
def conf(transport, shared_member, echo_member):
    return f"""
WSBalanceMaxHandshakes 0
WSBalanceHandshakeTimeout 60
ProxyPass /raw/ {transport.member_url("ws", shared_member.port)}
ProxyPass /echo/ {transport.member_url("ws", echo_member.port)}
ProxyPass /http/ {transport.member_url("http", echo_member.port)}
"""


def check_echo(pair):
    """The tunnel carries messages both ways."""
    pair.client.send(client_frame(TEXT, b"question"))
    assert read_frame(pair.member) == (TEXT, b"question", True)
    pair.member.send(frame(TEXT, b"answer"))
    assert read_frame(pair.client) == (TEXT, b"answer", True)


def port_of(client):
    return client._socket.local_address[1]  # pylint: disable=protected-access


def open_on_two_children(server, member):
    """Opens tunnels until two children carry some: (pid of one of them, its pairs, all others)."""
    pairs = []

    def by_child():
        pairs.append(open_pair(server, member))
        found = carriers(server, {pair.port for pair in pairs})
        return found if len(found) > 1 and len(pairs) >= 10 else None

    found = wait_until(by_child, 20, "two children to carry tunnels")
    pid, ports = min(found.items(), key=lambda item: len(item[1]))
    return (pid, [pair for pair in pairs if pair.port in ports],
            [pair for pair in pairs if pair.port not in ports])


def is_ended(connection):
    """A reset or an end of file, at once."""
    return ends_within(connection, AT_ONCE)


# -- Several children and several threads ---------------------------------------------------------

def test_tunnels_of_several_children_are_counted_together(start_once, conf, member):
    """WSBalanceTunnels is the sum over all children, whichever of them answers."""
    server = start_once(conf, workers=24, children=3)
    _, few, many = open_on_two_children(server, member)
    check_ours(server, len(few + many))
    for pair in few + many:
        check_echo(pair)
    for pair in few:
        pair.close()
    check_ours(server, len(many))
    for pair in many:
        pair.close()
    all_quiet(server)


def test_several_relay_threads(start_once, conf, member):
    """WSBalanceThreads 4: each of the four carries some of the tunnels, and all messages arrive."""
    server = start_once(f"WSBalanceThreads 4\n{conf}", workers=6)
    names = [f"wsb-relay-{number}" for number in range(4)]
    for pid in server.children():
        wait_until(lambda pid=pid: sorted(relay_threads(pid)) == names, what="the threads")
    clients = open_many(server, "/echo/", 60)
    check_ours(server, 60)
    busiest = max(carriers(server, {port_of(client) for client in clients}).items(),
                  key=lambda item: len(item[1]))
    before = relay_threads(busiest[0])
    for number in range(5):
        for client in clients:
            client.send(f"message {number}")
        for client in clients:
            assert client.receive() == f"message {number}"
    if len(busiest[1]) >= 4:  # Under prefork a child may have fewer tunnels.
        after = relay_threads(busiest[0])
        assert all(after[name] > before[name] for name in before), f"{before} {after}"
    pair = open_pair(server, member)
    check_echo(pair)
    pair.close()
    for client in clients:
        client.close()
    all_quiet(server)


def test_three_hundred_tunnels_at_once(start_once, conf):
    """S0-02: 300 WebSockets opened at the same time through 25 workers, a message each way, closed
    at the same time: none is refused or lost, none is counted after that, and each has its line."""
    server = start_once(conf)
    check_ours(server, 0)
    before = wait_until_steady(server.open_descriptors)
    clients = open_many(server, "/echo/", 300)
    ports = {port_of(client) for client in clients}
    check_ours(server, 300)
    for number, client in enumerate(clients):
        client.send(f"message {number}")
    for number, client in enumerate(clients):
        assert client.receive() == f"message {number}"
    close_all(clients)
    all_quiet(server)
    wait_until(lambda: len(ended(server)) == 300, what="300 lines")
    ends = ended(server)
    assert {end.port for end in ends} == ports
    assert {(end.reason, end.close_code) for end in ends} == {("client-close", 1000)}
    assert all(end.to_member.messages == end.to_client.messages == 1 for end in ends)
    wait_until(lambda: server.open_descriptors() == before, 8, "all descriptors to be closed")


def close_all(clients):
    """Closes WebSockets without waiting for one before the next."""
    with contextlib.ExitStack() as stack:
        for client in clients:
            stack.enter_context(in_thread(client.close))


# -- A child that is killed -----------------------------------------------------------------------

def test_a_killed_child_takes_only_its_own_tunnels(start_once, conf, member):
    """S0-02: `kill -9` of a child: both sides of its tunnels see the end at once, the tunnels of
    other children go on, WSBalanceTunnels comes back to the truth, and new tunnels work."""
    server = start_once(conf, workers=24, children=3)
    server.log.allow_exit_signal(r"exit signal Killed \(9\)")
    pid, lost, others = open_on_two_children(server, member)
    check_ours(server, len(lost + others))
    os.kill(pid, signal.SIGKILL)
    for pair in lost:
        assert is_ended(pair.client) and is_ended(pair.member)
    for pair in others:
        check_echo(pair)
    wait_until(lambda: server.tunnels() == len(others), what="the lost ones not to be counted")
    others.append(open_pair(server, member))
    check_ours(server, len(others))
    for pair in others:
        check_echo(pair)
        pair.close()
    all_quiet(server)
    wait_until(lambda: len(ended(server)) == len(others), what="a line of each other tunnel")


@threaded
def test_handshakes_of_a_killed_child_are_not_counted(start_once, conf, member):
    """A handshake that waits for its member when its child is killed: its slot is free again."""
    server = start_once(conf.replace("WSBalanceMaxHandshakes 0", "WSBalanceMaxHandshakes 1"))
    server.log.allow_exit_signal(r"exit signal Killed \(9\)")
    client = connect(server.port, server.transport)
    client.send(upgrade_request("/raw/"))
    waiting = member.accept()
    waiting.read_head()
    wait_until(lambda: server.handshakes() == 1, what="the handshake to be counted")
    os.kill(server.children()[0], signal.SIGKILL)
    assert is_ended(client) and is_ended(waiting)
    wait_until(lambda: answers_with(server.handshakes, 0), what="the slot to be free")
    pair = open_pair(server, member)
    check_echo(pair)
    pair.close()
    all_quiet(server)


def answers_with(question, value):
    """False also while nobody is there to be asked."""
    try:
        return question() == value
    except (OSError, AssertionError, KeyError):
        return False


# -- Stop -----------------------------------------------------------------------------------------

def stop_in_time(server):
    """httpd's own stop, which the harness watches: no process is left, nothing in the log."""
    server.stop()
    assert server.stop_seconds < STOP_SECONDS * SLOWNESS, f"{server.stop_seconds:.1f} s"


def test_stop_with_open_tunnels(start_once, conf, member):
    """S0-02: a stop with open tunnels takes less than 3 seconds, also where nobody answers the
    close frame that both sides of each get, unless bytes are kept for them."""
    server = start_once(conf, workers=24, children=2)
    library = open_many(server, "/echo/", 20)
    idle = [open_pair(server, member) for _ in range(20)]
    slow = [open_pair(server, member) for _ in range(4)]
    for pair in slow:
        pair.endless("member")
        narrow(pair.client)
        narrow(pair.member)
    flood = Flood([pair.member for pair in slow])
    flood.until_blocked(0.1)
    flood.end()
    check_ours(server, 44)
    stop_in_time(server)
    for pair in idle:
        for side in ("client", "member"):
            connection, _ = pair.side(side)
            read_close(connection, side, b"going away")
            assert is_ended(connection)
        pair.close()
    for pair in slow:
        pair.client.read_until_eof()
        pair.close()
    for client in library:
        client.close()
        assert client.close_code == 1001


def test_stop_while_tunnels_are_busy(start_once, conf, member):
    """The same while bytes are flowing both ways in each of them."""
    server = start_once(conf)
    pairs = [open_pair(server, member) for _ in range(4)]

    def send_until_the_end(connection):
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while True:
                connection.send(bytes(30000))

    def read_to_the_end(connection):
        with contextlib.suppress(ConnectionResetError):
            while connection.sock.recv(1 << 16):
                pass

    with contextlib.ExitStack() as stack:
        for pair in pairs:
            for source, destination in (pair.endless("client"), pair.endless("member")):
                stack.enter_context(in_thread(send_until_the_end, source))
                stack.enter_context(in_thread(read_to_the_end, destination))
        wait_until(lambda: server.tunnels() == 4, what="4 tunnels")
        stop_in_time(server)
    for pair in pairs:
        pair.close()
