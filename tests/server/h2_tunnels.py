"""What the tests of WebSockets over HTTP/2 (RFC 8441) share: the server, with `H2WebSockets on`,
its clients and their tunnels. A test file imports the fixtures that its tests ask for, and those
that these need.

mod_http2 turns an extended CONNECT into a GET with an upgrade on a connection of its own making, a
thread of its own pumps between the stream and our relay. It does not work with prefork.
"""

import contextlib

import pytest

import h2_peer
import httpd_config
from certificates import certificates
from frames import TEXT, client_frame, frame, read_frame
from http_message import parse_head, switching
from ports import free_ports
from transport import CLIENT_LINES, SESSION_CACHE
from tunnels import ended
from waiting import SLOWNESS, wait_until

event_only = pytest.mark.parametrize("mpm", ["event"], indirect=True)

HOSTS = ["h2c", "h2", "off"]
MODULES = httpd_config.default_modules(add=["socache_shmcb", "ssl", "http2"])

KB, MB = 1024, 1024 * 1024

# Below the 5 seconds after which an end on one side ends the other, however slow the machine is.
AT_ONCE = 4.0 / SLOWNESS


@pytest.fixture(scope="module", params=["event", "worker"])
def mpm(request):
    """The MPMs that mod_http2 works with."""
    return request.param


@pytest.fixture(scope="module")
def start_h2(start_httpd):
    """Starts a server with one virtual host for each of HOSTS, and these lines for all of them."""
    return lambda conf: _start(start_httpd, conf)


@pytest.fixture
def start_h2_once(start_once):
    """The same for one test."""
    return lambda conf: _start(start_once, conf)


def _start(start, conf):
    ports, files = free_ports(len(HOSTS)), certificates()
    return start(f"""
{SESSION_CACHE}
H2WebSockets on
{conf}
<VirtualHost *:{ports[0]}>
  Protocols h2c http/1.1
</VirtualHost>
<VirtualHost *:{ports[1]}>
  Protocols h2 http/1.1
  {CLIENT_LINES.format(certificate=files.certificate, key=files.key)}
</VirtualHost>
<VirtualHost *:{ports[2]}>
  Protocols h2c http/1.1
  H2WebSockets off
</VirtualHost>
""", listen=ports, modules=MODULES)


@pytest.fixture(scope="module")
def server(start_h2, shared_member, echo_member):
    """The server that the tests of a file share."""
    return start_h2(f"""
WSBalanceMaxPumped 30
WSBalanceLog tunnels.json
WSBalanceMaxHandshakes 50
ProxyPass /raw/ ws://127.0.0.1:{shared_member.port}/
<Location /bytes/>
  WSBalanceFrames off
  ProxyPass ws://127.0.0.1:{shared_member.port}/
</Location>
ProxyPass /pages/ http://127.0.0.1:{shared_member.port}/
ProxyPass /echo/ ws://127.0.0.1:{echo_member.port}/
""")


@pytest.fixture(params=["h2c", "h2"])
def dial(request):
    """Opens HTTP/2 connections to a server."""
    with contextlib.ExitStack() as stack:
        def dial(server, **options):
            port = server.listen[HOSTS.index(request.param)]
            return stack.enter_context(
                h2_peer.connect(port, tls=request.param == "h2", **options))

        yield dial


@pytest.fixture
def client(server, dial):
    """An HTTP/2 connection to the shared server."""
    return dial(server)


def start_pair(connection, member, path="/raw/", *, add=()):
    """Begins a tunnel to the raw member: the stream, the member's connection, and the head of the
    handshake there, which waits for its answer. `add` are fields of the client's."""
    stream = connection.start_websocket(path, add=add)
    return stream, *accept_handshake(member)


def accept_handshake(member):
    """The member's next connection, and the head of the handshake on it."""
    raw = member.accept()
    return raw, parse_head(raw.read_head())


def switch(raw, head, *, add=(), first=b""):
    """The member's 101 to this handshake; `add` are fields of it, `first` goes out in one write
    with it."""
    raw.send(switching(head.get("Sec-WebSocket-Key"), add=add) + first)


def open_pair(connection, member, path="/raw/", *, first=b""):
    """Opens a tunnel to the raw member: the stream and the member's connection."""
    stream, raw, head = start_pair(connection, member, path)
    switch(raw, head, first=first)
    assert stream.answer().status == 200, stream.response()
    return stream, raw


def check_alive(stream, raw):
    """A text and its answer pass."""
    stream.send(client_frame(TEXT, b"question"))
    assert read_frame(raw) == (TEXT, b"question", True)
    raw.send(frame(TEXT, b"answer"))
    assert read_frame(stream) == (TEXT, b"answer", True)


def check_tunnels(server, count):
    wait_until(lambda: server.tunnels() == count, what=f"WSBalanceTunnels: {count}")


def ends_of(server, connection, count=1):
    """The lines of the tunnels' ends of this connection; waits until there are so many."""
    def found():
        return [end for end in ended(server) if end.port == connection.port]

    wait_until(lambda: len(found()) >= count, what=f"{count} lines of the tunnels' ends")
    assert len(found()) == count
    return found()


def check_ends_at_once(stream):
    """END_STREAM comes at once, and nothing before it."""
    assert stream.is_over_within(AT_ONCE), "the stream has not ended"
    assert stream.read_until_eof() == b""
