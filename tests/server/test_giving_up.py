"""When nobody has to wait any longer: clients that go away, members that cannot be connected to."""

import time

import pytest

from http_message import read_response, switching, upgrade_request
from ours import all_quiet, check_echo
from raw_peer import connect
from test_unreachable import full_listener
from waiting import SLOWNESS, wait_until

pytestmark = pytest.mark.parametrize("mpm", ["event"], indirect=True)


@pytest.fixture(scope="module")
def server(start_httpd, transport, shared_member, echo_member):
    with full_listener() as full_port:
        yield start_httpd(f"""
WSBalanceMaxHandshakes 4
WSBalanceHandshakeTimeout 30
ProxyTimeout 30
ProxyPass /slow/ {transport.member_url("ws", shared_member.port)}
ProxyPass /echo/ {transport.member_url("ws", echo_member.port)}
<Location /full/>
  WSBalanceHandshakeTimeout 1
  ProxyPass {transport.member_url("ws", full_port)} retry=0
</Location>
""")


@pytest.mark.parametrize("leave", ["close", "reset"])
def test_a_client_that_goes_away_frees_its_slot(server, member, leave):
    """A member that hangs and clients that do not wait for it take no slot from others, and the
    member's connections end."""
    server.allow_log("WSB0225")
    clients, connections = [], []
    for _ in range(4):
        client = connect(server.port, server.transport)
        client.send(upgrade_request("/slow/x"))
        clients.append(client)
        connections.append(member.accept(client=client))
        connections[-1].read_head()
    wait_until(lambda: server.handshakes() == 4, what="four handshakes to wait")
    for client in clients:
        getattr(client, leave)()
    all_quiet(server)
    assert server.handshakes() == 0
    assert all(connection.is_ended() for connection in connections)
    check_echo(server, "/echo/x", "/x")


def test_connecting_is_part_of_the_time(server):
    """A long ProxyTimeout does not let a handshake wait longer for a connection."""
    server.allow_log("AH00957", "AH00959", "AH01114")
    began = time.monotonic()
    with connect(server.port, server.transport) as client:
        client.send(upgrade_request("/full/x"))
        assert read_response(client).status == 503
    assert time.monotonic() - began < 1 + 3 * SLOWNESS


def test_connection_may_not_name_the_handshake_in_a_request(server, member):
    """What Connection names would not reach the member: 400 instead of another handshake."""
    server.expect_log("WSB0108", level="info")
    with connect(server.port, server.transport) as client:
        client.send(upgrade_request("/slow/x",
                                    change={"Connection": "Upgrade, Sec-WebSocket-Key"}))
        assert read_response(client).status == 400


def test_connection_may_not_name_the_handshake_in_a_101(server, member):
    """... nor what a member has negotiated the client: 502."""
    server.expect_log("WSB0148", level="warn")
    with connect(server.port, server.transport) as client:
        client.send(upgrade_request("/slow/x", add=[("Sec-WebSocket-Protocol", "chat")]))
        connection = member.accept(client=client)
        connection.read_head()
        connection.send(switching(change={"Connection": "Upgrade, Sec-WebSocket-Protocol"},
                                  add=[("Sec-WebSocket-Protocol", "chat")]))
        assert read_response(client).status == 502
        assert connection.is_ended()
