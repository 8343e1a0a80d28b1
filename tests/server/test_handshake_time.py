"""How long a member may take for its answer, and how long a line of it may be."""

import contextlib
import time

import pytest

from http_message import (answer, get_request, parse_head, read_response, switching,
                          upgrade_request)
from frames import TEXT, client_frame
from ours import all_quiet
from ports import free_ports
from raw_peer import connect

pytestmark = pytest.mark.parametrize("mpm", ["event"], indirect=True)


@pytest.fixture(scope="module")
def server(start_httpd, transport, shared_member):
    def ws(path):
        return transport.member_url("ws", shared_member.port, path)

    ports = free_ports(2)
    return start_httpd(f"""
<VirtualHost *:{ports[1]}>
  ProxyTimeout 2
  ProxyPass /proxy-timeout/ {ws("/proxy-timeout/")}
</VirtualHost>
ProxyPass /default/ {ws("/default/")}
ProxyPass /members/ {ws("/members/")} timeout=1
<Location /location/>
  WSBalanceHandshakeTimeout 1
  ProxyPass {ws("/location/")}
</Location>
<Location /ms/>
  WSBalanceHandshakeTimeout 600ms
  ProxyPass {transport.member_url("http", shared_member.port, "/ms/")}
</Location>
<Location /longer/>
  WSBalanceHandshakeTimeout 2
  ProxyPass {ws("/longer/")} timeout=1
</Location>
<Location /body/>
  WSBalanceHandshakeTimeout 2
  ProxyPass {ws("/body/")}
</Location>
ProxyPass /lines/ {ws("/lines/")} responsefieldsize=12000
""", listen=ports)


@contextlib.contextmanager
def takes(seconds):
    """What is in the block, the handshake's beginning with it, takes this long and not much longer:
    without the limit that is meant it would take another 5 seconds and more."""
    began = time.monotonic()
    yield
    spent = time.monotonic() - began
    assert seconds - 0.05 <= spent < seconds + 5, f"it took {spent:.2f} s"


def begin(server, member, path, behind=b"", port=None):
    client = connect(port or server.port, server.transport)
    client.sock.settimeout(20)
    client.send(upgrade_request(path) + behind)
    connection = member.accept(client=client)
    connection.read_head()
    return client, connection


def check_504(client, connection):
    """The client got a 504; the member's connection is closed."""
    assert read_response(client).status == 504
    assert connection.is_ended()
    client.close()


@pytest.mark.parametrize("path,seconds", [
    ("/location/x", 1), ("/members/x", 1), ("/ms/x", 0.6), ("/longer/x", 2)])
def test_a_member_that_hangs(server, member, path, seconds):
    """S0-40: 504 after WSBalanceHandshakeTimeout, else the member's own `timeout=`. The line names
    the member."""
    server.expect_log(rf"WSB0222: .*127\.0\.0\.1:{member.port}", level="warn")
    with takes(seconds):
        check_504(*begin(server, member, path))
    all_quiet(server)


def test_a_member_that_hangs_without_any_limit_set(server, member):
    """S0-40: else 10 s; ProxyTimeout is not the member's own `timeout=` and has no say."""
    server.expect_log("WSB0222", level="warn")
    began, spent = time.monotonic(), {}
    asked = {begin(server, member, "/default/x"): "nothing set",
             begin(server, member, "/proxy-timeout/x", port=server.listen[1]): "ProxyTimeout"}
    while len(spent) < len(asked) and time.monotonic() - began < 18:
        for (client, connection), name in asked.items():
            if name not in spent and client.has_data(0.05):
                spent[name] = time.monotonic() - began
                check_504(client, connection)
    assert set(spent) == set(asked.values())
    assert all(9.9 < seconds < 15 for seconds in spent.values()), spent


@pytest.mark.parametrize("pieces", [
    [bytes([byte]) for byte in switching()],
    [b"HTTP/1.1 101 OK\r\n"] + [b"X-A: b\r\n"] * 50,
    [b"HTTP/1.1 100 Continue\r\n\r\n"] * 60,
], ids=["byte by byte", "line by line", "interim answers"])
def test_a_head_that_drips(server, member, pieces):
    """The time is for the whole head, however often a piece of it comes."""
    server.expect_log("WSB0222", level="warn")
    with takes(1):
        client, connection = begin(server, member, "/location/x")
        for piece in pieces:
            if client.has_data(0.1):
                break
            # The member's side may have been closed a little before.
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                connection.send(piece)
        else:
            pytest.fail("the handshake was not ended")
        check_504(client, connection)
    all_quiet(server)


def test_early_bytes_never_reach_a_member_that_hangs(server, member):
    """And they are no request either: the client's connection ends with the 504."""
    server.expect_log("WSB0222", level="warn")
    client, connection = begin(server, member, "/ms/x", client_frame(TEXT, b"hello"))
    check_504(client, connection)
    client, connection = begin(server, member, "/ms/x", get_request("/smuggled"))
    assert read_response(client).status == 504
    assert client.is_ended() and connection.is_ended()


def test_the_body_of_a_refusal_has_its_own_time(server, member):
    """The time is for the head; a body may take longer, up to httpd's own Timeout."""
    client, connection = begin(server, member, "/body/x")
    data = answer(403, b"slow" * 3)
    connection.send(data[:-4])
    began = time.monotonic()
    head = parse_head(client.read_head())
    assert head.status == 403
    while time.monotonic() < began + 2.3:
        assert not client.has_data(0.1) or client.read_exactly(1)
    connection.send(data[-4:])
    client.close()
    all_quiet(server)


def test_a_late_answer_of_another_handshake_is_not_mixed_up(server, member):
    """After a 504 the same client's next handshake gets its own answer."""
    server.expect_log("WSB0222", level="warn")
    client, late = begin(server, member, "/longer/x")
    assert read_response(client).status == 504
    client.send(upgrade_request("/longer/x"))
    connection = member.accept(client=client)
    connection.read_head()
    late.send(answer(200, b"late"))
    connection.send(switching())
    assert parse_head(client.read_head()).status == 101
    client.close()


def test_response_field_size(server, member):
    """ResponseFieldSize of the member says how long a line may be: here 12000 bytes, 8 KB else."""
    for path, length, status in (("/lines/x", 11900, 101), ("/lines/x", 12100, 502),
                                 ("/default/x", 11900, 502)):
        client, connection = begin(server, member, path)
        connection.send(switching(add=[("X-A", "a" * length)]))
        assert parse_head(client.read_head()).status == status
        client.close()
        connection.close()
    server.expect_log("WSB0126", level="warn")
