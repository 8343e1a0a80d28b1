"""WSBalanceMaxHandshakes: a member that hangs, or a storm of reconnects, never takes the workers
that ordinary requests need."""

import contextlib
import os
import signal
import time

import pytest

from http_message import answer, get_request, read_response, switching, upgrade_request
from ours import all_quiet, check_echo
from raw_peer import RawMember, connect
from storm import Storm
from waiting import SLOWNESS, wait_until

WORKERS, LIMIT, CROWD = 25, 12, 200

REFUSED = "WSB0223"

# Far below the 60 seconds that the others wait.
REFUSED_WITHIN = 30 / SLOWNESS


@pytest.fixture(scope="module")
def server(start_httpd, transport, shared_member, echo_member):
    """Several children, so that counting in each of them alone would not do."""
    raw = shared_member.port
    return start_httpd(f"""
WSBalanceHandshakeTimeout 60
KeepAlive off
ProxyPass /hanging/ {transport.member_url("ws", raw, "/hanging/")}
<Proxy balancer://strict>
  BalancerMember {transport.member_url("ws", raw).rstrip("/")} retry=60
  ProxySet failonstatus=503 forcerecovery=Off
</Proxy>
ProxyPass /strict/ balancer://strict/
<Proxy balancer://counter>
  BalancerMember {transport.member_url("ws", raw, "/counter")} retry=60
  ProxySet failonstatus=503 forcerecovery=Off
</Proxy>
ProxyPass /counter/ balancer://counter/
ProxyPass /echo/ {transport.member_url("ws", echo_member.port)}
Redirect 410 /plain
""", workers=WORKERS, children=5)


def check_plain_get(server):
    """An ordinary request is answered long before a handshake that waits gives up."""
    began = time.monotonic()
    with connect(server.port, server.transport) as client:
        client.send(get_request("/plain"))
        assert read_response(client).status == 410
    assert time.monotonic() - began < 4 * SLOWNESS


def take_waiting(member, count):
    """The member's connections of the handshakes that were let through."""
    connections = [member.accept() for _ in range(count)]
    for connection in connections:
        connection.read_head()
    return connections


@contextlib.contextmanager
def filled(server, member, path, limit, crowd=CROWD):
    """A crowd whose first `limit` handshakes wait for a member that hangs; the others were
    refused at once."""
    with Storm(server, path, crowd) as storm:
        storm.read(until=crowd - limit, seconds=REFUSED_WITHIN)
        wait_until(lambda: server.handshakes() == limit, what=f"{limit} handshakes to wait")
        yield storm, take_waiting(member, limit)


@pytest.mark.parametrize("path", ["/hanging/x", "/strict/x"])
def test_a_storm_on_a_member_that_hangs(server, member, path):
    """S0-02, S1-41: 25 workers, 200 handshakes: half of the workers wait, every other handshake
    gets 503 with Retry-After at once, a plain GET is answered meanwhile; and when the member
    answers, those that waited get their tunnels."""
    server.expect_log(REFUSED)
    with filled(server, member, path, LIMIT) as (storm, connections):
        assert set(storm.statuses()) == {503} and storm.waiting == LIMIT
        for head in storm.answered:
            assert int(head.get("Retry-After")) > 0
        assert not member.is_called(), "a refused handshake reached the member"
        for _ in range(5):
            check_plain_get(server)
        assert server.handshakes() == LIMIT and server.tunnels() == 0
        wait_until(lambda: server.busy_workers() <= LIMIT + 1, what="the other workers to be free")
        for connection in connections:
            connection.send(switching())
        storm.read(until=CROWD, seconds=20)
        assert storm.statuses() == [101] * LIMIT + [503] * (CROWD - LIMIT)
        wait_until(lambda: server.handshakes() == 0, what="no handshake to wait")
        wait_until(lambda: server.tunnels() == LIMIT, what="the tunnels to open")
        for connection in connections:
            connection.close()
    all_quiet(server)
    check_echo(server, "/echo/x", "/x")


@pytest.mark.parametrize("how", ["answer", "close", "reset"])
def test_the_count_comes_back(server, member, how):
    """However the waiting ends, `WSBalanceHandshakes` is 0 again and the limit is whole again."""
    server.expect_log(REFUSED)
    server.allow_log("WSB0121")
    for _ in range(2):
        with filled(server, member, "/hanging/x", LIMIT, 30) as (storm, connections):
            for connection in connections:
                {"answer": lambda c=connection: c.send(answer(403)), "close": connection.close,
                 "reset": connection.reset}[how]()
            storm.read(until=30, seconds=20)
            ended = 403 if how == "answer" else 502
            assert storm.statuses() == sorted([ended] * LIMIT + [503] * (30 - LIMIT))
        all_quiet(server)
        assert server.handshakes() == 0


def test_a_refusal_does_not_punish_the_member(server, member):
    """Our own 503 puts no member in error, not even with `failonstatus=503` and no recovery: the
    next handshake reaches it."""
    server.expect_log(REFUSED)
    with filled(server, member, "/strict/x", LIMIT, 40) as (storm, connections):
        connections[0].send(answer(403))
        storm.read(until=40 - LIMIT + 1, seconds=20)
        with connect(server.port, server.transport) as client:
            client.send(upgrade_request("/strict/x"))
            connection = member.accept(client=client)
            connection.read_head()
            connection.send(answer(404))
            assert read_response(client).status == 404
        for connection in connections[1:]:
            connection.send(answer(403))
        storm.read(until=40, seconds=20)
    all_quiet(server)


def test_a_members_own_503_does(server, member):
    """The counter-proof: a 503 that the member itself says is what `failonstatus=503` is for."""
    server.expect_log("AH01174", "AH01170")
    with connect(server.port, server.transport) as client:
        client.send(upgrade_request("/counter/x"))
        connection = member.accept(client=client)
        connection.read_head()
        connection.send(answer(503))
        assert read_response(client).status == 503
    wait_until(lambda: server.log.matching("AH01174"), what="the member to be in error")
    with connect(server.port, server.transport) as client:
        client.send(upgrade_request("/counter/x"))
        assert read_response(client).status == 503
    assert not member.is_called()


@pytest.mark.parametrize("limit", [1, 3])
def test_the_limit_can_be_set(start_once, transport, limit):
    """`WSBalanceMaxHandshakes n`, and a client that goes away is no reason to count wrong."""
    with RawMember(transport) as member:
        server = start_once(f"""
WSBalanceMaxHandshakes {limit}
WSBalanceHandshakeTimeout 60
ProxyPass / {transport.member_url("ws", member.port)}
""")
        server.expect_log(REFUSED)
        server.allow_log("WSB0121")
        with filled(server, member, "/x", limit, 20) as (storm, connections):
            assert storm.statuses() == [503] * (20 - limit)
        for connection in connections:  # The clients have gone.
            connection.send(switching())
            assert connection.is_ended()
        all_quiet(server)
        assert server.handshakes() == 0


def test_open_tunnels_do_not_count(start_once, transport, echo_member):
    """The limit is for handshakes that wait, not for tunnels."""
    server = start_once(f"""
WSBalanceMaxHandshakes 1
ProxyPass / {transport.member_url("ws", echo_member.port)}
""")
    server.allow_log(REFUSED)
    with contextlib.ExitStack() as stack:
        for count in range(1, 6):
            client = stack.enter_context(connect(server.port, server.transport))
            client.send(upgrade_request("/x"))
            assert read_response(client).status == 101
            wait_until(lambda: server.tunnels() == count, what="the tunnel to open")
            wait_until(lambda: server.handshakes() == 0, what="no handshake to wait")


def test_a_killed_child_leaves_no_count(start_once, transport, echo_member):
    """What a child counted goes with it: handshakes that waited and tunnels that were open."""
    with RawMember(transport) as member:
        server = start_once(f"""
ProxyPass /echo/ {transport.member_url("ws", echo_member.port)}
ProxyPass /hanging/ {transport.member_url("ws", member.port, "/hanging/")}
""", children=5)
        with Storm(server, "/echo/x", LIMIT) as echoes, Storm(server, "/hanging/x", 0) as hanging:
            echoes.read(until=LIMIT, seconds=20)
            wait_until(lambda: server.tunnels() == LIMIT, what="the tunnels to open")
            wait_until(lambda: server.handshakes() == 0, what="no handshake to wait")
            hanging.add(LIMIT)
            wait_until(lambda: server.handshakes() == LIMIT, what="the handshakes to wait")
            server.allow_log("AH10392", "AH10393")
            for pid in server.children():
                os.kill(pid, signal.SIGKILL)
            wait_until(server.answers, what="new children")
        wait_until(lambda: server.handshakes() == 0, what="no handshake to be counted")
        all_quiet(server)
        check_echo(server, "/echo/x", "/x")
