"""socket.io, server and client: it begins with polling and upgrades, and both have to meet the same
member of a balancer with http:// members, by one ProxyPass."""

import contextlib

import pytest

import node_peer

pytestmark = [pytest.mark.transports("plain"),
              pytest.mark.parametrize("mpm", ["event"], indirect=True)]

CLIENTS = 20
MESSAGES = 2


@pytest.fixture(scope="module", name="ports")
def three_members():
    """The ports of three processes, which know nothing of each other."""
    with contextlib.ExitStack() as stack:
        members = [stack.enter_context(node_peer.SocketIoMember(name)) for name in "abc"]
        yield [member.port for member in members]


def start(start_once, ports, line=""):
    members = "\n".join(f"BalancerMember http://127.0.0.1:{port}" for port in ports)
    return start_once(f"""
<Proxy balancer://chat>
{members}
{line}
</Proxy>
ProxyPass /socket.io/ balancer://chat/socket.io/
""", workers=64)


def run_clients(server, **wish):
    return node_peer.run_socket_io_clients(
        server, **{"clients": CLIENTS, "messages": MESSAGES, **wish})


def test_with_the_cookie(start_once, ports):
    """S1-31: each client meets one member from its first request to its last message, and all
    members have clients."""
    server = start(start_once, ports, "WSBalanceSticky cookie=ROUTE")
    seen = run_clients(server)
    assert seen["well"] == CLIENTS, seen
    assert seen["began_by_polling"] == CLIENTS
    assert seen["echoes"] == 2 * MESSAGES * CLIENTS
    assert seen["met_several"] == 0
    assert sorted(seen["members"]) == ["a", "b", "c"] and sum(seen["members"].values()) == CLIENTS


@pytest.mark.parametrize("line,cookies", [("", True), ("WSBalanceSticky cookie=ROUTE", False)],
                         ids=["no cookie", "clients that keep none"])
def test_without(start_once, ports, line, cookies):
    """What the test above would not see otherwise: in turn, a session does not get far."""
    server = start(start_once, ports, line)
    # One at a time: each request of it goes to another member than the one before.
    seen = run_clients(server, clients=1, cookies=cookies)
    assert seen["well"] == 0 and seen["failures"], seen
    seen = run_clients(server, cookies=cookies)
    assert seen["well"] < CLIENTS / 2, seen
