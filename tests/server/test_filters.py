"""Filters of other modules on the client's connection: those that a tunnel leaves behind, and those
that it cannot leave behind, for which a worker carries its bytes."""

import contextlib
import os
import re

import pytest

import filter_module
import httpd_config
from frames import BINARY, TEXT, client_frame, frame
from http_message import parse_head, read_response, switching, upgrade_request
from ours import all_quiet, check_ours
from ports import free_ports
from proxy_protocol import connect_through, version_1, version_2
from raw_peer import TIMEOUT, RawConnection, connect
from tls_socket import TlsSocket
from tunnels import (AT_ONCE, Pair, check_arrives, check_carries, check_flood_arrives, end_of,
                     ends_within, in_thread, open_pair, send_until_blocked)
from waiting import SLOWNESS, stays, wait_until

pytestmark = pytest.mark.transports("plain", "tls-client")
only_event = pytest.mark.parametrize("mpm", ["event"], indirect=True)

ADDRESS, PORT = "192.0.2.7", 4321  # A client's, as a proxy before httpd says.

# What each of the known filters is switched on with.
KNOWN = {
    "logio": 'CustomLog sizes.log "%I %O"',
    "reqtimeout": "RequestReadTimeout header=1 body=1",
    "dumpio": "DumpIOInput On\nDumpIOOutput On",
    "ratelimit": "<Location /raw/>\nSetOutputFilter RATE_LIMIT\nSetEnv rate-limit 4\n</Location>",
    "remoteip": "RemoteIPProxyProtocol On",
}
KNOWN["all"] = "\n".join(KNOWN.values())

# The filter of filter_module.c.
UNKNOWN = {"holding": "client 0", "changing": f"client {filter_module.MASK}",
           "at the member": f"member {filter_module.MASK}"}


@pytest.fixture(scope="module")
def ports():
    names = [*KNOWN, *UNKNOWN]
    return dict(zip(names, free_ports(len(names))))


@pytest.fixture(scope="module")
def server(start_httpd, ports, shared_member):
    lines = KNOWN | {name: f"TestFilter {what}" for name, what in UNKNOWN.items()}
    hosts = "\n".join(f"""
<VirtualHost *:{ports[name]}>
  {lines[name]}
  ProxyPass /raw/ ws://127.0.0.1:{shared_member.port}/
</VirtualHost>""" for name in ports)
    modules = httpd_config.default_modules(add=["dumpio", "ratelimit"])
    return start_httpd(f"{filter_module.load_line()}\nLogLevel dumpio:trace7\n{hosts}",
                       listen=list(ports.values()), modules=modules)


def accepted(member, client, first=b""):
    connection = member.accept(client=client)
    connection.read_head()
    connection.send(switching() + first)
    assert parse_head(client.read_head()).status == 101
    return Pair(client, connection)


# -- Filters that stay behind ---------------------------------------------------------------------

@only_event
@pytest.mark.parametrize("name,proxy_header", [
    (name, header) for name in KNOWN
    for header in ([version_1, version_2] if name in ("remoteip", "all") else [None])])
def test_a_known_filter(server, ports, member, name, proxy_header):
    """The tunnel is ours, with all that was read ahead; nothing limits, dumps or counts it."""
    has_proxy = proxy_header is not None
    proxy_header = proxy_header(ADDRESS, PORT) if has_proxy else b""
    early = client_frame(BINARY, os.urandom(20000))
    client = connect_through(proxy_header, ports[name], server.transport)
    client.send(upgrade_request("/raw/") + early)
    connection = member.accept(client=client)
    head = parse_head(connection.read_head())
    assert head.get("X-Forwarded-For") == (ADDRESS if has_proxy else "127.0.0.1")
    first = frame(TEXT, b"first" * 1000)
    connection.send(switching() + first)
    assert parse_head(client.read_head()).status == 101
    check_arrives(client, first)
    check_arrives(connection, early)
    check_ours(server)
    before = len(server.log.lines())
    check_both_ways(Pair(client, connection), 1 << 20)
    assert len(server.log.lines()) == before
    client.close()
    connection.close()
    all_quiet(server)
    line = wait_until(lambda: server.log.matching("WSB0301"), what="the line of the tunnel")[0]
    assert f"client={ADDRESS if has_proxy else '127.0.0.1'}:" in line


@only_event
def test_a_limit_of_the_request_is_none_of_the_tunnel(server, ports, member):
    """mod_reqtimeout's second is over, and nothing has come."""
    client = connect(ports["reqtimeout"], server.transport)
    client.send(upgrade_request("/raw/"))
    pair = accepted(member, client)
    wait_until(lambda: server.tunnels() == 1, what="the relay to have it")
    assert stays(lambda: not client.has_data(0.1) and server.tunnels() == 1, 1.5)
    check_both_ways(pair, 1000)
    pair.close()
    all_quiet(server)


@only_event
def test_the_sizes_of_a_handshake(server, ports, member):
    """mod_logio's counts are those of the handshake; the tunnel's own are in its line."""
    path = server.directory / "sizes.log"
    all_quiet(server)  # All lines of earlier requests are there.
    before = len(path.read_text())
    client = connect(ports["logio"], server.transport)
    request = upgrade_request("/raw/")
    client.send(request)
    pair = accepted(member, client)
    line = wait_until(lambda: path.read_text()[before:], what="the line of the access log")
    received, sent = map(int, line.split())
    if server.transport.client_tls:
        assert received > len(request) and sent > 100
    else:
        assert received == len(request) and 100 < sent < 300
    pair.close()
    all_quiet(server)


# -- Filters that do not --------------------------------------------------------------------------

def check_both_ways(pair, size):
    """At the same time, a frame in each direction."""
    with in_thread(check_carries, pair.client, pair.member, client_frame(BINARY, os.urandom(size))):
        check_carries(pair.member, pair.client, frame(BINARY, os.urandom(size)))


def check_pumped(server, count=1, detached=0):
    """With so many tunnels open: they are counted, and each of `count` has a worker."""
    wait_until(lambda: server.tunnels() == count + detached, what="the tunnels to be counted")
    wait_until(lambda: server.busy_workers() == 1 + count, what=f"{count} workers to be busy")


def connect_filtered(server, port, name):
    """A client as the filter of that name wants it."""
    client = connect_through(b"", port)
    sock = client.sock
    if name == "changing":
        sock = filter_module.XoredSocket(sock)
    if server.transport.client_tls:
        sock = TlsSocket(sock, server.transport.client_ssl, "127.0.0.1")
    client = RawConnection(sock)
    sock.settimeout(TIMEOUT)
    return client


def filtered_pair(server, ports, member, name, early=b"", first=b""):
    client = connect_filtered(server, ports[name], name)
    client.send(upgrade_request("/raw/") + early)
    return accepted(member, client, first)


each_filter = pytest.mark.parametrize("name", ["holding", "changing"])


@each_filter
def test_an_unknown_filter_goes_on(server, ports, member, name):
    """It sees every byte of the tunnel, both ways, and the peers see none of it."""
    early, first = client_frame(BINARY, os.urandom(50000)), frame(BINARY, os.urandom(50000))
    pair = filtered_pair(server, ports, member, name, early, first)
    check_arrives(pair.member, early)
    check_arrives(pair.client, first)
    check_pumped(server)
    check_both_ways(pair, 5 << 20)
    check_carries(pair.client, pair.member, client_frame(TEXT, b"small"))
    check_carries(pair.member, pair.client, frame(TEXT, b"small"))
    check_pumped(server)
    pair.close()
    all_quiet(server)

    def filtered_all():
        """Its line; connections of earlier tests may have theirs only now."""
        lines = server.log.matching("test filter: client")
        counts = (re.search(r"in=(\d+) out=(\d+)", line).groups() for line in lines)
        return any(int(received) > 5 << 20 and int(sent) > 5 << 20 for received, sent in counts)

    wait_until(filtered_all, what="its line")
    end = end_of(server, pair.port)
    assert end.to_member.messages == end.to_client.messages == 3
    assert end.to_member.bytes > len(early) + (5 << 20)


@only_event
@each_filter
@pytest.mark.parametrize("side", ["client", "member"])
def test_an_end_of_file_is_passed_on(server, ports, member, name, side):
    """At once, behind all data; the other direction goes on until it ends too. Only where httpd has
    the TLS it cannot tell the client of an end without ending everything."""
    pair = filtered_pair(server, ports, member, name)
    ender, answerer = pair.side(side)
    build = {"client": client_frame, "member": frame}
    data = build[side](BINARY, os.urandom(300000))
    with in_thread(check_arrives, answerer, data):
        ender.send(data)
        ender.end_sending()
    assert ends_within(answerer, AT_ONCE)
    if side == "client" or not server.transport.client_tls:
        other = "member" if side == "client" else "client"
        check_carries(answerer, ender, build[other](BINARY, os.urandom(300000)))
        answerer.end_sending()
    assert ends_within(ender, AT_ONCE)
    wait_until(lambda: server.tunnels() == 0, AT_ONCE, "the tunnel to end")
    pair.close()
    all_quiet(server)
    assert end_of(server, pair.port).reason == f"{side}-eof"


@only_event
@each_filter
@pytest.mark.parametrize("side", ["client", "member"])
def test_a_reset_is_passed_on(server, ports, member, name, side):
    pair = filtered_pair(server, ports, member, name)
    breaker, other = pair.side(side)
    check_pumped(server)
    breaker.reset()
    assert ends_within(other, AT_ONCE)
    wait_until(lambda: server.tunnels() == 0, AT_ONCE, "the tunnel to end")
    pair.close()
    all_quiet(server)


@only_event
@each_filter
def test_a_reader_that_waits(server, ports, member, name):
    """A side that reads nothing holds up neither what it sends itself nor its neighbour, and gets
    everything later."""
    with contextlib.ExitStack() as stack:
        slow, neighbour = (stack.enter_context(
            contextlib.closing(filtered_pair(server, ports, member, name))) for _ in range(2))
        slow.endless("member")
        sent = send_until_blocked(slow.member)
        check_both_ways(neighbour, 1 << 16)
        check_carries(slow.client, slow.member, client_frame(BINARY, os.urandom(1 << 16)))
        check_flood_arrives(slow.member, slow.client, sent)
        check_both_ways(slow, 1 << 16)
    all_quiet(server)


@only_event
def test_a_stop_does_not_wait_for_a_reader(start_once, member):
    """Tunnels end with their child, also those that are in the middle of a write."""
    port = free_ports(1)[0]
    server = start_once(f"""
{filter_module.load_line()}
ProxyPass /raw/ ws://127.0.0.1:{member.port}/
<VirtualHost *:{port}>
  TestFilter {UNKNOWN["holding"]}
</VirtualHost>
""", listen=[port])
    with contextlib.closing(filtered_pair(server, {"holding": port}, member, "holding")) as pair:
        pair.endless("member")
        send_until_blocked(pair.member)
        server.stop(settle=False)
    assert server.stop_seconds < 3 * SLOWNESS


@only_event
def test_a_limit_for_pumped_tunnels(start_once, ports, member):
    """They hold workers, so no more than WSBalanceMaxPumped: 503 then, and a time to come back.
    Tunnels without such a filter have nothing to do with it."""
    filtered = free_ports(1)[0]
    server = start_once(f"""
{filter_module.load_line()}
WSBalanceMaxPumped 2
ProxyPass /raw/ ws://127.0.0.1:{member.port}/
<VirtualHost *:{filtered}>
  TestFilter {UNKNOWN["holding"]}
</VirtualHost>
""", listen=free_ports(1) + [filtered])
    pairs = [filtered_pair(server, {"holding": filtered}, member, "holding") for _ in range(2)]
    check_pumped(server, 2)
    server.allow_log(r"WSB02\d\d")
    with connect_filtered(server, filtered, "holding") as client:
        client.send(upgrade_request("/raw/"))
        got = read_response(client)
    assert got.status == 503 and int(got.head.get("Retry-After")) > 0
    assert not member.is_called()
    detached = open_pair(server, member)
    check_pumped(server, 2, detached=1)
    pairs.pop().close()
    check_pumped(server, 1, detached=1)  # The place is free when its worker is.
    pairs.append(filtered_pair(server, {"holding": filtered}, member, "holding"))
    check_both_ways(pairs[-1], 1 << 16)
    for pair in [detached, *pairs]:
        pair.close()
    all_quiet(server)


@only_event
def test_an_unknown_filter_at_the_member(server, ports, member):
    """The same on the other side: bytes are not sent past it."""
    with connect(ports["at the member"], server.transport) as client:
        client.send(upgrade_request("/raw/"))
        plain = member.accept(client=client)
        connection = RawConnection(filter_module.XoredSocket(plain.sock))
        connection.read_head()
        connection.send(switching())
        assert parse_head(client.read_head()).status == 101
        check_pumped(server)
        check_both_ways(Pair(client, connection), 1 << 20)
        connection.close()
    all_quiet(server)
