"""What tunnels cost: memory that is bounded, two descriptors each, no worker; and what happens
when there is no descriptor left."""

import contextlib
import os
import subprocess
import time

import pytest

import processes
from frames import BINARY, TEXT, client_frame, frame, read_frame
from http_message import get_request, parse_head, read_response, switching, upgrade_request
from ours import all_quiet, check_ours
from raw_peer import RawMember, connect
from tunnels import (Flood, anonymous_kb, check_arrives, check_flood_arrives, in_thread, narrow,
                     open_many, open_pair, send_until_blocked, stream, wait_until_steady)
from waiting import SLOWNESS, wait_until

event_only = pytest.mark.parametrize("mpm", ["event"], indirect=True)
threaded = pytest.mark.parametrize("mpm", ["event", "worker"], indirect=True)

KB, MB = 1024, 1024 * 1024

# The allocator of the address sanitizer keeps freed memory for itself.
measures_memory = SLOWNESS == 1.0

TOTAL = 2 * MB
SLOW_READERS = 200
TLS_END_KB = 24  # An idle end with TLS, or a record that waits, with what an allocator adds.


@pytest.fixture(scope="module")
def unix_member(transport, public_dir):
    with RawMember(transport, path=public_dir / "memory.sock") as member:
        yield member


@pytest.fixture(scope="module")
def conf(transport, shared_member, echo_member, unix_member, public_dir):
    """Routes whose kernel buffers are small and do not grow, as far as httpd can say so; towards a
    TCP member it cannot, so there is one on a unix socket as well."""
    assert unix_member
    unix = f"unix:{public_dir}/memory.sock|ws://localhost/"
    raw = transport.member_url("ws", shared_member.port)
    return f"""
SendBufferSize 16384
ReceiveBufferSize 16384
ProxyReceiveBufferSize 16384
<LocationMatch ^/small>
  WSBalanceBuffer 16k
</LocationMatch>
<LocationMatch ^/large>
  WSBalanceBuffer 1m
</LocationMatch>
ProxyPass /small/ {raw}
ProxyPass /small-unix/ {unix}
ProxyPass /large/ {raw}
ProxyPass /large-unix/ {unix}
ProxyPass /raw/ {raw}
ProxyPass /raw-unix/ {unix}
ProxyPass /echo/ {transport.member_url("ws", echo_member.port)}
"""


@pytest.fixture(scope="module")
def server(start_httpd, conf):
    return start_httpd(conf)


def taken_from(server, member, path, side):
    """How much a side can send while the other reads nothing; then all of it arrives."""
    pair = open_pair(server, member, path)
    sender, reader = pair.endless(side)
    narrow(reader)
    narrow(sender)
    count = send_until_blocked(sender)
    check_flood_arrives(sender, reader, count)
    sender.send(b"goes on")
    assert reader.read_exactly(7) == b"goes on"
    pair.close()
    return count


# -- One slow reader ------------------------------------------------------------------------------

@event_only
@pytest.mark.parametrize("side", ["client", "member"])
def test_a_slow_reader_is_bounded_by_its_buffer(server, member, unix_member, side):
    """A sender has to wait when WSBalanceBuffer, or at least half of it, is kept for the other
    side: with 1 MB it can send that much more than with 16 KB, and no more. The rest is in the
    kernels; nothing of it is lost."""
    def taken(path):
        if side == "member":
            return taken_from(server, member, f"/{path}/", side)
        return taken_from(server, unix_member, f"/{path}-unix/", side)

    small, default, large = taken("small"), taken("raw"), taken("large")
    assert small < 16 * KB + 512 * KB
    assert (512 - 128) * KB < large - small < (1024 + 128) * KB, (small, large)
    # As far as it can be told from what the kernels keep now and then.
    assert default - small < (128 + 128) * KB and default < large - 256 * KB, (small, default)
    all_quiet(server)


# -- Many slow readers ----------------------------------------------------------------------------

@pytest.fixture(scope="module")
def tight_server(start_httpd, conf):
    return start_httpd(f"WSBalanceBufferTotal {TOTAL}\n{conf}")


def check_fast_pair(pair):
    """Messages of 64 KB in both directions, each of which arrives soon."""
    data = os.urandom(64 * KB)
    slowest = 0.0
    for _ in range(50):
        for build, source, destination in ((client_frame, pair.client, pair.member),
                                           (frame, pair.member, pair.client)):
            began = time.monotonic()
            with in_thread(source.send, build(BINARY, data)):
                assert read_frame(destination) == (BINARY, data, True)
            slowest = max(slowest, time.monotonic() - began)
    assert slowest < 3.0 * SLOWNESS, f"a message took {slowest:.2f} s"


@event_only
def test_slow_readers_stay_under_the_total(tight_server, transport, member):
    """200 clients that read nothing, whose members send without end, hold WSBalanceBufferTotal at
    most; a pair beside them that reads goes on; then each client gets all that was sent to it; and
    when nothing is kept any more the next slow reader gets its whole 1 MB again. With TLS each of
    them may keep a record as well, which cannot be sent in part."""
    server = tight_server
    limit_kb = TOTAL // KB + 1024 + transport.client_tls * SLOW_READERS * TLS_END_KB
    before = taken_from(server, member, "/large/", "member")
    wait_until(lambda: server.tunnels() == 0, what="the tunnel to end")
    (child,) = server.children()
    fast = open_pair(server, member)
    pairs = [open_pair(server, member) for _ in range(SLOW_READERS)]
    for pair in pairs:
        pair.endless("member")
        narrow(pair.client)
        narrow(pair.member)
    check_ours(server, SLOW_READERS + 1)

    idle_kb = anonymous_kb(child)
    flood = Flood([pair.member for pair in pairs])
    flood.until_blocked()
    grown_kb = anonymous_kb(child) - idle_kb
    # Without the bound each of them would be kept 64 KB to 128 KB: 12 MB at least.
    if measures_memory:
        assert grown_kb < limit_kb, f"grown by {grown_kb} KB"
    check_fast_pair(fast)
    check_ours(server, SLOW_READERS + 1)
    flood.until_blocked()
    if measures_memory:
        assert anonymous_kb(child) - idle_kb < limit_kb
    flood.end()

    for pair in pairs:
        with in_thread(pair.member.end_sending):
            check_arrives(pair.client, stream(flood.sent[pair.member]))
        assert pair.client.is_ended()
    for pair in pairs + [fast]:
        pair.close()
    all_quiet(server)
    after = taken_from(server, member, "/large/", "member")
    assert abs(after - before) < 256 * KB, f"{before} bytes before, {after} after"
    all_quiet(server)


# -- Idle tunnels ---------------------------------------------------------------------------------

@pytest.fixture
def warm_server(start_once, conf, member):
    """A server all workers of which, but one, have been in a handshake at the same time, so that
    what httpd keeps of a connection for the next one is there already."""
    server = start_once(f"WSBalanceMaxHandshakes 0\nWSBalanceHandshakeTimeout 60\n{conf}")
    waiting = []
    for _ in range(server.workers - 1):
        client = connect(server.port, server.transport)
        client.send(upgrade_request("/raw/"))
        waiting.append((client, member.accept(client=client)))
    for client, connection in waiting:
        connection.read_head()
        connection.send(switching())
        assert parse_head(client.read_head()).status == 101
        client.close()
        connection.close()
    for client in open_many(server, "/echo/", 50):
        client.close()
    all_quiet(server)
    return server


def test_an_idle_tunnel_costs_two_descriptors_and_no_worker(warm_server):
    """S0-02: 100 idle tunnels: 200 descriptors, no busy worker; when they have ended all
    descriptors are closed and WSBalanceTunnels is 0."""
    before = wait_until_steady(warm_server.open_descriptors)
    clients = open_many(warm_server, "/echo/", 100)
    check_ours(warm_server, 100)
    wait_until(lambda: warm_server.open_descriptors() == before + 200, what="200 descriptors")
    assert clients[0].ask("hello") == "hello" and clients[-1].ask("hello") == "hello"
    check_ours(warm_server, 100)
    for client in clients:
        client.close()
    all_quiet(warm_server)
    wait_until(lambda: warm_server.open_descriptors() == before, what="all to be closed")


@event_only
@pytest.mark.skipif(not measures_memory, reason="with a sanitizer the figures mean nothing")
def test_an_idle_tunnel_costs_little_memory(warm_server, transport):
    """S1-06: an idle tunnel costs less than 2 KB of the child's memory, and an end of it with TLS
    24 KB more, also when something has gone through it."""
    (child,) = warm_server.children()
    before = anonymous_kb(child)
    clients = open_many(warm_server, "/echo/", 400)
    for client in clients[::4]:
        assert client.ask(bytes(64 * KB)) == bytes(64 * KB)
    check_ours(warm_server, 400)
    tls_ends = transport.client_tls + transport.member_tls
    assert anonymous_kb(child) - before < 400 * (2 + TLS_END_KB * tls_ends)
    for client in clients:
        client.close()
    all_quiet(warm_server)


@event_only
@pytest.mark.skipif(not measures_memory, reason="with a sanitizer the figures mean nothing")
def test_what_was_kept_is_given_back(server, transport, member):
    """Three groups of 40 slow readers, one after the other: when a group has read what was kept
    for it, it holds nothing any more, and the next group needs no more memory."""
    (child,) = server.children()
    groups, figures = [], []
    for _ in range(3):
        groups.append([open_pair(server, member) for _ in range(40)])
        for pair in groups[-1]:
            pair.endless("member")
            narrow(pair.client)
            narrow(pair.member)
        flood = Flood([pair.member for pair in groups[-1]])
        flood.until_blocked()
        figures.append(anonymous_kb(child))
        flood.end()
        for pair in groups[-1]:
            check_flood_arrives(pair.member, pair.client, flood.sent[pair.member])
    # A group is kept at least 40 times 64 KB. All stay open, which counts with TLS.
    idle_kb = 80 * TLS_END_KB * (transport.client_tls + transport.member_tls)
    assert figures[2] - figures[0] < 2048 + idle_kb, f"{figures} KB"
    for group in groups:
        for pair in group:
            pair.close()
    all_quiet(server)


# -- No descriptor left ---------------------------------------------------------------------------

def set_descriptor_limit(pid, limit):
    """The soft limit of a process, set as its own user, who may do so without being root."""
    owner = os.stat(f"/proc/{pid}")
    command = ["prlimit", f"--pid={pid}", f"--nofile={limit}:"]
    if os.geteuid() != owner.st_uid:
        command = ["setpriv", f"--reuid={owner.st_uid}", f"--regid={owner.st_gid}",
                   "--clear-groups", "--"] + command
    subprocess.run(command, check=True)


@contextlib.contextmanager
def descriptors_left(pid, count):
    """Lets a process open only so many descriptors more."""
    opened = wait_until_steady(lambda: set(processes.open_descriptors(pid)))
    limit, free = 0, 0
    while free < count or limit in opened:
        free += limit not in opened
        limit += 1
    with open(f"/proc/{pid}/limits", encoding="ascii") as file:
        before = next(line.split()[3] for line in file if line.startswith("Max open files"))
    set_descriptor_limit(pid, limit)
    try:
        yield
    finally:
        if processes.is_alive(pid):
            set_descriptor_limit(pid, before)


@event_only
@pytest.mark.parametrize("left", [0, 1, 2])
def test_a_handshake_without_descriptors_gets_a_503(server, member, left):
    """Where no descriptor is left for the tunnel, or for the connection to the member, the client
    gets a 503 and the member is not asked; tunnels that are open go on, and handshakes work again
    as soon as there are descriptors."""
    open_ones = [open_pair(server, member) for _ in range(5)]
    client = connect(server.port, server.transport)
    client.send(get_request("/alive.txt"))
    assert read_response(client).status == 200
    (child,) = server.children()
    server.allow_log("AH00952", "WSB0221")  # Told once by test_shortages.
    with descriptors_left(child, left):
        client.send(upgrade_request("/raw/"))
        response = read_response(client)
        assert response.status == 503 and response.head.get("Retry-After")
        assert not member.is_called()
        for pair in open_ones:
            pair.client.send(client_frame(TEXT, b"still here"))
            assert read_frame(pair.member) == (TEXT, b"still here", True)
    client.close()
    open_ones.append(open_pair(server, member))
    for pair in open_ones:
        pair.member.send(frame(TEXT, b"again"))
        assert read_frame(pair.client) == (TEXT, b"again", True)
        pair.close()
    all_quiet(server)
