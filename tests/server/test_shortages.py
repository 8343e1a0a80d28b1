"""What the system refuses while httpd runs, by failing_calls.py: sockets, descriptors, threads,
memory. The one handshake gets 503, the one tunnel ends with `resources`, the child goes on."""

import pytest

from filter_module import load_line
from frames import TEXT, client_frame, frame, read_frame
from http_message import get_request, parse_head, read_response, switching, upgrade_request
from ours import all_quiet
from raw_peer import connect
from tunnels import end_of, narrow, open_pair, send_until_blocked
from waiting import SLOWNESS, wait_until

pytestmark = pytest.mark.skipif(SLOWNESS != 1.0, reason="the sanitizer has its own allocator")

event_only = pytest.mark.parametrize("mpm", ["event"], indirect=True)
plain_only = pytest.mark.transports("plain")


@pytest.fixture
def conf(transport, shared_member):
    return f"""
WSBalanceCloseTimeout 1
<Proxy balancer://all>
  BalancerMember {transport.member_url("ws", shared_member.port).rstrip("/")} retry=600
</Proxy>
ProxyPass /raw/ balancer://all/
"""


@pytest.fixture
def server(start_once, conf, calls):
    return start_once(conf, **calls.options())


def ask(server):
    client = connect(server.port, server.transport)
    client.send(upgrade_request("/raw/"))
    return client


def check_refused(server, client=None):
    """503 with Retry-After, and everything else is served."""
    client = client or ask(server)
    response = read_response(client)
    assert response.status == 503 and response.head.get("Retry-After")
    client.close()
    check_served(server)


def check_served(server):
    client = connect(server.port, server.transport)
    client.send(get_request("/alive.txt"))
    assert read_response(client).status == 200
    client.close()


def check_echo(pair):
    pair.client.send(client_frame(TEXT, b"question"))
    assert read_frame(pair.member) == (TEXT, b"question", True)
    pair.member.send(frame(TEXT, b"answer"))
    assert read_frame(pair.client) == (TEXT, b"answer", True)


def wait_until_told(server, member, number):
    """Opens and ends tunnels until the end of a shortage is told; once."""
    def is_told():
        pair = open_pair(server, member)
        check_echo(pair)
        pair.close()
        return server.log.matching(number)

    assert len(wait_until(is_told, 20, f"{number} in the log")) == 1


# -- Descriptors ----------------------------------------------------------------------------------

@event_only
def test_no_socket_for_a_member(server, member, calls):
    """The member is not punished for it: it is asked again at once."""
    server.expect_log("WSB0221", level="error")
    server.allow_log("AH00952", "AH00959")
    calls.fail_all("socket")
    for _ in range(3):
        check_refused(server)
    assert calls.failed("socket") == 3
    calls.heal("socket")
    assert len(server.log.matching("WSB0221")) == 1
    wait_until_told(server, member, "WSB0229")
    all_quiet(server)


@event_only
@pytest.mark.parametrize("number", [1, 2])
def test_no_inert_descriptor(server, member, calls, number):
    server.expect_log("WSB0221")
    calls.fail_one("dup", number)
    check_refused(server)
    assert calls.failed("dup") == 1
    assert not member.is_called()
    pair = open_pair(server, member)
    check_echo(pair)
    pair.close()
    all_quiet(server)


@event_only
@plain_only
def test_no_socketpair_for_a_pumped_tunnel(start_once, conf, member, calls):
    server = start_once(f"{load_line()}\nTestFilter client 0\n{conf}", **calls.options())
    server.expect_log("WSB0221")
    calls.fail_all("socketpair")
    for _ in range(2):
        client = ask(server)
        connection = member.accept(client=client)
        connection.read_head()
        connection.send(switching())
        check_refused(server, client)
        assert connection.is_ended()
    calls.heal("socketpair")
    assert len(server.log.matching("WSB0221")) == 1
    pair = open_pair(server, member)
    check_echo(pair)
    pair.close()
    all_quiet(server)


@event_only
@plain_only
def test_a_limit_that_cannot_be_raised(start_once, conf, member, calls):
    calls.fail_all("setrlimit")
    server = start_once(conf, descriptors="400:500", **calls.options())
    server.expect_log("WSB0023", level="warn")
    assert "of 400 descriptors" in server.log.matching("WSB0021")[0]
    pair = open_pair(server, member)
    check_echo(pair)
    pair.close()
    all_quiet(server)


# -- Threads --------------------------------------------------------------------------------------

@plain_only
@pytest.mark.parametrize("number", [1, 2])
def test_no_thread_for_the_relay_or_the_log(start_once, conf, member, calls, number):
    """The child says so once, refuses handshakes, and serves everything else."""
    calls.fail_one("thread", number)
    server = start_once(conf, workers=1, **calls.options())
    server.expect_log("WSB0003", "WSB0202", level="crit")
    children = server.children()
    for _ in range(3):
        check_refused(server)
    client = connect(server.port, server.transport)
    client.send(get_request("/raw/"))
    assert read_response(client).status == 426
    client.close()
    assert len(server.log.matching("WSB0202")) == 1
    assert server.children() == children
    assert server.tunnels() == 0
    server.graceful()  # The new child has what it needs.
    pair = open_pair(server, member)
    check_echo(pair)
    pair.close()
    all_quiet(server)


# -- Memory ---------------------------------------------------------------------------------------

def outcome(server, member):
    """What becomes of a handshake: "503", "lost" for a tunnel that ended at once, or "open"."""
    client = ask(server)
    wait_until(lambda: client.has_data() or member.is_called(), what="the member or an answer")
    connection = None
    if not client.has_data():
        connection = member.accept()
        connection.read_head()
        connection.send(switching())
    head = parse_head(client.read_head())
    if head.status == 101:
        client.send(client_frame(TEXT, b"question"))
        wait_until(lambda: connection.has_data() or client.has_data(), what="the frame or an end")
        # Either may see an end first.
        found = "open" if connection.has_data() and connection.peek() else "lost"
        if found == "open":
            assert read_frame(connection) == (TEXT, b"question", True)
        else:
            assert client.is_ended()
    else:
        assert head.status == 503 and head.get("Retry-After")
        found = "503"
    client.close()
    if connection:
        connection.close()
    return found


@event_only
def test_no_memory_at_any_place_of_a_handshake(server, member, calls):
    """The first allocation fails, then the second, and so on: before the 101 the client gets a 503,
    behind it both sides are closed; a tunnel that is open does not notice."""
    server.expect_log("WSB0231", level="error")
    server.allow_log("WSB0311")
    children = server.children()
    before = open_pair(server, member)
    check_echo(before)
    found = []
    for number in range(1, 200):
        calls.fail_one("new", number)
        failed = calls.failed("new")
        found.append(outcome(server, member))
        check_echo(before)
        if calls.failed("new") == failed and found[-1] == "open":
            break  # It needs no more than that.
    calls.heal("new")
    assert found.count("503") > 3 and found[-1] == "open", found
    assert len(server.log.matching("WSB0231")) == 1
    if "lost" in found:
        server.expect_log("WSB0311")
        wait_until(lambda: int(server.status()["WSBalanceEnded[resources]"]) == found.count("lost"),
                   what="all of them to be counted")
    wait_until_told(server, member, "WSB0232")
    before.close()
    all_quiet(server)
    assert server.children() == children


@event_only
@plain_only
def test_no_memory_at_any_place_of_a_pumped_tunnel(start_once, conf, member, calls):
    """The same for a tunnel that holds a thread. In the pump itself it costs the tunnel."""
    server = start_once(f"{load_line()}\nTestFilter client 0\n{conf}", **calls.options())
    server.expect_log("WSB0231")
    server.allow_log("WSB0311")
    children = server.children()
    found = []
    for number in range(1, 200):
        calls.fail_one("new", number)
        failed = calls.failed("new")
        found.append(outcome(server, member))
        wait_until(lambda: server.tunnels() == 0, what="the tunnel to end")
        if calls.failed("new") == failed and found[-1] == "open":
            break
    calls.heal("new")
    assert found.count("503") > 3 and "lost" in found and found[-1] == "open", found
    assert len(server.log.matching("WSB0231")) == 1
    all_quiet(server)
    assert server.children() == children


@event_only
def test_no_memory_at_all_for_a_while(server, member, calls):
    """Every allocation of ours fails: handshakes are refused, a tunnel goes on, also its end."""
    server.expect_log("WSB0231")
    server.allow_log("WSB0304")
    pairs = [open_pair(server, member) for _ in range(3)]
    for pair in pairs:
        check_echo(pair)
    calls.fail_all("new")
    for pair in pairs:
        check_echo(pair)
    for _ in range(3):
        check_refused(server)
    pairs.pop().close()
    wait_until(lambda: server.tunnels() == 2, what="a tunnel to end")
    calls.heal("new")
    for pair in pairs:
        check_echo(pair)
        pair.close()
    assert len(server.log.matching("WSB0231")) == 1
    all_quiet(server)


@event_only
def test_no_memory_for_a_queue(server, member, calls):
    """What a slow reader does not take cannot be kept: its tunnel ends with `resources`, which is
    told once; others go on; and told again when tunnels end in order."""
    server.expect_log("WSB0311", level="error")
    beside = open_pair(server, member)
    slow = [open_pair(server, member) for _ in range(2)]
    for pair in [beside] + slow:
        check_echo(pair)
    calls.fail_all("realloc")
    for pair in slow:
        sender, reader = pair.endless("member")
        narrow(reader)
        narrow(sender)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            send_until_blocked(sender)
            sender.send(b"x")
            sender.send(b"x")
        check_echo(beside)
        assert end_of(server, pair.port).reason == "resources"
        pair.close()
    calls.heal("realloc")
    assert len(server.log.matching("WSB0311")) == 1
    wait_until_told(server, member, "WSB0312")
    beside.close()
    all_quiet(server)


@event_only
@pytest.mark.parametrize("number", [1, 2])
def test_epoll_refuses_a_descriptor(server, member, calls, number):
    server.expect_log("WSB0311")
    beside = open_pair(server, member)
    check_echo(beside)
    calls.fail_one("epoll_add", number)
    pair = open_pair(server, member)
    assert pair.client.is_ended() and pair.member.is_ended()
    assert end_of(server, pair.port).reason == "resources"
    pair.close()
    check_echo(beside)
    beside.close()
    all_quiet(server)
