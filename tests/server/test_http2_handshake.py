"""The handshake of a WebSocket over HTTP/2: a stream's, and on the same host HTTP/1.1's."""

import os

import pytest

import h2_peer
import ws_peer
from frames import CLOSE, TEXT, client_frame, close_payload, frame, read_frame
from h2_tunnels import (AT_ONCE, HOSTS, KB, MB, check_alive, check_ends_at_once, check_tunnels,
                        client, dial, ends_of, mpm, open_pair, server, start_h2, start_h2_once,
                        start_pair, switch)
from http_message import answer, parse_head, switching
from ours import check_ours
from tunnels import digest, ends_within

# TLS with clients is a matter of the virtual host here.
pytestmark = pytest.mark.transports("plain")


def ask(stream, text):
    """Sends a text to the echo member and returns what comes back."""
    stream.send(client_frame(TEXT, text.encode()))
    opcode, payload, fin = read_frame(stream)
    assert (opcode, fin) == (TEXT, True)
    return payload.decode()


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
    stream, raw, head = start_pair(client, member, "/raw/x?y", add=[
        ("sec-websocket-protocol", "chat, superchat"), ("origin", "https://localhost"),
        ("cookie", "a=b"), ("x-own", "1")])
    assert head.start_line == "GET /x?y HTTP/1.1"
    assert head.get("Upgrade").lower() == "websocket" and "upgrade" in head.tokens("Connection")
    assert head.get("Sec-WebSocket-Version") == "13"
    assert head.tokens("Sec-WebSocket-Protocol") == ["chat", "superchat"]
    assert (head.get("Origin"), head.get("Cookie")) == ("https://localhost", "a=b")
    assert head.get("X-Own") == "1" and head.get("X-Forwarded-For") == "127.0.0.1"
    switch(raw, head, add=[
        ("Sec-WebSocket-Protocol", "superchat"), ("Set-Cookie", "c=d"), ("X-Member", "2")])
    got = stream.answer()
    assert (got.status, got.get("Sec-WebSocket-Protocol")) == (200, "superchat")
    assert (got.get("Set-Cookie"), got.get("X-Member")) == ("c=d", "2")


def test_first_message_with_the_answer(client, member):
    """What a member sends in one write with its 101 reaches the client without another push."""
    stream, _ = open_pair(client, member, first=frame(TEXT, b"welcome"))
    assert read_frame(stream) == (TEXT, b"welcome", True)


def test_first_message_before_the_answer(client, member):
    """What a client sends before it has the answer reaches the member behind its 101."""
    stream, raw, head = start_pair(client, member)
    stream.send(client_frame(TEXT, b"early"))
    client.ping()
    assert not raw.has_data(0.05)
    switch(raw, head)
    assert stream.answer().status == 200
    assert read_frame(raw) == (TEXT, b"early", True)


REFUSALS = [
    answer(403, b"not you\n", add=[("Content-Type", "text/plain"), ("X-Why", "because")]),
    answer(401, b"who?\n", add=[("WWW-Authenticate", 'Basic realm="r"')]),
    answer(302, b"", add=[("Location", "https://elsewhere.invalid/")]),
    answer(503, b"later\n", add=[("Retry-After", "7")])]


@pytest.mark.parametrize("data", REFUSALS, ids=["403", "401", "302", "503"])
def test_refused_by_the_member(server, client, member, data):
    """Its answer is the stream's, and the connection lives on."""
    want = parse_head(data[:data.index(b"\r\n\r\n") + 4])
    stream, raw, _ = start_pair(client, member)
    raw.send(data)
    got = stream.response()
    assert (got.status, got.body) == (want.status, data.partition(b"\r\n\r\n")[2])
    for name in ("X-Why", "WWW-Authenticate", "Location", "Retry-After"):
        assert got.head.get(name) == want.get(name)
    assert client.get("/alive.txt").body == b"alive\n"
    check_tunnels(server, 0)


def test_member_without_websocket(client, member):
    """A 200 of the member is no success of an extended CONNECT; mod_http2 makes it a 502."""
    stream, raw, _ = start_pair(client, member)
    raw.send(answer(200, b"a page"))
    assert stream.answer().status == 502
    assert client.get("/alive.txt").status == 200


def test_member_closes_instead(server, client, member):
    server.expect_log("WSB0121", level="error")
    stream, raw, _ = start_pair(client, member)
    raw.close()
    assert stream.answer().status == 502
    assert client.get("/alive.txt").status == 200


def test_wrong_accept_key(server, client, member):
    """Nothing of the wrong answer reaches the client."""
    server.expect_log("WSB0145", level="error")
    stream, raw, _ = start_pair(client, member)
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
    check_alive(stream, raw)


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
