"""The member's side of the opening handshake (RFC 6455 4.1, 4.2.2; RFC 9112): which 101 makes a
tunnel, and which answers the client never sees."""

import os

import pytest

from frames import TEXT, client_frame, endless_head, frame, read_frame
from http_message import (KEY, accept_for, answer, build, get_request, parse_head, read_response,
                          switching, upgrade_request)
from ours import all_quiet, check_ours
from raw_peer import connect

pytestmark = pytest.mark.parametrize("mpm", ["event"], indirect=True)

OFFER = [("Sec-WebSocket-Protocol", "chat, superchat"),
         ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits, x-mux")]
LEAK = "leaked-by-the-member"


@pytest.fixture(scope="module")
def server(start_httpd, transport, shared_member):
    return start_httpd(f"""
ProxyPass /ws/ {transport.member_url("ws", shared_member.port, "/ws/")}
<Location /bytes/>
  WSBalanceFrames off
  ProxyPass {transport.member_url("ws", shared_member.port)}
</Location>
ProxyPass /http/ {transport.member_url("http", shared_member.port, "/http/")}
<Proxy balancer://one>
  BalancerMember {transport.member_url("ws", shared_member.port, "/member").rstrip("/")}
</Proxy>
ProxyPass /balanced/ balancer://one/
""")


def begin(server, member, path="/ws/x", **request):
    """A handshake whose head has reached the member."""
    client = connect(server.port, server.transport)
    client.send(upgrade_request(path, **request))
    connection = member.accept(client=client)
    parse_head(connection.read_head())
    return client, connection


def check_tunnel(client, connection):
    """Bytes flow both ways."""
    hello, answer_frame = client_frame(TEXT, b"hello"), frame(TEXT, b"world")
    client.send(hello)
    assert connection.read_exactly(len(hello)) == hello
    connection.send(answer_frame)
    assert read_frame(client) == (TEXT, b"world", True)
    client.close()
    connection.close()


def fields(**more):
    """The fields of a right 101 as bytes, after `more` was put in front."""
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in more.items()]
    return ("".join(lines) + "Upgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept_for(KEY)}\r\n\r\n").encode("latin-1")


def with_line(line):
    """A right 101 with one more line in it, as it stands."""
    return b"HTTP/1.1 101 OK\r\n" + line + b"\r\n" + fields()


BAD_101 = {
    "Upgrade missing": (switching(drop=["Upgrade"]), "WSB0142"),
    "Upgrade to h2c": (switching(change={"Upgrade": "h2c"}), "WSB0142"),
    "Upgrade empty": (switching(change={"Upgrade": ""}), "WSB0142"),
    "Upgrade to a longer word": (switching(change={"Upgrade": "websockets"}), "WSB0142"),
    "Upgrade to two": (switching(change={"Upgrade": "websocket, h2c"}), "WSB0142"),
    "Upgrade to two in two fields": (switching(add=[("Upgrade", "h2c")]), "WSB0142"),
    "Connection missing": (switching(drop=["Connection"]), "WSB0143"),
    "Connection: close": (switching(change={"Connection": "close"}), "WSB0143"),
    "Connection: upgraded": (switching(change={"Connection": "upgraded"}), "WSB0143"),
    "Accept missing": (switching(drop=["Sec-WebSocket-Accept"]), "WSB0144"),
    "Accept empty": (switching(change={"Sec-WebSocket-Accept": ""}), "WSB014[45]"),
    "Accept of another key": (switching("AQIDBAUGBwgJCgsMDQ4PEA=="), "WSB0145"),
    "Accept in capitals": (switching(change={"Sec-WebSocket-Accept": accept_for(KEY).upper()}),
                           "WSB0145"),
    "the key as Accept": (switching(change={"Sec-WebSocket-Accept": KEY}), "WSB0145"),
    "Accept twice": (switching(add=[("Sec-WebSocket-Accept", accept_for(KEY))]), "WSB0145"),
    "Accept right, then wrong": (switching(add=[("Sec-WebSocket-Accept", "x")]), "WSB0145"),
    "other subprotocol": (switching(add=[("Sec-WebSocket-Protocol", "other")]), "WSB0146"),
    "subprotocol in other case": (switching(add=[("Sec-WebSocket-Protocol", "Chat")]), "WSB0146"),
    "two subprotocols": (switching(add=[("Sec-WebSocket-Protocol", "chat, superchat")]),
                         "WSB0146"),
    "two subprotocol fields": (switching(add=[("Sec-WebSocket-Protocol", "chat"),
                                              ("Sec-WebSocket-Protocol", "superchat")]),
                               "WSB0146"),
    "other extension": (switching(add=[("Sec-WebSocket-Extensions", "x-other")]), "WSB0147"),
    "one extension too many": (switching(add=[("Sec-WebSocket-Extensions",
                                               "permessage-deflate, x-other")]), "WSB0147"),
    "extension in a second field": (switching(add=[("Sec-WebSocket-Extensions", "x-mux"),
                                                   ("Sec-WebSocket-Extensions", "x-other")]),
                                    "WSB0147"),
    "HTTP/1.0": (switching(start_line="HTTP/1.0 101 OK"), "WSB0141"),
    "HTTP/2": (switching(start_line="HTTP/2 101 OK"), "WSB0122"),
    "no version": (switching(start_line="101 OK"), "WSB0122"),
    "garbage": (b"hello, who is there?\r\n\r\n", "WSB0122"),
    "garbage without an end": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(50) + b"\n",
                               "WSB012[24]"),
    "no status": (switching(start_line="HTTP/1.1"), "WSB0122"),
    "two digits": (switching(start_line="HTTP/1.1 10 OK"), "WSB0122"),
    "four digits": (switching(start_line="HTTP/1.1 1011 OK"), "WSB0122"),
    "letters": (switching(start_line="HTTP/1.1 abc OK"), "WSB0122"),
    "signed": (switching(start_line="HTTP/1.1 +11 OK"), "WSB0122"),
    "status below 100": (switching(start_line="HTTP/1.1 099 OK"), "WSB0122"),
    "lower case http": (switching(start_line="http/1.1 101 OK"), "WSB0122"),
    "NUL in a value": (with_line(b"X-A: a\0b"), "WSB0124"),
    "NUL in a name": (with_line(b"X\0A: a"), "WSB012[34]"),
    "NUL in the status line": (b"HTTP/1.1 101 O\0K\r\n" + fields(), "WSB012[24]"),
    "CR in a value": (with_line(b"X-A: a\rX-B: b"), "WSB0124"),
    "escape in a value": (with_line(b"X-A: a\x1b[31m"), "WSB0124"),
    "DEL in a value": (with_line(b"X-A: a\x7fb"), "WSB0124"),
    "CR CR LF": (with_line(b"X-A: a\r"), "WSB0124"),
    "folding": (with_line(b"X-A: a\r\n b"), "WSB0125"),
    "folding by tab": (with_line(b"X-A: a\r\n\tb"), "WSB0125"),
    "a first line that is folded": (with_line(b" X-A: a"), "WSB0125"),
    "no colon": (with_line(b"X-A a"), "WSB0123"),
    "no name": (with_line(b": a"), "WSB0123"),
    "space before the colon": (with_line(b"X-A : a"), "WSB0123"),
    "space in the name": (with_line(b"X A: a"), "WSB0123"),
    "a name that is no token": (with_line(b"X(A): a"), "WSB0123"),
    "a long line": (with_line(b"X-A: " + b"a" * 8192), "WSB0126"),
    "a long status line": (b"HTTP/1.1 101 " + b"a" * 8192 + b"\r\n" + fields(), "WSB0126"),
    "a line without end": (b"HTTP/1.1 101 " + b"a" * 20000, "WSB0126"),
    "101 fields": (with_line(b"\r\n".join([b"X-A: a"] * 98)), "WSB0127"),
    "a thousand fields": (with_line(b"\r\n".join([b"X-A: a"] * 1000)), "WSB0127"),
    "more than 64 KB": (with_line(b"\r\n".join([b"X-A: " + b"a" * 8000] * 9)), "WSB0128"),
    "interim answers without end": (b"HTTP/1.1 100 Continue\r\n\r\n" * 2000, "WSB0129"),
}


@pytest.mark.parametrize("name", BAD_101)
def test_502(server, member, name):
    """S0-13, S0-41, S1-50: an answer that breaks a rule is a 502 with one line that says which
    rule; nothing of it reaches the client; the member's connection is closed."""
    data, log_id = BAD_101[name]
    server.expect_log(log_id, level="warn")
    client, connection = begin(server, member, add=OFFER)
    leak = f"X-Leak: {LEAK}\r\n".encode()
    first, rest = data.split(b"\r\n", 1) if b"\r\n" in data else (data, b"")
    if rest and name not in ("garbage", "interim answers without end"):
        data = first + b"\r\n" + (b"" if name.endswith("folded") else leak) + rest
    try:
        connection.send(data + LEAK.encode())
    except (BrokenPipeError, ConnectionResetError):
        pass  # It has seen enough.
    got = read_response(client)
    assert got.status == 502
    shown = str(got.head) + got.body.decode("latin-1")
    assert LEAK not in shown and "X-A" not in shown and not got.head.all("Sec-WebSocket-Accept")
    assert connection.is_ended()
    client.close()
    all_quiet(server)


def test_502_when_nothing_was_offered(server, member):
    """A subprotocol and extensions that nobody asked for."""
    for field in ("Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"):
        client, connection = begin(server, member)
        connection.send(switching(add=[(field, "chat")]))
        assert read_response(client).status == 502
        assert connection.is_ended()
        client.close()
    server.expect_log("WSB0146", "WSB0147", level="warn")


WHOLE = switching()


@pytest.mark.parametrize("length", [0, 1, 8, 20, len(WHOLE) - 2, len(WHOLE) - 1])
@pytest.mark.parametrize("way", ["close", "half-close", "reset"])
def test_502_when_the_head_is_cut(server, member, length, way):
    """End of file before the head is whole, at any place and in any way."""
    server.expect_log("WSB0121", level="warn")
    client, connection = begin(server, member)
    if length:
        connection.send(WHOLE[:length])
    {"close": connection.close, "half-close": connection.end_sending,
     "reset": connection.reset}[way]()
    assert read_response(client).status == 502
    if way == "half-close":
        assert connection.is_ended()
    client.close()
    all_quiet(server)


GOOD_101 = {
    "plain": WHOLE,
    "other case": switching(change={"Upgrade": "WebSocket", "Connection": "upgrade"}),
    "Connection is a list": switching(change={"Connection": "keep-alive, Upgrade"}),
    "no reason": switching(start_line="HTTP/1.1 101 "),
    "no space behind the status": switching(start_line="HTTP/1.1 101"),
    "other reason": switching(start_line="HTTP/1.1 101 Web Socket Protocol Handshake"),
    "names in other case": WHOLE.replace(b"Sec-WebSocket-Accept", b"sec-websocket-accept"),
    "no space behind the colon": WHOLE.replace(b": ", b":"),
    "white space around values": WHOLE.replace(b": ", b": \t ").replace(b"\r\nC", b" \t\r\nC"),
    "bytes above 127": with_line(b"X-A: \xc3\xa4\xff"),
    "tab in a value": with_line(b"X-A: a\tb"),
    "an empty value": with_line(b"X-A:"),
    "100 fields": with_line(b"\r\n".join([b"X-A: a"] * 97)),
    "a line of 8 KB": with_line(b"X-A: " + b"a" * 8100),
    "60 KB": with_line(b"\r\n".join([b"X-A: " + b"a" * 7500] * 8)),
    "subprotocol": switching(add=[("Sec-WebSocket-Protocol", "superchat")]),
    "extension": switching(add=[("Sec-WebSocket-Extensions", "permessage-deflate")]),
    "extension with parameters": switching(add=[(
        "Sec-WebSocket-Extensions", 'x-mux; max="a,b", permessage-deflate; server_no_context')]),
}


@pytest.mark.parametrize("name", GOOD_101)
def test_101(server, member, name):
    """S1-08: what keeps the rules makes a tunnel; subprotocol and extensions are the member's."""
    client, connection = begin(server, member, add=OFFER)
    connection.send(GOOD_101[name])
    head = parse_head(client.read_head())
    assert head.start_line == "HTTP/1.1 101 Switching Protocols"
    assert [value.lower() for value in head.all("Upgrade")] == ["websocket"]
    assert head.tokens("Connection") == ["upgrade"]
    assert head.all("Sec-WebSocket-Accept") == [accept_for(KEY)]
    expected = parse_head(GOOD_101[name])
    for field in ("Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"):
        assert head.all(field) == expected.all(field)
    check_ours(server)
    check_tunnel(client, connection)
    all_quiet(server)


def test_the_fields_of_a_101_reach_the_client(server, member):
    """What the member says about the connection to us alone does not, everything else does."""
    client, connection = begin(server, member)
    connection.send(switching(change={"Connection": "Upgrade, X-Hop"}, add=[
        ("X-Hop", "1"), ("Keep-Alive", "timeout=5"), ("X-End", "1"), ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"), ("Server", "member")]))
    head = parse_head(client.read_head())
    assert head.tokens("Connection") == ["upgrade"]
    assert not head.all("X-Hop") and not head.all("Keep-Alive")
    assert head.all("Set-Cookie") == ["a=1", "b=2"] and head.get("X-End") == "1"
    check_tunnel(client, connection)


@pytest.mark.parametrize("more", [
    [("Content-Length", "5")], [("Content-Length", "0")], [("Transfer-Encoding", "chunked")],
    [("Content-Length", "5"), ("Content-Length", "6"), ("Transfer-Encoding", "gzip, chunked")],
    [("Trailer", "X-A"), ("Transfer-Encoding", "identity")]], ids=str)
def test_a_101_has_no_body(server, member, more):
    """Content-Length and Transfer-Encoding are taken out of a 101, and what follows it are raw
    bytes of the tunnel."""
    client, connection = begin(server, member, "/bytes/x")
    connection.send(switching(add=more) + b"5\r\n" + frame(TEXT, b"abc"))
    head = parse_head(client.read_head())
    assert head.status == 101
    assert not head.all("Content-Length") and not head.all("Transfer-Encoding")
    assert client.read_exactly(3) == b"5\r\n"
    assert read_frame(client) == (TEXT, b"abc", True)
    check_tunnel(client, connection)


@pytest.mark.parametrize("path,head", [("/ws/x", endless_head("member")), ("/bytes/x", b"")],
                         ids=["a frame", "bytes"])
@pytest.mark.parametrize("size", [0, 1, 125, 7000, 8192, 65536, 1000000])
def test_bytes_behind_the_101_come_first(server, member, size, path, head):
    """S0-01: what the member sends in the packet of its 101 is the first that the client gets."""
    data = head + os.urandom(size)
    client, connection = begin(server, member, path)
    first, later = data[:60000], data[60000:]
    connection.send(switching() + first)
    head = parse_head(client.read_head())
    assert head.status == 101
    assert client.read_exactly(len(first)) == first
    while later:
        connection.send(later[:60000])
        assert client.read_exactly(min(60000, len(later))) == later[:60000]
        later = later[60000:]
    check_tunnel(client, connection)


def test_a_101_byte_by_byte(server, member):
    """The head and what follows it, cut at every position."""
    client, connection = begin(server, member)
    data = switching() + frame(TEXT, b"first")
    connection.send_pieces([bytes([byte]) for byte in data])
    assert parse_head(client.read_head()).status == 101
    assert read_frame(client) == (TEXT, b"first", True)
    check_tunnel(client, connection)


EARLY_HINTS = build("HTTP/1.1 103 Early Hints",
                    [("Link", "</a.css>; rel=preload"), ("X-Hint", "1")])


@pytest.mark.parametrize("interim", [
    b"HTTP/1.1 100 Continue\r\n\r\n", EARLY_HINTS, EARLY_HINTS * 3,
    b"HTTP/1.1 102 Processing\r\n\r\n" + EARLY_HINTS + b"HTTP/1.1 100 Continue\r\n\r\n"],
    ids=["100", "103", "three", "102, 103, 100"])
@pytest.mark.parametrize("pieces", [1, 2, 0], ids=["one packet", "two", "byte by byte"])
def test_interim_answers_are_skipped(server, member, interim, pieces):
    """100 and 103 before a 101 or before any other answer: the client sees the last one only."""
    for final in (switching(), answer(403, b"no")):
        client, connection = begin(server, member)
        if pieces == 1:
            connection.send(interim + final)
        elif pieces == 2:
            connection.send_pieces([interim, final])
        else:
            connection.send_pieces([bytes([byte]) for byte in interim + final])
        head = parse_head(client.read_head())
        assert head.status == parse_head(final[:final.index(b"\r\n\r\n") + 4]).status
        assert not head.all("Link") and not head.all("X-Hint")
        if head.status == 101:
            check_tunnel(client, connection)
        client.close()


def plain_get(server, member, kept=None, path="/http/page"):
    """A plain request that leaves its connection to the member in the pool; returns that one."""
    with connect(server.port, server.transport) as client:
        client.send(get_request(path))
        connection = kept or member.accept()
        assert parse_head(connection.read_head()).start_line == f"GET {path} HTTP/1.1"
        connection.send(answer(200, b"page"))
        assert read_response(client).body == b"page"
    all_quiet(server)  # It is in the pool when the worker is free.
    return connection


def test_a_handshake_takes_a_fresh_connection(server, member):
    """Also while a kept-alive one waits in the pool: that one gets not a byte of it."""
    kept = plain_get(server, member)
    kept = plain_get(server, member, kept)  # It is in fact used again.
    for status in (101, 403, 101):
        client, connection = begin(server, member, "/http/x")
        connection.send(switching() if status == 101 else answer(status))
        assert parse_head(client.read_head()).status == status
        if status == 101:
            check_tunnel(client, connection)
        else:
            assert connection.is_ended()
        client.close()
        if kept.has_data():
            assert kept.is_ended(), "the handshake came on a kept-alive connection"
            kept = None
        kept = plain_get(server, member, kept)
    assert not member.is_called()


@pytest.mark.parametrize("path", ["/ws/x", "/http/x", "/balanced/x"])
@pytest.mark.parametrize("data", [
    answer(403, b"no"), answer(200), answer(426), b"HTTP/1.1 204 No\r\n\r\n",
    answer(404, add=[("Connection", "keep-alive"), ("Keep-Alive", "timeout=60")])],
    ids=["403", "200", "426", "204", "404 keep-alive"])
def test_a_refusal_closes_the_members_connection(server, member, path, data):
    """A connection that has seen a handshake is never used again."""
    client, connection = begin(server, member, path)
    connection.send(data)
    assert read_response(client).status == int(data[9:12])
    assert connection.is_ended()
    client.close()
    assert server.tunnels() == 0 and server.handshakes() == 0


def test_a_bad_101_does_not_punish_the_member(server, member):
    """After a 503, as no other member is left, the next handshake still goes to the member of a
    balancer."""
    server.expect_log("WSB0145", level="warn")
    for data, status in ((switching("AQIDBAUGBwgJCgsMDQ4PEA=="), 503), (switching(), 101)):
        client, connection = begin(server, member, "/balanced/x")
        connection.send(data)
        assert parse_head(client.read_head()).status == status
        client.close()
        connection.close()
