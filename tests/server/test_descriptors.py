"""The limit of open files: what a child does that comes near it, and what the server says of it at
its start (issue of resources: docs/directives.md, "Limits of the system")."""

import re

import pytest

import processes
from frames import TEXT, client_frame, frame, read_frame
from http_message import get_request, parse_head, read_response, switching, upgrade_request
from ours import all_quiet
from raw_peer import connect
from storm import Storm
from tunnels import Pair, inodes_of_clients
from waiting import wait_until

threaded = pytest.mark.parametrize("mpm", ["event", "worker"], indirect=True)
event_only = pytest.mark.parametrize("mpm", ["event"], indirect=True)
plain_only = pytest.mark.transports("plain")

LIMIT = 256
KEEPERS = 6

PLAN = re.compile(
    r"\[wsbalance:notice\] .*WSB0021: about (?P<tunnels>\d+) tunnels fit into a child, (?P<all>\d+) "
    r"into (?P<children>\d+) children: of (?P<limit>\d+) descriptors a child (?P<always>\d+) are "
    r"always open, (?P<reserve>\d+) are kept for the connections of httpd \((?P<threads>\d+) threads\)")


@pytest.fixture(scope="module")
def conf(transport, shared_member):
    return f"""
WSBalanceMaxHandshakes 0
WSBalanceHandshakeTimeout 60
KeepAliveTimeout 60
ProxyPass /raw/ {transport.member_url("ws", shared_member.port)}
"""


def plans(server):
    return [{name: int(value) for name, value in PLAN.search(line).groupdict().items()}
            for line in server.log.matching("WSB0021")]


def line_of(plan):
    """Tunnels have numbers below it."""
    return plan["limit"] - plan["reserve"]


def try_handshake(server, member, client=None):
    """A tunnel, or the answer that refuses it; then the member was not asked."""
    client = client or connect(server.port, server.transport)
    client.send(upgrade_request("/raw/"))
    wait_until(lambda: member.is_called() or client.has_data(), what="the member or an answer")
    if client.has_data():
        response = read_response(client)
        assert response.status == 503 and response.head.get("Retry-After")
        client.close()
        return response
    connection = member.accept()
    connection.read_head()
    connection.send(switching())
    head = parse_head(client.read_head())
    assert head.status == 101
    return Pair(client, connection)


def fill(server, member):
    """Opens tunnels until a handshake is refused also when httpd has closed all that it will, then
    connections that hold what is still free below the line: (tunnels, connections). With two free
    numbers it would depend on the moment at which others are closed if a handshake gets both."""
    pairs, refused = [], 0
    while refused < 3:
        pair = try_handshake(server, member)
        if isinstance(pair, Pair):
            pairs.append(pair)
            refused = 0
        else:
            refused += 1
            wait_until(lambda: server.busy_workers() == 1, what="workers to close connections")
        assert len(pairs) < LIMIT
    # The only worker of prefork closes one connection before it takes the next.
    keepers = [connect(server.port, server.transport) for _ in range(KEEPERS)
               if server.mpm != "prefork"]
    for client in keepers:
        client.send(get_request("/alive.txt"))
        assert read_response(client).status == 200
    return pairs, keepers


def check_echo(pair):
    pair.client.send(client_frame(TEXT, b"question"))
    assert read_frame(pair.member) == (TEXT, b"question", True)
    pair.member.send(frame(TEXT, b"answer"))
    assert read_frame(pair.client) == (TEXT, b"answer", True)


def is_served(server):
    client = connect(server.port, server.transport)
    client.send(get_request("/alive.txt"))
    response = read_response(client)
    client.close()
    return response.status == 200


# -- What is said at the start --------------------------------------------------------------------

@plain_only
def test_the_soft_limit_is_raised(start_once, conf):
    """From 300 to the hard limit of 700, in the parent and so in its children."""
    server = start_once(conf, descriptors="300:700")
    for pid in server.pids():
        with open(f"/proc/{pid}/limits", encoding="ascii") as file:
            line = next(line for line in file if line.startswith("Max open files"))
        assert line.split()[3:5] == ["700", "700"]
    (plan,) = plans(server)
    assert plan["limit"] == 700 and plan["threads"] >= 1
    assert plan["tunnels"] == (700 - plan["reserve"] - plan["always"]) // 2
    assert plan["all"] == plan["tunnels"] * plan["children"]


@event_only
@plain_only
def test_it_is_said_again_only_when_it_changes(start_once, conf):
    server = start_once(conf)
    server.graceful()
    server.graceful()
    assert len(plans(server)) == 1
    server.graceful(conf + "ProxyPass /other/ http://127.0.0.1:9/\n")
    first, second = plans(server)
    assert second["reserve"] == first["reserve"] + first["threads"]


@event_only
@plain_only
def test_a_limit_too_low_for_httpd_itself(start_once, conf):
    server = start_once(conf, descriptors="100:100")
    server.expect_log("WSB0022", level="warn")
    assert is_served(server)


@event_only
@plain_only
def test_what_the_mpm_holds_is_counted(start_once, conf):
    """Event keeps connections without a worker, as many as AsyncRequestWorkerFactor says."""
    server = start_once(conf + "AsyncRequestWorkerFactor 10\n")
    more = start_once(conf)
    assert plans(server)[0]["reserve"] - plans(more)[0]["reserve"] == 8 * 25


# -- Near the limit -------------------------------------------------------------------------------

@pytest.fixture
def tight_server(start_once, conf, mpm):
    """The only child may open 256 descriptors."""
    server = start_once(conf, descriptors=f"{LIMIT}:{LIMIT}", workers=1 if mpm == "prefork" else 25)
    return server


def test_a_child_that_is_full_refuses_handshakes(tight_server, member):
    """With all below the line in use handshakes get 503 and no member is asked, whatever else comes
    is served and no child ends; told once. When tunnels have ended handshakes are taken again."""
    server = tight_server
    children = server.children()
    server.expect_log("WSB0221", level="error")
    pairs, keepers = fill(server, member)
    (plan,) = plans(server)
    assert abs(plan["tunnels"] - len(pairs)) <= 5, f"{len(pairs)} tunnels, not {plan}"
    for _ in range(30):
        assert is_served(server)
        assert not isinstance(try_handshake(server, member), Pair)
    for pair in pairs[::10]:
        check_echo(pair)
    assert server.tunnels() == len(pairs)
    assert len(server.log.matching("WSB0221")) == 1

    for connection in pairs + keepers:
        connection.close()
    all_quiet(server)

    def is_told():
        pair = try_handshake(server, member)
        assert isinstance(pair, Pair)
        check_echo(pair)
        pair.close()
        return server.log.matching("WSB0229")

    wait_until(is_told, 20, "the end of the shortage to be told")
    all_quiet(server)
    assert server.children() == children


@threaded
def test_a_storm_on_a_full_child(tight_server, member):
    """150 handshakes at once, when every descriptor of tunnels is in use: all are refused, and the
    child that would end if one accept() failed is still there."""
    server = tight_server
    children = server.children()
    server.expect_log("WSB0221")
    pairs, keepers = fill(server, member)
    for _ in range(5):
        with Storm(server, "/raw/", 150) as storm:
            storm.read(until=150, seconds=30)
            assert set(storm.statuses()) == {503}
        assert is_served(server)
    assert server.children() == children
    for pair in pairs[::10]:
        check_echo(pair)
    for connection in pairs + keepers:
        connection.close()
    all_quiet(server)


def number_of(server, client):
    """The descriptor that the only child has for this client."""
    (child,) = server.children()
    wanted = f"socket:[{inodes_of_clients(server)[client.sock.getsockname()[1]]}]"
    (number,) = [number for number, what in processes.open_descriptors(child).items()
                 if what == wanted]
    return number


@event_only
def test_tunnels_stay_below_the_line(tight_server, member):
    """Connections that came when all below the line was in use have numbers above it. When there is
    room, tunnels of theirs move below it: above it, everything is left for httpd."""
    server = tight_server
    server.expect_log("WSB0221")
    (plan,) = plans(server)
    line = line_of(plan)
    pairs, keepers = fill(server, member)
    high = [client for client in keepers if number_of(server, client) >= line]
    assert len(high) >= 3
    for pair in pairs[:8]:
        pair.close()
    wait_until(lambda: server.tunnels() == len(pairs) - 8, what="tunnels to end")
    moved = [try_handshake(server, member, client) for client in high]
    for pair in moved:
        check_echo(pair)
    for pair in moved:
        assert number_of(server, pair.client) < line
        pair.client.send(client_frame(TEXT, bytes(100000)))
        assert read_frame(pair.member) == (TEXT, bytes(100000), True)
    for connection in pairs[8:] + moved + keepers:
        connection.close()
    all_quiet(server)
