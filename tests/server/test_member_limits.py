"""How many tunnels a member may have: max= in each child, WSBalanceMaxPerMember over all."""

import os
import signal

import pytest

from counters import BALANCER, HEALED_SECONDS, check_busy, check_figures
from http_message import answer, get_request, read_response, switching, upgrade_request
from ours import all_quiet
from raw_peer import RawMember, connect
from waiting import SLOWNESS, wait_until

pytestmark = [pytest.mark.transports("plain"),
              pytest.mark.parametrize("mpm", ["event"], indirect=True)]

FULL, FULL_ALONE, TRIED = "WSB0523", "WSB0524", "WSB0521"


@pytest.fixture(name="other")
def other_member():
    with RawMember() as found:
        yield found


def url(member):
    return f"ws://127.0.0.1:{member.port}"


def conf(member, parameters="", lines="", other=None):
    """A balancer at /lb/ that asks `member` before `other`."""
    second = f"BalancerMember {url(other)} lbset=1" if other else ""
    return f"""
ProxyStatus On
WSBalanceCloseTimeout 500ms
Header always set X-Attempts expr=%{{env:WSBALANCE_ATTEMPTS}}
<Proxy {BALANCER}>
  BalancerMember {url(member)} {parameters}
  {second}
  {lines}
</Proxy>
ProxyPass /lb/ {BALANCER}/
"""


def begin(server, member, path="/lb/x"):
    """A handshake that waits for this member's answer: the client and the member's connection."""
    client = connect(server.port)
    client.send(upgrade_request(path))
    connection = member.accept(client=client)
    connection.read_head()
    return client, connection


def finish(client, connection):
    connection.send(switching())
    response = read_response(client)
    assert response.status == 101
    return response.head


def open_at(server, member, path="/lb/x"):
    """A tunnel, which has to be at this member."""
    client, connection = begin(server, member, path)
    finish(client, connection)
    return client


def check_full(server, path="/lb/x"):
    with connect(server.port) as client:
        client.send(upgrade_request(path))
        response = read_response(client)
        assert response.status == 503 and int(response.head.get("Retry-After")) > 0


def check_not_punished(server, member):
    assert state(server, member) == "Init Ok"


def state(server, member):
    status = server.status()
    key, = [key for key, value in status.items()
            if key.startswith("ProxyBalancer") and key.endswith("Name") and value == url(member)]
    return status[key[:-len("Name")] + "Status"].strip()


def wait_for_room(server, member, left, opened):
    """Until so many tunnels of the member are left, of so many."""
    check_figures(server, url(member), BALANCER, Tunnels=left, Opened=opened)


@pytest.mark.parametrize("parameters,lines", [("max=2", ""), ("", "WSBalanceMaxPerMember 2"),
                                              ("max=2 acquire=1", "WSBalanceMaxPerMember 100")])
def test_the_next_member_takes_what_is_too_much(start_once, member, other, parameters, lines):
    """At once, it is no try and no punishment, and there is room again when a tunnel ends."""
    server = start_once(conf(member, parameters, lines, other))
    clients = [open_at(server, member) for _ in range(2)]
    client, connection = begin(server, other)
    assert finish(client, connection).get("X-Attempts") == "1"
    line, = server.log.matching(TRIED)
    assert f"{url(member)} full: max= or WSBalanceMaxPerMember (" in line and f"{url(other)} switched (" in line
    check_not_punished(server, member)
    check_busy(server, url(member), 2)
    check_busy(server, url(other), 1)
    clients.pop().close()
    wait_for_room(server, member, 1, 2)
    clients.append(open_at(server, member))
    for one in [client, *clients]:
        one.close()
    all_quiet(server)
    check_busy(server, url(member), 0)


@pytest.mark.parametrize("parameters,lines", [("max=1", ""), ("", "WSBalanceMaxPerMember 1")])
def test_all_are_full(start_once, member, parameters, lines):
    server = start_once(conf(member, parameters, lines))
    server.expect_log(FULL, level="warn")
    client = open_at(server, member)
    for _ in range(3):
        check_full(server)
    assert not member.is_called() and server.handshakes() == 0
    check_not_punished(server, member)
    check_figures(server, url(member), BALANCER, Tunnels=1, HandshakesFailed=0)
    client.close()
    wait_for_room(server, member, 0, 1)
    open_at(server, member).close()
    all_quiet(server)


def test_no_local_port_is_left(start_once, calls, member):
    """Each connection needs one; where they have run out the member is full, not down."""
    server = start_once(conf(member, "retry=100", "WSBalanceOnMemberDown close") +
                        f"ProxyPass /alone/ {url(member)}/ retry=100", **calls.options())
    server.expect_log(FULL, r"all local ports for connections to it are in use", level="warn")
    server.allow_log("AH00957", "AH00959")
    client = open_at(server, member)
    wait_until(lambda: server.tunnels() == 1, what="the relay to have it")
    calls.fail_all("connect_eaddrnotavail")
    check_full(server)
    check_full(server, "/alone/x")
    calls.heal("connect_eaddrnotavail")
    check_not_punished(server, member)
    open_at(server, member).close()
    open_at(server, member, "/alone/x").close()
    wait_until(lambda: server.tunnels() == 1, what="the first one to go on")
    client.close()
    all_quiet(server)


def test_max_of_a_member_without_a_balancer(start_once, member):
    server = start_once(f"""
WSBalanceCloseTimeout 500ms
ProxyPass /limited/ {url(member)}/limited/ max=1
ProxyPass /any/ {url(member)}/any/
""")
    server.expect_log(FULL_ALONE, level="warn")
    clients = [open_at(server, member, "/any/x") for _ in range(30)]  # More than threads.
    clients.append(open_at(server, member, "/limited/x"))
    check_full(server, "/limited/x")
    for client in clients:
        client.close()
    all_quiet(server)
    open_at(server, member, "/limited/x").close()


def test_handshakes_under_way_count(start_once, member, other):
    """From the moment the member is asked; one that fails gives its place back."""
    server = start_once(conf(member, "", "WSBalanceMaxPerMember 1", other))
    first, connection = begin(server, member)
    open_at(server, other).close()
    wait_for_room(server, other, 0, 1)
    connection.send(answer(403))
    assert read_response(first).status == 403
    first.close()
    check_busy(server, url(member), 0)  # The handler is done.
    second, connection = begin(server, member)
    finish(second, connection)
    open_at(server, other).close()
    second.close()
    all_quiet(server)


def test_plain_requests_take_connections_too(start_once, member):
    """Nobody waits for a connection from mod_proxy's pool."""
    server = start_once(conf(member, "max=1").replace("ws://", "http://"))
    server.expect_log(FULL, level="warn")
    with connect(server.port) as slow:
        slow.send(get_request("/lb/page"))
        connection = member.accept()
        connection.read_head()
        check_full(server)
        connection.send(answer(200, b"page"))
        assert read_response(slow).body == b"page"
    connection.close()
    all_quiet(server)
    open_at(server, member).close()


def test_over_children_and_after_a_crash(start_once, member, other):
    """Children that are killed leave no place taken."""
    server = start_once(conf(member, "", "WSBalanceMaxPerMember 3", other), children=5)
    clients = [open_at(server, member) for _ in range(3)]
    waiting = [begin(server, other)[0] for _ in range(3)]
    wait_until(lambda: server.tunnels() == 3, what="the relays to have them")
    server.allow_log("AH10392", "AH10393", "AH00161")
    for pid in server.children():
        os.kill(pid, signal.SIGKILL)
    wait_until(server.answers, what="new children")
    check_figures(server, url(member), BALANCER, seconds=HEALED_SECONDS * SLOWNESS, Tunnels=0,
                  Lost=3)
    wait_until(lambda: server.handshakes() == 0, HEALED_SECONDS * SLOWNESS, "the other rows to go")
    clients += [open_at(server, member) for _ in range(3)]
    open_at(server, other).close()
    for client in clients + waiting:
        client.close()
    all_quiet(server)
    check_busy(server, url(member), 0)


def test_tunnels_of_a_carrier_count(start_once, member, other):
    """Over a reload; what ended in the carrier makes room."""
    server = start_once(conf(member, "", "WSBalanceMaxPerMember 2", other))
    clients = [open_at(server, member) for _ in range(2)]
    server.graceful()
    wait_until(server.carriers, what="a carrier")
    open_at(server, other).close()
    clients.pop().close()
    wait_for_room(server, member, 1, 2)
    clients.append(open_at(server, member))
    open_at(server, other).close()
    for client in clients:
        client.close()
    all_quiet(server)


def test_max_goes_by_child(start_once, member, other):
    """Also where mod_proxy itself has no pool for a single thread, under prefork."""
    server = start_once(conf(member, "max=1", "", other), mpm="prefork", workers=1)
    client = open_at(server, member)
    open_at(server, other).close()
    client.close()
    wait_for_room(server, member, 0, 1)
    open_at(server, member).close()
    all_quiet(server)
