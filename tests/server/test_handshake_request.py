"""The client's side of the opening handshake (RFC 6455 4.1, 4.2.1): what is an upgrade, which rules
it must keep, and what of it reaches the member."""

import os

import pytest

from frames import BINARY, TEXT, client_frame, endless_head, read_frame
from http_message import (KEY, answer, build, get_request, parse_head, read_response, switching,
                          upgrade_request)
from ours import all_quiet, check_ours
from raw_peer import connect
from waiting import stays, wait_until

pytestmark = pytest.mark.parametrize("mpm", ["event"], indirect=True)

SMUGGLED = get_request("/smuggled")


@pytest.fixture(scope="module")
def server(start_httpd, transport, shared_member):
    return start_httpd(f"""
ProxyPass /ws/ {transport.member_url("ws", shared_member.port, "/ws/")}
ProxyPass /http/ {transport.member_url("http", shared_member.port, "/http/")}
# mod_ssl takes a preserved name for the member's.
<Proxy {transport.member_url("ws", shared_member.port, "/preserved/")}>
  {"SSLProxyCheckPeerName off" if transport.member_tls else ""}
</Proxy>
<Location /preserved/>
  ProxyPass {transport.member_url("ws", shared_member.port, "/preserved/")}
  ProxyPreserveHost on
  ProxyAddHeaders off
</Location>
RewriteEngine on
RewriteRule ^/rewrite/(.*)$ {transport.member_url("ws", shared_member.port, "/rewritten/$1")} [P]
<Location /bytes/>
  WSBalanceFrames off
  ProxyPass {transport.member_url("ws", shared_member.port)}
</Location>
<Location /smuggled>
  Redirect 410 /smuggled
</Location>
""")


def forwarded(server, member, request):
    """Sends a handshake that is right, and returns what the member got: (head, connections)."""
    client = connect(server.port, server.transport)
    client.send(request)
    connection = member.accept(client=client)
    return parse_head(connection.read_head()), client, connection


def finish(client, connection):
    """Answers a handshake and ends the tunnel."""
    connection.send(switching())
    assert parse_head(client.read_head()).status == 101
    client.close()
    connection.close()


def check_refused(server, member, request, status, log_id):
    """A handshake that breaks a rule: its status, a line that says why, and the member not asked.
    What the client sent behind it is never taken for a request."""
    server.expect_log(log_id, level="info")
    with connect(server.port, server.transport) as client:
        client.send(request)
        got = read_response(client, request.split(b" ")[0].decode())
        assert got.status == status
        assert not got.head.all("Sec-WebSocket-Accept")
        assert not member.is_called()
        return got


BAD_REQUESTS = {
    "POST": (dict(method="POST"), "WSB0101"),
    "PUT": (dict(method="PUT"), "WSB0101"),
    "HEAD": (dict(method="HEAD"), "WSB0101"),
    "OPTIONS": (dict(method="OPTIONS"), "WSB0101"),
    "get in lower case": (dict(method="get"), "WSB0101"),
    "no key": (dict(drop=["Sec-WebSocket-Key"]), "WSB0102"),
    "two keys": (dict(add=[("Sec-WebSocket-Key", "AQIDBAUGBwgJCgsMDQ4PEA==")]), "WSB0103"),
    "one key twice": (dict(add=[("Sec-WebSocket-Key", KEY)]), "WSB0103"),
    "two keys in a list": (dict(key=f"{KEY}, {KEY}"), "WSB010[34]"),
    "15 bytes": (dict(key="AQIDBAUGBwgJCgsMDQ4P"), "WSB0104"),
    "17 bytes": (dict(key="AQIDBAUGBwgJCgsMDQ4PEBE="), "WSB0104"),
    "no padding": (dict(key=KEY.rstrip("=")), "WSB0104"),
    "too much padding": (dict(key=KEY + "="), "WSB0104"),
    "not base64": (dict(key="!" + KEY[1:]), "WSB0104"),
    "base64url": (dict(key="--__" + KEY[4:]), "WSB0104"),
    "text behind the key": (dict(key=KEY + " x"), "WSB0104"),
    "an empty key": (dict(key=""), "WSB010[24]"),
}


@pytest.mark.parametrize("route", ["/ws/x", "/http/x"])
@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_400(server, member, name, route):
    """S0-13, S2-01: not GET, key missing, twice or not 16 bytes of base64: 400."""
    changes, log_id = BAD_REQUESTS[name]
    check_refused(server, member, upgrade_request(route, **changes), 400, log_id)


@pytest.mark.parametrize("route", ["/ws/x", "/http/x"])
@pytest.mark.parametrize("fields,body", [
    ([("Content-Length", "5")], b"hello"),
    ([("Content-Length", "5")], b""),
    ([("Transfer-Encoding", "chunked")], b"5\r\nhello\r\n0\r\n\r\n"),
    ([("Content-Length", str(len(SMUGGLED)))], SMUGGLED),
], ids=["length", "length, body to come", "chunked", "a request as body"])
def test_400_when_a_body_is_announced(server, member, route, fields, body):
    """A handshake has no body; what was sent as one is neither tunnel bytes nor a request."""
    server.expect_log("WSB0105", level="info")
    with connect(server.port, server.transport) as client:
        client.send(upgrade_request(route, add=fields) + body)
        assert read_response(client).status == 400
        client.end_sending()
        assert client.is_ended()
        assert not member.is_called()


def test_a_content_length_of_0_is_no_body(server, member):
    head, client, connection = forwarded(
        server, member, upgrade_request("/ws/x", add=[("Content-Length", "0")]))
    assert not head.all("Content-Length") and not head.all("Transfer-Encoding")
    finish(client, connection)


def test_the_sample_of_a_guide(server, member):
    """S2-01: exactly this sample, which has neither a key nor a version, is 400."""
    server.expect_log("WSB0102")
    with connect(server.port, server.transport) as client:
        client.send(build("GET /ws/ HTTP/1.1", [("Host", "example.com"), ("Upgrade", "websocket"),
                                                ("Connection", "Upgrade")]))
        assert read_response(client).status == 400
    assert not member.is_called()


@pytest.mark.parametrize("route", ["/ws/x", "/http/x"])
@pytest.mark.parametrize("changes,log_id", [
    (dict(drop=["Sec-WebSocket-Version"]), "WSB0106"),
    (dict(change={"Sec-WebSocket-Version": "8"}), "WSB0107"),
    (dict(change={"Sec-WebSocket-Version": "99"}), "WSB0107"),
    (dict(change={"Sec-WebSocket-Version": "130"}), "WSB0107"),
    (dict(change={"Sec-WebSocket-Version": "1 3"}), "WSB0107"),
    (dict(change={"Sec-WebSocket-Version": "13, 8"}), "WSB0107"),
    (dict(change={"Sec-WebSocket-Version": ""}), "WSB010[67]"),
    (dict(add=[("Sec-WebSocket-Version", "8")]), "WSB0107"),
], ids=["missing", "8", "99", "130", "1 3", "13, 8", "empty", "13 and 8"])
def test_426_for_another_version(server, member, route, changes, log_id):
    """S0-12, S0-13: `Sec-WebSocket-Version` missing or not 13: 426 that names 13."""
    got = check_refused(server, member, upgrade_request(route, **changes), 426, log_id)
    assert got.head.get("Sec-WebSocket-Version") == "13"
    assert got.head.tokens("Upgrade") == ["websocket"]
    assert "upgrade" in got.head.tokens("Connection")


@pytest.mark.parametrize("changes", [
    dict(drop=["Sec-WebSocket-Key"]), dict(change={"Sec-WebSocket-Version": "99"}),
    dict(method="POST")], ids=["no key", "version 99", "POST"])
@pytest.mark.parametrize("behind", [SMUGGLED, client_frame(TEXT, b"hello")],
                         ids=["a request", "a frame"])
def test_bytes_behind_a_refused_handshake_are_no_request(server, member, changes, behind):
    """The wrong version that is answered by 426 is the classic way to smuggle a request: what
    comes behind is thrown away with the connection."""
    server.expect_log("WSB010[127]")
    with connect(server.port, server.transport) as client:
        client.send(upgrade_request("/ws/x", **changes) + behind)
        got = read_response(client)
        assert got.status in (400, 426)
        assert "close" in got.head.tokens("Connection")
        assert client.is_ended(), "there was a second answer"
    assert not member.is_called()


def test_a_refused_handshake_leaves_the_connection_usable(server, member):
    """With nothing behind it, the client may try the version that the 426 names. (After a 400
    httpd always closes.)"""
    server.expect_log("WSB0107")
    with connect(server.port, server.transport) as client:
        client.send(upgrade_request("/ws/x", change={"Sec-WebSocket-Version": "8"}))
        assert read_response(client).status == 426
        client.send(upgrade_request("/ws/x"))
        connection = member.accept(client=client)
        connection.read_head()
        connection.send(switching())
        assert parse_head(client.read_head()).status == 101


UPGRADES = {
    "other case": dict(change={"Upgrade": "WebSocket", "Connection": "upgrade"}),
    "capitals": dict(change={"Upgrade": "WEBSOCKET", "Connection": "UPGRADE"}),
    "Firefox": dict(change={"Connection": "keep-alive, Upgrade"}),
    "no space": dict(change={"Connection": "keep-alive,Upgrade"}),
    "empty elements": dict(change={"Connection": ", ,Upgrade,"}),
    "two Connection fields": dict(change={"Connection": "keep-alive"},
                                  add=[("Connection", "Upgrade")]),
    "list of protocols": dict(change={"Upgrade": "chat, websocket"}),
    "two Upgrade fields": dict(change={"Upgrade": "chat"}, add=[("Upgrade", "websocket")]),
    "h2c too": dict(change={"Upgrade": "h2c, websocket", "Connection": "Upgrade, HTTP2-Settings"},
                    add=[("HTTP2-Settings", "AAMAAABkAAQAAP__")]),
    "tabs": dict(change={"Connection": "keep-alive\t,\tUpgrade"}),
}


@pytest.mark.parametrize("route", ["/ws/x", "/http/x"])
@pytest.mark.parametrize("name", UPGRADES)
def test_what_is_an_upgrade(server, member, name, route):
    """S0-12: lists in any case. The member gets exactly one websocket token and one upgrade token;
    `h2c` never goes on to it."""
    head, client, connection = forwarded(server, member, upgrade_request(route, **UPGRADES[name]))
    assert head.start_line == f"GET {route} HTTP/1.1"
    assert [value.lower() for value in head.all("Upgrade")] == ["websocket"]
    assert [value.lower() for value in head.all("Connection")] == ["upgrade"]
    assert not head.all("HTTP2-Settings")
    connection.send(switching())
    assert parse_head(client.read_head()).status == 101
    check_ours(server)
    client.close()
    connection.close()
    all_quiet(server)


NO_UPGRADES = {
    "no Upgrade": dict(drop=["Upgrade"]),
    "no Connection": dict(drop=["Connection"]),
    "other protocol": dict(change={"Upgrade": "chat"}),
    "longer word": dict(change={"Upgrade": "websockets"}),
    "part of a word": dict(change={"Upgrade": "x-websocket"}),
    "Connection: upgraded": dict(change={"Connection": "upgraded"}),
    "Connection: close": dict(change={"Connection": "close"}),
    "h2c alone": dict(change={"Upgrade": "h2c"}),
    "HTTP/1.0": dict(version="HTTP/1.0"),
}


@pytest.mark.parametrize("name", NO_UPGRADES)
def test_what_is_no_upgrade(server, member, name):
    """S0-11: the ws route says 426, the http route serves it without an `Upgrade` (RFC 9110
    7.8)."""
    with connect(server.port, server.transport) as client:
        client.send(upgrade_request("/ws/x", **NO_UPGRADES[name]))
        assert read_response(client).status == 426
        assert not member.is_called()
    head, client, connection = forwarded(server, member,
                                         upgrade_request("/http/x", **NO_UPGRADES[name]))
    assert not head.all("Upgrade") and not head.all("HTTP2-Settings")
    connection.send(answer(200, b"plain"))
    assert read_response(client).body == b"plain"


def test_what_reaches_the_member(server, member):
    """RFC 6455 4.1: everything that the client said about its WebSocket, unchanged; nothing that
    was meant for httpd alone; and what mod_proxy adds to every request."""
    own = [("Origin", "http://good.example"), ("Cookie", "a=1; b=2"), ("X-Own", "1"),
           ("X-Own", "2"),
           ("Sec-WebSocket-Protocol", "chat, superchat"), ("Sec-WebSocket-Protocol", "third"),
           ("Sec-WebSocket-Extensions", 'permessage-deflate; client_max_window_bits, x; y="a,b"'),
           ("Authorization", "Bearer token"), ("User-Agent", "test")]
    hop = [("Keep-Alive", "timeout=5"), ("TE", "gzip"), ("X-Hop", "secret"),
           ("Proxy-Connection", "keep-alive")]
    head, client, connection = forwarded(server, member, upgrade_request(
        "/ws/a%20b/c?d=e%2Ff&g", host="www.example.com",
        change={"Connection": "Upgrade, X-Hop, Keep-Alive"}, add=own + hop))
    assert head.start_line == "GET /ws/a%20b/c?d=e%2Ff&g HTTP/1.1"
    assert head.get("Host") == f"127.0.0.1:{member.port}"
    assert head.get("Sec-WebSocket-Key") == KEY and head.get("Sec-WebSocket-Version") == "13"
    for name in {name for name, _ in own}:
        sent = ", ".join(value for key, value in own if key == name)
        assert ", ".join(head.all(name)) == sent
    for name, _ in hop:
        assert not head.all(name), name
    assert head.get("X-Forwarded-For") == "127.0.0.1"
    assert head.get("X-Forwarded-Host") == "www.example.com"
    assert head.get("X-Forwarded-Server") == "localhost"
    assert not head.all("Content-Length") and not head.all("Transfer-Encoding")
    finish(client, connection)


def test_preserved_host(server, member):
    """S1-11, S2-17: ProxyPreserveHost and ProxyAddHeaders are honoured."""
    request = upgrade_request("/preserved/x", host="www.example.com")
    head, client, connection = forwarded(server, member, request)
    assert head.get("Host") == "www.example.com"
    assert not head.all("X-Forwarded-For") and not head.all("X-Forwarded-Host")
    finish(client, connection)


@pytest.mark.parametrize("path", ["/rewrite/a%0d%0aX-Evil:%20yes%0d%0a", "/ws/a%0d%0aX-Evil:%20yes",
                                  "/rewrite/a%0aX-Evil:%20yes", "/rewrite/a%00b",
                                  "/rewrite/a%20HTTP/1.1%0d%0aX-Evil:%20yes"])
def test_no_line_ends_by_the_url(server, member, path):
    """CVE-2023-25690: a CR LF in the path never makes a second line of the member's request."""
    server.allow_log(r"AH\d+")  # Stock's own words, which differ by path.
    with connect(server.port, server.transport) as client:
        client.send(upgrade_request(path))
        wait_until(lambda: client.has_data() or member.is_called(), what="an answer or a handshake")
        if not member.is_called():
            assert read_response(client).status in (400, 403, 404)
            assert not member.is_called()
            return
        connection = member.accept()
        head = parse_head(connection.read_head())
        assert not head.all("X-Evil") and "Evil: yes" not in head.start_line
        finish(client, connection)


def test_early_bytes_wait_for_the_101(server, member):
    """What a client sends behind its handshake reaches the member after its 101, never before."""
    early = client_frame(TEXT, b"early") + client_frame(BINARY, os.urandom(300))
    with connect(server.port, server.transport) as client:
        client.send(upgrade_request("/ws/x") + early)
        connection = member.accept(client=client)
        parse_head(connection.read_head())
        assert stays(lambda: not connection.has_data(), 0.25)
        connection.send(switching())
        assert connection.read_exactly(len(early)) == early
        assert parse_head(client.read_head()).status == 101


@pytest.mark.parametrize("path,head", [("/ws/x", endless_head("client")), ("/bytes/x", b"")],
                         ids=["a frame", "bytes"])
@pytest.mark.parametrize("size", [1, 8000, 8192, 70000, 600000])
def test_early_bytes_of_any_size(server, member, size, path, head):
    """In the packet of the handshake and in later ones, before and after the 101: all arrive, in
    order, unchanged."""
    data = head + os.urandom(size)
    size = len(data)
    with connect(server.port, server.transport) as client:
        client.send(upgrade_request(path) + data[:size // 2])
        connection = member.accept(client=client)
        connection.read_head()
        client.sock.setblocking(False)
        sent = size // 2
        try:
            sent += client.sock.send(data[sent:sent + 100000])
        except BlockingIOError:
            pass
        client.sock.settimeout(10)
        connection.send(switching())
        assert parse_head(client.read_head()).status == 101
        received = connection.read_exactly(sent // 2)
        rest = data[sent:]
        while rest:
            client.send(rest[:50000])
            rest = rest[50000:]
            received += connection.read_exactly(min(50000, size - len(received)))
        received += connection.read_exactly(size - len(received))
        assert received == data


@pytest.mark.parametrize("later", [False, True], ids=["same packet", "later packet"])
@pytest.mark.parametrize("behind", [SMUGGLED, client_frame(TEXT, b"hello")],
                         ids=["a request", "a frame"])
@pytest.mark.parametrize("status", [403, 200, 204, 502])
def test_early_bytes_never_reach_a_member_that_refuses(server, member, behind, later, status):
    """They are thrown away with the client's connection and are no request there either."""
    with connect(server.port, server.transport) as client:
        client.send(upgrade_request("/ws/x") + (b"" if later else behind))
        connection = member.accept(client=client)
        parse_head(connection.read_head())
        if later:
            client.send(behind)
        connection.send(answer(status, b"" if status == 204 else b"no", length=status != 204))
        got = read_response(client)
        assert got.status == status and "close" in got.head.tokens("Connection")
        assert client.is_ended(), "there was a second answer"
        assert connection.is_ended(), "the member got bytes of a refused client"
    assert not member.is_called()


@pytest.mark.parametrize("behind", [SMUGGLED, client_frame(TEXT, b"hello")],
                         ids=["a request", "a frame"])
def test_early_bytes_never_reach_a_member_with_a_bad_101(server, member, behind):
    """The same when the refusal is ours."""
    server.expect_log("WSB0145", level="warn")
    with connect(server.port, server.transport) as client:
        client.send(upgrade_request("/ws/x") + behind)
        connection = member.accept(client=client)
        parse_head(connection.read_head())
        connection.send(switching(change={"Sec-WebSocket-Accept": "wrong"}))
        assert read_response(client).status == 502
        assert client.is_ended(), "there was a second answer"
        assert connection.is_ended()


def test_frames_after_the_handshake(server, member):
    """A handshake that comes byte by byte is one, too."""
    with connect(server.port, server.transport) as client:
        client.send_pieces([bytes([byte]) for byte in upgrade_request("/ws/x")])
        connection = member.accept()
        connection.read_head()
        connection.send(switching())
        assert parse_head(client.read_head()).status == 101
        client.send_pieces([bytes([byte]) for byte in client_frame(TEXT, b"hello")])
        assert read_frame(connection) == (TEXT, b"hello", True)
