"""WebSockets over HTTP/2 (RFC 8441), without TLS and with it: `H2WebSockets on`.

mod_http2 turns an extended CONNECT into a GET with an upgrade on a connection of its own making, a
thread of its own pumps between the stream and our relay. It does not work with prefork.
"""

import contextlib
import os

import pytest

import h2_peer
import httpd_config
import ws_peer
from certificates import certificates
from frames import BINARY, CLOSE, PING, PONG, TEXT, client_frame, close_payload, frame, read_frame
from http_message import answer, parse_head, switching, upgrade_request
from ours import check_ours
from ports import free_ports
from raw_peer import connect
from transport import CLIENT_LINES, SESSION_CACHE
from tunnels import check_arrives, digest, ended, ends_within, in_thread, narrow
from waiting import stays, wait_until

# TLS with clients is a matter of the virtual host here.
pytestmark = pytest.mark.transports("plain")

event_only = pytest.mark.parametrize("mpm", ["event"], indirect=True)

HOSTS = ["h2c", "h2", "off"]
MODULES = httpd_config.default_modules(add=["socache_shmcb", "ssl", "http2"])

KB, MB = 1024, 1024 * 1024

# Far below the 5 seconds after which an end on one side ends the other.
AT_ONCE = 1.0


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
    return start_h2(f"""
WSBalanceMaxPumped 30
WSBalanceMaxHandshakes 50
ProxyPass /raw/ ws://127.0.0.1:{shared_member.port}/
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
    """An HTTP/2 connection to the server that the tests of this file share."""
    return dial(server)


def open_pair(connection, member, path="/raw/", *, add=(), first=b"", more=()):
    """Opens a tunnel to the raw member: the stream and the member's connection. `add` are fields of
    the handshake, `more` those of the 101; `first` goes out in one write with that."""
    stream = connection.start_websocket(path, add=add)
    raw = member.accept()
    key = parse_head(raw.read_head()).get("Sec-WebSocket-Key")
    raw.send(switching(key, add=more) + first)
    head = stream.answer()
    assert head.status == 200, stream.response()
    return stream, raw


def ask(stream, text):
    """Sends a text to the echo member and returns what comes back."""
    stream.send(client_frame(TEXT, text.encode()))
    opcode, payload, fin = read_frame(stream)
    assert (opcode, fin) == (TEXT, True)
    return payload.decode()


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
    """END_STREAM comes within a second, and nothing before it."""
    assert stream.is_over_within(AT_ONCE), "the stream has not ended"
    assert stream.read_until_eof() == b""


# -- Handshake ------------------------------------------------------------------------------------

def test_settings(server, dial):
    """RFC 8441 3: extended CONNECT is announced."""
    assert dial(server).has_connect_protocol


def test_echo(server, client):
    """A WebSocket of a library on one stream; nothing of HTTP/1.1's handshake is in the answer."""
    stream = client.start_websocket("/echo/some/where?a=b")
    head = stream.answer()
    assert head.status == 200
    for name in ("Upgrade", "Connection", "Sec-WebSocket-Accept", "Transfer-Encoding",
                 "Content-Length"):
        assert head.all(name) == []
    assert ask(stream, "path") == "/some/where?a=b"
    assert ask(stream, "hello") == "hello"
    check_tunnels(server, 1)
    stream.send(client_frame(CLOSE, close_payload(1000)))
    assert read_frame(stream) == (CLOSE, close_payload(1000), True)
    check_ends_at_once(stream)
    end, = ends_of(server, client)
    assert (end.level, end.reason, end.close_code) == ("info", "client-close", 1000)
    assert (end.to_member.messages, end.to_client.messages) == (2, 2)
    assert end.to_client.bytes == sum(2 + len(text) for text in ("/some/where?a=b", "hello")) + 4
    check_tunnels(server, 0)


def test_handshake_of_the_member(client, member):
    """The member sees the handshake of RFC 6455 4.1, with the client's own fields."""
    stream = client.start_websocket("/raw/x?y", add=[
        ("sec-websocket-protocol", "chat, superchat"), ("origin", "https://localhost"),
        ("cookie", "a=b"), ("x-own", "1")])
    raw = member.accept()
    head = parse_head(raw.read_head())
    assert head.start_line == "GET /x?y HTTP/1.1"
    assert head.get("Upgrade").lower() == "websocket" and "upgrade" in head.tokens("Connection")
    assert head.get("Sec-WebSocket-Version") == "13"
    assert head.tokens("Sec-WebSocket-Protocol") == ["chat", "superchat"]
    assert (head.get("Origin"), head.get("Cookie")) == ("https://localhost", "a=b")
    assert head.get("X-Own") == "1" and head.get("X-Forwarded-For") == "127.0.0.1"
    raw.send(switching(head.get("Sec-WebSocket-Key"), add=[
        ("Sec-WebSocket-Protocol", "superchat"), ("Set-Cookie", "c=d"), ("X-Member", "2")]))
    got = stream.answer()
    assert (got.status, got.get("Sec-WebSocket-Protocol")) == (200, "superchat")
    assert (got.get("Set-Cookie"), got.get("X-Member")) == ("c=d", "2")


def test_first_message_with_the_answer(client, member):
    """What a member sends in one write with its 101 reaches the client without another push."""
    stream, _ = open_pair(client, member, first=frame(TEXT, b"welcome"))
    assert read_frame(stream) == (TEXT, b"welcome", True)


def test_first_message_before_the_answer(client, member):
    """What a client sends before it has the answer reaches the member behind its 101."""
    stream = client.start_websocket("/raw/")
    stream.send(b"early")
    raw = member.accept()
    key = parse_head(raw.read_head()).get("Sec-WebSocket-Key")
    client.ping()
    assert not raw.has_data(0.05)
    raw.send(switching(key))
    assert stream.answer().status == 200
    assert raw.read_exactly(5) == b"early"


REFUSALS = [
    answer(403, b"not you\n", add=[("Content-Type", "text/plain"), ("X-Why", "because")]),
    answer(401, b"who?\n", add=[("WWW-Authenticate", 'Basic realm="r"')]),
    answer(302, b"", add=[("Location", "https://elsewhere.invalid/")]),
    answer(503, b"later\n", add=[("Retry-After", "7")])]


@pytest.mark.parametrize("data", REFUSALS, ids=["403", "401", "302", "503"])
def test_refused_by_the_member(server, client, member, data):
    """Its answer is the stream's, and the connection lives on."""
    want = parse_head(data[:data.index(b"\r\n\r\n") + 4])
    stream = client.start_websocket("/raw/")
    raw = member.accept()
    raw.read_head()
    raw.send(data)
    got = stream.response()
    assert (got.status, got.body) == (want.status, data.partition(b"\r\n\r\n")[2])
    for name in ("X-Why", "WWW-Authenticate", "Location", "Retry-After"):
        assert got.head.get(name) == want.get(name)
    assert client.get("/alive.txt").body == b"alive\n"
    check_tunnels(server, 0)


def test_member_without_websocket(client, member):
    """A 200 of the member is no success of an extended CONNECT; mod_http2 makes it a 502."""
    stream = client.start_websocket("/raw/")
    raw = member.accept()
    raw.read_head()
    raw.send(answer(200, b"a page"))
    assert stream.answer().status == 502
    assert client.get("/alive.txt").status == 200


def test_member_closes_instead(server, client, member):
    server.expect_log("WSB0121", level="error")
    stream = client.start_websocket("/raw/")
    raw = member.accept()
    raw.read_head()
    raw.close()
    assert stream.answer().status == 502
    assert client.get("/alive.txt").status == 200


def test_wrong_accept_key(server, client, member):
    """Nothing of the wrong answer reaches the client."""
    server.expect_log("WSB0145", level="error")
    stream = client.start_websocket("/raw/")
    raw = member.accept()
    raw.read_head()
    raw.send(switching() + frame(TEXT, b"never"))  # The accept value of another key.
    got = stream.response()
    assert got.status == 502 and b"never" not in got.body
    assert ends_within(raw, AT_ONCE)


@pytest.mark.parametrize("version", ["12", None])
def test_wrong_version(server, client, member, version):
    server.expect_log("WSB0107" if version else "WSB0106")
    add = [("sec-websocket-version", version)] if version else []
    stream = client.request("/raw/", method="CONNECT", protocol="websocket", add=add)
    got = stream.answer()
    assert (got.status, got.get("Sec-WebSocket-Version")) == (426, "13")
    assert not member.is_called(0.05)


def test_ordinary_requests_on_a_websocket_route(client, member):
    """A GET or POST that is no WebSocket breaks neither the connection nor a tunnel on it."""
    stream, raw = open_pair(client, member)
    assert client.get("/raw/").status == 426
    assert client.request("/raw/", method="POST", body=b"x" * 300 * KB).response().status == 426
    assert not member.is_called(0.05)
    stream.send(b"still here")
    assert raw.read_exactly(10) == b"still here"


def test_websocket_to_no_route(client):
    """An extended CONNECT to a file, and to nothing."""
    assert client.start_websocket("/alive.txt").answer().status == 502  # mod_http2's word for it.
    assert client.start_websocket("/nothing").answer().status == 404
    assert client.get("/alive.txt").status == 200


def test_pages_and_websockets_on_one_route(server, client, member):
    """An http:// route serves both."""
    page = client.request("/pages/a")
    raw = member.accept()
    raw.read_head()
    raw.send(answer(200, b"a page"))
    assert page.response().body == b"a page"
    stream, raw = open_pair(client, member, "/pages/b")
    check_tunnels(server, 1)
    raw.send(frame(TEXT, b"hello"))
    assert read_frame(stream) == (TEXT, b"hello", True)


# -- The end --------------------------------------------------------------------------------------

def test_close_frame_of_the_client(server, client, member):
    stream, raw = open_pair(client, member)
    stream.send(client_frame(CLOSE, close_payload(4001, b"bye")))
    assert read_frame(raw) == (CLOSE, close_payload(4001, b"bye"), True)
    raw.send(frame(CLOSE, close_payload(4001)))
    raw.close()
    assert read_frame(stream) == (CLOSE, close_payload(4001), True)
    check_ends_at_once(stream)
    end, = ends_of(server, client)
    assert (end.reason, end.close_code) == ("client-close", 4001)


def test_close_frame_of_the_member(server, client, member):
    stream, raw = open_pair(client, member)
    raw.send(frame(CLOSE, close_payload(1001)))
    assert read_frame(stream) == (CLOSE, close_payload(1001), True)
    stream.send(client_frame(CLOSE, close_payload(1001)))
    stream.end_sending()
    assert read_frame(raw) == (CLOSE, close_payload(1001), True)
    assert ends_within(raw, AT_ONCE)
    raw.close()
    check_ends_at_once(stream)
    end, = ends_of(server, client)
    assert (end.reason, end.close_code) == ("member-close", 1001)


def test_member_closes(server, client, member):
    """The stream ends at once, and the connection serves the next."""
    stream, raw = open_pair(client, member)
    raw.close()
    check_ends_at_once(stream)
    end, = ends_of(server, client)
    assert (end.reason, end.close_code) == ("member-eof", 0)
    check_tunnels(server, 0)
    stream, raw = open_pair(client, member)
    raw.send(b"next")
    assert stream.read_exactly(4) == b"next"


def test_member_resets(server, client, member):
    stream, raw = open_pair(client, member)
    raw.reset()
    assert stream.is_over_within(AT_ONCE)
    end, = ends_of(server, client)
    assert end.reason == "member-error"
    assert client.get("/alive.txt").status == 200


def test_client_ends_its_stream(server, client, member):
    """END_STREAM is a half-close: the member sees it, and what it still sends arrives."""
    stream, raw = open_pair(client, member)
    question = client_frame(BINARY, os.urandom(300 * KB))
    answer_ = frame(BINARY, os.urandom(MB))
    with in_thread(check_arrives, raw, question):
        stream.send(question)
    stream.end_sending()
    assert ends_within(raw, AT_ONCE)
    with in_thread(raw.send, answer_):
        check_arrives(stream, answer_)
    raw.close()
    check_ends_at_once(stream)
    end, = ends_of(server, client)
    assert end.reason == "client-eof"
    assert (end.to_member.bytes, end.to_client.bytes) == (len(question), len(answer_))


def test_member_ends_first(server, client, member):
    """The other way round: the member's half-close is END_STREAM, and the client's ends it all."""
    stream, raw = open_pair(client, member)
    raw.send(b"farewell")
    raw.end_sending()
    assert stream.is_over_within(AT_ONCE)
    assert stream.read_until_eof() == b"farewell"
    stream.end_sending()
    assert ends_within(raw, AT_ONCE)
    raw.close()
    end, = ends_of(server, client)
    assert end.reason == "member-eof"
    check_tunnels(server, 0)


def test_reset_stream(server, client, member):
    """RST_STREAM closes the member's side at once, and no other tunnel of the connection."""
    stream, raw = open_pair(client, member)
    other, other_raw = open_pair(client, member)
    stream.reset()
    assert ends_within(raw, AT_ONCE)
    ends_of(server, client)
    check_tunnels(server, 1)
    other.send(b"question")
    assert other_raw.read_exactly(8) == b"question"
    other_raw.send(b"answer")
    assert other.read_exactly(6) == b"answer"


def test_reset_with_data_on_the_way(server, client, member):
    """A reset while both directions are full."""
    stream, raw = open_pair(client, member)
    narrow(raw)
    with in_thread(_send_until_the_end, raw):
        stream.wait_for_buffer(MB)
        stream.reset()
    check_tunnels(server, 0)
    assert client.get("/alive.txt").status == 200


def _send_until_the_end(raw):
    with contextlib.suppress(OSError):
        while True:
            raw.send(bytes(64 * KB))


@pytest.mark.parametrize("how", ["close", "reset", "go_away"])
def test_connection_ends(server, client, member, how):
    """With the connection end all of its tunnels."""
    pairs = [open_pair(client, member) for _ in range(3)]
    check_tunnels(server, len(pairs))
    port = client.port
    getattr(client, how)()
    for _, raw in pairs:
        assert ends_within(raw, AT_ONCE)
    check_tunnels(server, 0)
    wait_until(lambda: len([end for end in ended(server) if end.port == port]) == 3,
               what="three lines of the tunnels' ends")


@pytest.mark.parametrize("size", [0, 1, 125, 16 * KB, 300 * KB, 2 * MB])
def test_nothing_is_lost_at_the_end(server, client, member, size):
    """A member sends a message, a close frame and the end all at once; the client gets all, and
    then END_STREAM. Some rounds, as a race decides."""
    for _ in range(3 if size > 16 * KB else 10):
        data = frame(BINARY, os.urandom(size)) + frame(CLOSE, close_payload(1000))
        stream, raw = open_pair(client, member)
        with in_thread(_send_and_close, raw, data):
            assert digest(stream.read_until_eof()) == digest(data)
    check_tunnels(server, 0)


def _send_and_close(raw, data):
    raw.send(data)
    raw.close()


@pytest.mark.parametrize("size", [0, 1, 125, 16 * KB, 300 * KB, 2 * MB])
def test_nothing_is_lost_to_the_member(server, client, member, size):
    """The same the other way."""
    for _ in range(3 if size > 16 * KB else 10):
        data = client_frame(BINARY, os.urandom(size)) + client_frame(CLOSE, close_payload(1000))
        stream, raw = open_pair(client, member)
        with in_thread(_check_all, raw, data):
            stream.send(data)
            stream.end_sending()
        raw.close()
        check_ends_at_once(stream)
    check_tunnels(server, 0)


def _check_all(raw, data):
    assert digest(raw.read_until_eof()) == digest(data)


# With a client that does not read, mod_http2 itself waits 5 seconds and aborts the child (AH10291),
# as without our module: its writes cannot be ended from outside.
@event_only
def test_stop_with_tunnels(start_h2_once, dial, member):
    """The server stops in time."""
    server = start_h2_once(f"ProxyPass /raw/ ws://127.0.0.1:{member.port}/")
    client = dial(server)
    pairs = [open_pair(client, member) for _ in range(3)]
    server.stop()
    for _, raw in pairs:
        raw.sock.settimeout(1)
        raw.read_until_eof()


# -- Data -----------------------------------------------------------------------------------------

def test_megabytes(server, client, member):
    """5 MB one way, then the other."""
    stream, raw = open_pair(client, member)
    data = os.urandom(5 * MB)
    with in_thread(check_arrives, raw, data):
        stream.send(data)
    with in_thread(raw.send, data):
        check_arrives(stream, data)
    raw.close()
    check_ends_at_once(stream)
    end, = ends_of(server, client)
    assert (end.to_member.bytes, end.to_client.bytes) == (len(data), len(data))


def test_megabytes_both_ways(client, member):
    """5 MB each way at the same time."""
    stream, raw = open_pair(client, member)
    there, back = os.urandom(5 * MB), os.urandom(5 * MB)
    with in_thread(raw.send, back), in_thread(check_arrives, raw, there):
        stream.send(there)
        check_arrives(stream, back)


def test_large_echo(client):
    """A message of 5 MB through a library's member and back."""
    stream = client.websocket("/echo/")
    data = os.urandom(5 * MB)
    stream.send(client_frame(BINARY, data))
    opcode, payload, _ = read_frame(stream)
    assert (opcode, digest(payload)) == (BINARY, digest(data))


def test_bytes_one_by_one(client, member):
    """Frames cut at every place, in DATA frames of one byte."""
    stream, raw = open_pair(client, member)
    data = client_frame(TEXT, b"one by one") + client_frame(PING, b"?")
    for byte in data:
        stream.send(bytes([byte]))
    assert raw.read_exactly(len(data)) == data
    data = frame(TEXT, b"and back") + frame(PONG, b"?")
    raw.send_pieces([bytes([byte]) for byte in data])
    assert stream.read_exactly(len(data)) == data


def test_slow_client(server, dial, member):
    """A stream that is not read holds back its member only; later everything arrives."""
    client = dial(server, window=64 * KB)
    stream, raw = open_pair(client, member)
    other, other_raw = open_pair(client, member)
    data = os.urandom(5 * MB)
    with in_thread(raw.send, data):
        stream.wait_for_buffer(64 * KB)
        for _ in range(3):
            other.send(b"question")
            assert other_raw.read_exactly(8) == b"question"
            other_raw.send(b"answer")
            assert other.read_exactly(6) == b"answer"
            assert client.get("/alive.txt").status == 200
        assert len(stream.buffer) == 64 * KB
        check_arrives(stream, data)


def test_slow_member(client, member):
    """A member that reads nothing holds back its client; later everything arrives."""
    stream, raw = open_pair(client, member)
    other, other_raw = open_pair(client, member)
    narrow(raw)
    data = os.urandom(32 * MB)
    sent = stream.send_until_blocked(data)
    assert 64 * KB < sent < 16 * MB
    other.send(b"question")
    assert other_raw.read_exactly(8) == b"question"
    assert client.get("/alive.txt").status == 200
    with in_thread(check_arrives, raw, data[:16 * MB]):
        stream.send(data[sent:16 * MB])


# -- Many -----------------------------------------------------------------------------------------

def make_trusted(client):
    """mod_http2 serves 6 requests of a connection at a time, and more only after others have ended
    well: twice as many each time that this limit was reached, or after 100 ms."""
    for _ in range(50):
        assert client.get("/alive.txt").status == 200


def test_many_streams(server, client):
    """Tunnels beside each other on one connection, each with its own bytes."""
    make_trusted(client)
    streams = [client.start_websocket(f"/echo/{i}") for i in range(20)]
    assert [stream.answer().status for stream in streams] == [200] * 20
    check_tunnels(server, 20)
    for i, stream in enumerate(streams):
        stream.send(client_frame(TEXT, b"path") + client_frame(BINARY, bytes([i]) * 10000))
    for i, stream in enumerate(streams):
        assert read_frame(stream) == (TEXT, f"/{i}".encode(), True)
        assert read_frame(stream) == (BINARY, bytes([i]) * 10000, True)
    assert client.get("/alive.txt").status == 200
    for stream in streams:
        stream.send(client_frame(CLOSE, close_payload(1000)))
    for stream in streams:
        assert read_frame(stream) == (CLOSE, close_payload(1000), True)
        check_ends_at_once(stream)
    assert {end.close_code for end in ends_of(server, client, 20)} == {1000}
    check_tunnels(server, 0)


def test_more_than_are_served_at_a_time(client, member):
    """With 6 tunnels on a new connection everything else waits in mod_http2, and is served when one
    has ended."""
    pairs = [open_pair(client, member) for _ in range(6)]
    page, stream = client.request("/alive.txt"), client.start_websocket("/raw/")
    for old, raw in pairs[:2]:
        raw.close()
        check_ends_at_once(old)
    assert page.response().body == b"alive\n"
    raw = member.accept()
    raw.send(switching(parse_head(raw.read_head()).get("Sec-WebSocket-Key")))
    assert stream.answer().status == 200


def test_many_in_turn(server, client, member):
    """Streams opened and ended in turn, each way of ending: no place is lost."""
    for i in range(40):
        stream, raw = open_pair(client, member)
        raw.send(b"x")
        assert stream.read_exactly(1) == b"x"
        if i % 2:
            raw.close()
            check_ends_at_once(stream)
        else:
            stream.end_sending()
            assert ends_within(raw, AT_ONCE)
            raw.close()
            check_ends_at_once(stream)
    check_tunnels(server, 0)
    assert client.get("/alive.txt").status == 200


@pytest.mark.parametrize("when", ["open", "waiting, then refused", "waiting, then accepted"])
def test_many_resets(server, dial, member, when):
    """A stream that is reset, also while its handshake waits, leaves nothing over: no tunnel, no
    slot and no connection to a member. mod_http2 serves a client that resets much less and less, so
    each has a connection of its own."""
    for _ in range(10):
        client = dial(server)
        if when == "open":
            stream, raw = open_pair(client, member)
            stream.reset()
        else:
            stream = client.start_websocket("/raw/")
            raw = member.accept()
            key = parse_head(raw.read_head()).get("Sec-WebSocket-Key")
            stream.reset()
            client.ping()
            with contextlib.suppress(OSError):
                raw.send(switching(key) if "accepted" in when else answer(403, b"too late"))
                raw.end_sending()
        assert ends_within(raw, AT_ONCE)
        raw.close()
    check_tunnels(server, 0)
    wait_until(lambda: server.handshakes() == 0, what="no handshakes")


def test_connections_beside_each_other(server, dial, member):
    """Tunnels of several connections; the end of one leaves the others alone."""
    clients = [dial(server) for _ in range(4)]
    pairs = [open_pair(client, member) for client in clients]
    check_tunnels(server, 4)
    clients[0].close()
    check_tunnels(server, 3)
    for i, (stream, raw) in enumerate(pairs[1:]):
        stream.send(bytes([i]) * 100)
        assert raw.read_exactly(100) == bytes([i]) * 100


def test_requests_beside_tunnels(client, member):
    """Ordinary requests go on while tunnels are open."""
    stream, raw = open_pair(client, member)
    for i in range(20):
        pages = [client.request("/alive.txt") for _ in range(3)]
        stream.send(bytes([i]))
        assert raw.read_exactly(1) == bytes([i])
        assert [page.response().body for page in pages] == [b"alive\n"] * 3


@event_only
def test_idle_beyond_all_timeouts(start_h2_once, dial, member):
    """httpd's Timeout, ProxyTimeout and mod_reqtimeout never end a tunnel."""
    server = start_h2_once(f"""
Timeout 1
ProxyTimeout 1
KeepAliveTimeout 1
RequestReadTimeout header=1 body=1
ProxyPass /raw/ ws://127.0.0.1:{member.port}/
""")
    client = dial(server)
    stream, raw = open_pair(client, member)
    check_tunnels(server, 1)
    assert stays(lambda: server.tunnels() == 1 and not stream.has_data(), 2.5)
    stream.send(b"question")
    assert raw.read_exactly(8) == b"question"
    raw.send(b"answer")
    assert stream.read_exactly(6) == b"answer"


# -- WSBalanceMaxPumped ---------------------------------------------------------------------------

@pytest.fixture(scope="module")
def limited(start_h2, shared_member):
    return start_h2(f"""
WSBalanceMaxPumped 2
ProxyPass /raw/ ws://127.0.0.1:{shared_member.port}/
""")


def test_max_pumped(limited, dial, member):
    """The third tunnel of a child gets 503 and Retry-After, on whatever connection; there is room
    again when one has ended. HTTP/1.1 does not need this room."""
    limited.allow_log(r"WSB02\d\d:")
    first, second = dial(limited), dial(limited)
    pairs = [open_pair(first, member), open_pair(second, member)]
    check_tunnels(limited, 2)
    for client in (first, second):
        got = client.start_websocket("/raw/").answer()
        assert got.status == 503 and int(got.get("Retry-After")) > 0
    assert not member.is_called(0.05)

    with connect(limited.port) as plain:
        plain.send(upgrade_request("/raw/"))
        raw = member.accept()
        raw.read_head()
        raw.send(switching())
        assert parse_head(plain.read_head()).status == 101
        check_tunnels(limited, 3)
        raw.close()

    stream, raw = pairs.pop(0)
    raw.close()
    check_ends_at_once(stream)
    check_tunnels(limited, 1)
    pairs.append(open_pair(second, member))
    check_tunnels(limited, 2)
    for stream, raw in pairs:
        raw.send(b"alive")
        assert stream.read_exactly(5) == b"alive"


def test_max_pumped_after_failed_handshakes(limited, dial, member):
    """A handshake that fails, or whose stream is reset, keeps no room."""
    limited.allow_log("WSB0121")
    for _ in range(3):
        client = dial(limited)
        stream = client.start_websocket("/raw/")
        raw = member.accept()
        raw.read_head()
        raw.close()
        assert stream.answer().status == 502
    for _ in range(3):
        stream, raw = open_pair(client, member)
        stream.reset()
        assert ends_within(raw, AT_ONCE)
        check_tunnels(limited, 0)
    pairs = [open_pair(client, member) for _ in range(2)]
    check_tunnels(limited, len(pairs))


# -- Beside HTTP/2 --------------------------------------------------------------------------------

def test_off(server, member):
    """H2WebSockets off: extended CONNECT is neither announced nor served."""
    with h2_peer.connect(server.listen[HOSTS.index("off")]) as client:
        assert not client.has_connect_protocol
        stream = client.start_websocket("/raw/")
        assert stream.is_over_within(5)
        assert stream.head is None or stream.head.status >= 400
        assert not member.is_called(0.05)
        assert client.get("/alive.txt").status == 200


@pytest.mark.parametrize("host", HOSTS)
def test_http1_on_the_same_host(server, host):
    """HTTP/1.1 on a virtual host with HTTP/2: detached, no worker is busy."""
    port, options = server.listen[HOSTS.index(host)], {}
    url = f"ws://127.0.0.1:{port}/echo/x"
    if host == "h2":
        url = f"wss://localhost:{port}/echo/x"
        options["ssl"] = h2_peer.tls_context("http/1.1")
    with ws_peer.connect(url, **options) as client:
        assert client.ask("path") == "/x"
        check_ours(server)
        data = os.urandom(MB)
        assert digest(client.ask(data)) == digest(data)
        check_ours(server)
    check_tunnels(server, 0)


@pytest.mark.parametrize("mpm", ["prefork"], indirect=True)
def test_prefork(start_h2_once, echo_member):
    """mod_http2 does not work with prefork and says so; WebSockets then come over HTTP/1.1."""
    server = start_h2_once(f"ProxyPass /echo/ ws://127.0.0.1:{echo_member.port}/")
    server.allow_log("AH10034")
    port = server.listen[HOSTS.index("h2")]
    url, context = f"wss://localhost:{port}/echo/x", h2_peer.tls_context("h2", "http/1.1")
    with ws_peer.connect(url, ssl=context) as client:
        assert client.ask("path") == "/x"
        check_ours(server)
