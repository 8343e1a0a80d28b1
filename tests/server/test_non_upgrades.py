"""Requests that are no WebSocket upgrade are served as if the module were not there."""

import json

import pytest

import node_peer
from http_message import Response, build, get_request, parse_head, read_response, upgrade_request
from ours import all_quiet, check_ours
from ports import free_ports
from raw_peer import connect
from ws_peer import connected

# Fields that differ from one answer to the next, whoever serves it.
VOLATILE = {"date"}

# httpd says a length where the end of a chunked answer has come together with its beginning.
FRAMING = {"content-length", "transfer-encoding"}

BODY = bytes(range(256)) * 300

ORDINARY = {
    "GET": get_request("/a/b?c=d&e"),
    "HEAD": get_request("/a", method="HEAD"),
    "OPTIONS": get_request("/a", method="OPTIONS"),
    "DELETE": get_request("/a", method="DELETE"),
    "POST": get_request("/p", method="POST", add=[("Content-Length", str(len(BODY)))]) + BODY,
    "chunked POST": get_request("/p", method="POST", add=[("Transfer-Encoding", "chunked")])
    + b"5\r\nhello\r\n0\r\n\r\n",
    "chunked answer": get_request("/chunked"),
    "204": get_request("/status/204"),
    "304": get_request("/status/304"),
    "404": get_request("/status/404"),
    "503": get_request("/status/503"),
    "escapes": get_request("/a%20b/%c3%a4?x=%2F"),
    "HTTP/1.0": build("GET /a HTTP/1.0", [("Host", "localhost")]),
    "only Upgrade": get_request("/a", add=[("Upgrade", "websocket")]),
    "only Connection": get_request("/a", add=[("Connection", "Upgrade")]),
    "h2c": get_request("/a", add=[("Upgrade", "h2c"), ("Connection", "Upgrade, HTTP2-Settings"),
                                  ("HTTP2-Settings", "AAMAAABkAAQAAP__")]),
    "other protocol": get_request("/a", add=[("Upgrade", "chat"), ("Connection", "Upgrade")]),
    "websocket in a longer word": get_request("/a", add=[("Upgrade", "websockets"),
                                                         ("Connection", "Upgrade")]),
    "upgrade of HTTP/1.0": upgrade_request("/a", version="HTTP/1.0"),
    "TE": get_request("/a", add=[("TE", "trailers"), ("Connection", "TE, X-Hop"),
                                 ("X-Hop", "1")]),
    "Expect": get_request("/p", method="POST", add=[("Expect", "100-continue"),
                                                    ("Content-Length", "5")]) + b"hello",
}


@pytest.fixture(scope="module")
def node_member(transport):
    with node_peer.NodeMember(transport) as member:
        yield member


@pytest.fixture(scope="module")
def server(start_httpd, transport, node_member, echo_member, shared_member):
    """`port`: the module is on; the ports behind it: off, ws routes, a ws route for all."""
    ports = free_ports(4)
    http = transport.member_url("http", node_member.port)
    ws = transport.member_url("ws", echo_member.port)
    return start_httpd(f"""
<VirtualHost *:{ports[0]}>
  ProxyPass / {http}
  ProxyPassReverse / {http}
</VirtualHost>
<VirtualHost *:{ports[1]}>
  WSBalance off
  ProxyPass / {http}
  ProxyPassReverse / {http}
</VirtualHost>
<VirtualHost *:{ports[2]}>
  ProxyPass /only-ws/ {ws}
  ProxyPass /both/ {transport.member_url("ws", echo_member.port, "/ws/")}
  ProxyPass /both/ {transport.member_url("http", shared_member.port, "/http/")}
  <Location /nested/>
    ProxyPass {ws}
  </Location>
  ProxyPass /nested/ {transport.member_url("http", shared_member.port, "/flat/")}
  ProxyPassMatch ^/matched/ {ws}
  RewriteEngine on
  RewriteRule ^/rewritten/(.*) {ws}$1 [P]
</VirtualHost>
<VirtualHost *:{ports[3]}>
  ProxyPass / {ws}
  ProxyPass / {transport.member_url("http", shared_member.port)}
</VirtualHost>
""", listen=ports)


def exchange(server, port, request):
    """The answer to one request, what the node member saw of it, and if the connection lives."""
    with connect(port, server.transport) as client:
        client.send(request)
        method = request.split(b" ")[0].decode()
        answer = read_response(client, method)
        lives = client.answers(get_request("/second"))
    seen = json.loads(answer.body) if answer.body[:1] == b"{" else None
    return answer, seen, lives


def comparable(answer: Response, port, ignored):
    """An answer without what differs by time or by the port that was asked."""
    fields = [(name, value.replace(str(port), "PORT")) for name, value in answer.head.fields
              if name.lower() not in ignored]
    return answer.head.start_line, sorted(fields), len(answer.body)


@pytest.mark.parametrize("name", ORDINARY)
def test_other_requests_are_untouched(server, name):
    """S0-11, S1-12: with `ProxyPass / http://` every request that is no WebSocket upgrade reaches
    the member as with `WSBalance off`, and the client gets the same answer."""
    on, off = server.listen[:2]
    answer, seen, lives = exchange(server, on, ORDINARY[name])
    answer_off, seen_off, lives_off = exchange(server, off, ORDINARY[name])
    ignored = VOLATILE | FRAMING if name == "chunked answer" else VOLATILE
    assert comparable(answer, on, ignored) == comparable(answer_off, off, ignored)
    assert seen == seen_off
    assert lives == lives_off
    if seen:
        names = [field.lower() for field in seen["headers"][::2]]
        assert "upgrade" not in names and "http2-settings" not in names


@pytest.mark.parametrize("path", ["/only-ws/x", "/matched/x", "/rewritten/x"])
def test_426_when_nobody_else_serves_it(server, path):
    """S1-56: a plain request for a URL that is for WebSocket only gets 426 and says what to do."""
    with connect(server.listen[2], server.transport) as client:
        client.send(get_request(path))
        answer = read_response(client)
        assert answer.status == 426
        assert answer.head.tokens("Upgrade") == ["websocket"]
        assert "upgrade" in answer.head.tokens("Connection")
        client.send(get_request(path))
        assert read_response(client).status == 426, "the connection does not live on"


def test_426_to_an_upgrade_of_http_1_0(server):
    """HTTP/1.0 must ignore Upgrade (RFC 9110 7.8): for a ws route it is a plain request."""
    with connect(server.listen[2], server.transport) as client:
        client.send(upgrade_request("/only-ws/x", version="HTTP/1.0"))
        assert read_response(client).status == 426


NO_UPGRADES = {
    "plain": dict(drop=["Upgrade", "Connection"]),
    "only Upgrade": dict(drop=["Connection"]),
    "only Connection": dict(drop=["Upgrade"]),
    "curl --http2": dict(change={"Upgrade": "h2c", "Connection": "Upgrade, HTTP2-Settings"},
                         add=[("HTTP2-Settings", "AAMAAABkAAQAAP__")]),
    "other protocol": dict(change={"Upgrade": "chat"}),
    "HTTP/1.0": dict(version="HTTP/1.0"),
    "POST": dict(method="POST", drop=["Upgrade", "Connection"], add=[("Content-Length", "0")]),
}


@pytest.mark.parametrize("name", NO_UPGRADES)
@pytest.mark.parametrize("port,path,member_path", [
    (2, "/both/x", "/http/x"), (2, "/nested/x", "/flat/x"), (3, "/x", "/x")])
def test_the_next_matching_route_serves_it(server, member, port, path, member_path, name):
    """S0-11, S1-12: a ws route and an http route for one URL, in this order: whatever is no
    WebSocket upgrade goes to the http route, whyever it is none."""
    with connect(server.listen[port], server.transport) as client:
        client.send(upgrade_request(path, **NO_UPGRADES[name]))
        connection = member.accept(client=client)
        head = parse_head(connection.read_head())
        assert head.start_line.split(" ")[1] == member_path
        assert not head.all("Upgrade")
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        assert read_response(client).body == b"ok"


@pytest.mark.parametrize("port,path,member_path", [
    (2, "/both/x", "/ws/x"), (2, "/nested/x", "/x"), (3, "/x", "/x")])
def test_and_its_upgrades_go_to_the_ws_route(server, port, path, member_path):
    """S1-12, S2-21: two members under one URL."""
    with connected(server, path, port=server.listen[port]) as client:
        assert client.ask("path") == member_path
        check_ours(server)
    all_quiet(server)
