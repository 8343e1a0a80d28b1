"""Members that refuse the connection or cannot be reached."""

import contextlib
import socket
import time

import pytest

from frames import TEXT, client_frame
from http_message import get_request, read_response, upgrade_request
from ours import all_quiet, check_echo
from ports import refusing_port
from raw_peer import TIMEOUT, connect
from waiting import SLOWNESS

pytestmark = pytest.mark.parametrize("mpm", ["event"], indirect=True)

CONNECT_FAILED = "AH00957"


@contextlib.contextmanager
def full_listener():
    """A port whose queue is full: connecting to it takes until somebody gives up."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.fixture(scope="module")
def full_port():
    with full_listener() as port:
        yield port


@pytest.fixture(scope="module")
def server(start_httpd, transport, echo_member, full_port, public_dir):
    refused, echo = refusing_port(), transport.member_url("ws", echo_member.port).rstrip("/")

    def dead(scheme="ws"):
        return transport.member_url(scheme, refusing_port()).rstrip("/")

    return start_httpd(f"""
ProxyPass /ws/ {transport.member_url("ws", refused)} retry=0
ProxyPass /http/ {transport.member_url("http", refused)} retry=0
ProxyPass /unknown/ ws://no-such-host.invalid:3000/ retry=0
ProxyPass /unix/ unix:{public_dir}/nobody.sock|ws://localhost/ retry=0
<Location /full/>
  WSBalanceHandshakeTimeout 1
  ProxyPass {transport.member_url("ws", full_port)} retry=0
</Location>
<Proxy balancer://second>
  BalancerMember {dead()} retry=100
  BalancerMember {echo}
</Proxy>
ProxyPass /second/ balancer://second/
<Proxy balancer://http>
  BalancerMember {dead("http")} retry=100
  BalancerMember {transport.member_url("http", echo_member.port).rstrip("/")}
</Proxy>
ProxyPass /http-second/ balancer://http/
<Proxy balancer://standby>
  BalancerMember {dead()} retry=100
  BalancerMember {echo} status=+H
</Proxy>
ProxyPass /standby/ balancer://standby/
<Proxy balancer://nobody>
  BalancerMember {dead()} retry=0
  BalancerMember {dead()} retry=0
</Proxy>
ProxyPass /nobody/ balancer://nobody/
""")


def status_of(server, path, behind=b"", seconds=TIMEOUT):
    with connect(server.port, server.transport) as client:
        client.sock.settimeout(seconds)
        client.send(upgrade_request(path) + behind)
        got = read_response(client)
        if behind:
            assert client.is_ended(), "there was a second answer"
        return got.status


@pytest.mark.parametrize("path,log_id", [
    ("/ws/x", CONNECT_FAILED), ("/http/x", CONNECT_FAILED), ("/unix/x", "AH02454")])
def test_refused(server, path, log_id):
    """S0-35, S1-50: nobody listens: 503 and one line with the member's name."""
    server.expect_log(log_id, level="error")
    server.allow_log("AH01114", "AH00959")
    for _ in range(2):
        assert status_of(server, path) == 503
    all_quiet(server)
    assert server.handshakes() == 0


def test_a_name_that_nobody_knows(server):
    """S2-31: a member whose name does not resolve cannot be reached: 503."""
    server.allow_log(r"AH\d+")
    server.expect_log("no-such-host.invalid", level="error")
    # Where no name server answers, resolvers take their time.
    assert status_of(server, "/unknown/x", seconds=60) == 503


@pytest.mark.parametrize("behind", [get_request("/smuggled"), client_frame(TEXT, b"hello")],
                         ids=["a request", "a frame"])
def test_early_bytes_are_thrown_away(server, behind):
    server.allow_log(CONNECT_FAILED, "AH01114", "AH00959")
    assert status_of(server, "/ws/x", behind) == 503


def test_a_connect_that_hangs(server):
    """Connecting is a part of the handshake's time."""
    server.allow_log(CONNECT_FAILED, "AH01114", "AH00959", r"WSB\d+")
    began = time.monotonic()
    assert status_of(server, "/full/x") in (503, 504)
    assert time.monotonic() - began < 1 + 3 * SLOWNESS
    all_quiet(server)


@pytest.mark.parametrize("path", ["/second/x", "/http-second/x", "/standby/x"])
def test_the_next_member_takes_it(server, path):
    """S0-35, S1-19, S1-35: a member that refuses is passed over, by a hot standby too; the refused
    one is not asked again before its `retry=`."""
    server.expect_log(CONNECT_FAILED, level="error")
    server.allow_log("AH01114", "AH00959")
    for _ in range(3):
        check_echo(server, path, "/x")
    assert len(server.log.matching(CONNECT_FAILED)) == 1


def test_nobody_is_left(server):
    """S1-50: all members refuse: 503."""
    server.expect_log(CONNECT_FAILED, level="error")
    server.expect_log("WSB0522", level="error")
    server.allow_log("AH01114", "AH00959", "AH01170", "AH01167")
    assert status_of(server, "/nobody/x") == 503
    all_quiet(server)
    assert server.handshakes() == 0
