"""What httpd does before the handler works for a handshake as for any request, and its response
headers reach our 101."""

import base64
import hashlib
import json

import pytest
from websockets.exceptions import InvalidStatusCode

from http_message import (KEY, accept_for, get_request, parse_head, read_response, switching,
                          upgrade_request)
from ours import all_quiet, check_ours
from raw_peer import connect
from waiting import wait_until
from ws_peer import connected

MEMBER_FIELDS = [("X-Member", "from-member"), ("X-Drop", "gone"), ("X-Edit", "abc"),
                 ("Set-Cookie", "m=1"), ("Set-Cookie", "n=2"), ("X-Twice", "1"), ("X-Twice", "2")]

HEADER_LINES = """
    Header set X-Set one
    Header always set X-Always two
    Header set X-Expr "expr=%{REQUEST_METHOD} %{REQUEST_URI}"
    Header set X-Env "%{SEEN}e"
    Header add Set-Cookie "sticky=1; Path=/"
    Header always add Set-Cookie "always=1"
    Header append X-Member more
    Header unset X-Drop
    Header edit X-Edit ^a b
    Header set X-Never no env=!SEEN
    Header setifempty X-Member no
    Header always set Strict-Transport-Security "max-age=31536000"
"""

# Each of them would break a 101 if it were obeyed.
HARMFUL_LINES = [
    "Header set Upgrade h2c", "Header always set Upgrade h2c", "Header unset Upgrade",
    "Header always unset Upgrade", "Header append Upgrade h2c", "Header add Upgrade h2c",
    "Header set Connection close", "Header always set Connection close",
    "Header unset Connection", "Header always add Connection Upgrade",
    "Header set Sec-WebSocket-Accept wrong", "Header always set Sec-WebSocket-Accept wrong",
    "Header unset Sec-WebSocket-Accept", "Header edit Sec-WebSocket-Accept ^. X",
    'Header set Upgrade "websocket"\n    Header set Connection "Upgrade"',
]


def password_file(public_dir):
    path = public_dir / "passwords"
    digest = base64.b64encode(hashlib.sha1(b"secret").digest()).decode()
    path.write_text(f"someone:{{SHA}}{digest}\n")
    return path


@pytest.fixture(scope="module")
def server(start_httpd, transport, echo_member, shared_member, public_dir):
    ws = transport.member_url("ws", echo_member.port)
    harmful = "\n".join(f"""
<Location /harmful/{number}/>
    ProxyPass {transport.member_url("ws", shared_member.port, f"/harm/{number}/")}
    {line}
</Location>""" for number, line in enumerate(HARMFUL_LINES))
    return start_httpd(f"""
<Location /denied/>
    ProxyPass {ws}
    Require all denied
</Location>
<Location /ip/>
    ProxyPass {ws}
    Require ip 127.0.0.0/8
</Location>
<Location /other-ip/>
    ProxyPass {ws}
    Require ip 192.0.2.0/24
</Location>
<Location /login/>
    ProxyPass {ws}
    AuthType Basic
    AuthName "tunnels"
    AuthUserFile {password_file(public_dir)}
    Require valid-user
    RequestHeader set X-User "expr=%{{REMOTE_USER}}"
</Location>
<Location /request-header/>
    ProxyPass {ws}
    RequestHeader set X-Set "expr=%{{REQUEST_URI}}"
    RequestHeader set X-Env "%{{SEEN}}e"
    RequestHeader unset X-Secret
    RequestHeader append X-More second
</Location>
SetEnvIf Request_URI . SEEN=yes
<Location /rewrite/>
    ProxyPass {ws}
</Location>
RewriteEngine on
RewriteRule ^/rewrite/forbidden - [F]
RewriteRule ^/rewrite/moved /elsewhere [R=302,L]
RewriteCond %{{HTTP:Origin}} !=http://good.example
RewriteRule ^/rewrite/origin - [F]
RewriteRule ^/rewrite/other /passed-through/rewritten [PT]
ProxyPass /passed-through/ {ws}
RemoteIPHeader X-Client
RemoteIPInternalProxy 127.0.0.1
<Location /remoteip/>
    ProxyPass {ws}
    Require ip 203.0.113.7
</Location>
<Location /headers/>
    ProxyPass {transport.member_url("http", shared_member.port, "/headers/")}
    {HEADER_LINES}
</Location>
<Location /reverse/>
    ProxyPass {transport.member_url("ws", shared_member.port, "/reverse/")}
    ProxyPassReverse {transport.member_url("ws", shared_member.port, "/reverse/")}
    ProxyPassReverse {transport.member_url("http", shared_member.port, "/reverse/")}
    ProxyPassReverseCookiePath /inside /outside
    ProxyPassReverseCookieDomain inside.example outside.example
</Location>
{harmful}
""")


def refused(server, path, **options):
    with pytest.raises(InvalidStatusCode) as caught:
        connected(server, path, **options)
    return caught.value


def seen_by_member(client):
    pairs = json.loads(client.ask("headers"))
    return {name.lower(): value for name, value in pairs}


def handshake(server, member, path, answer):
    """A handshake with a raw member that answers with these bytes: the client's 101."""
    with connect(server.port, server.transport) as client:
        client.send(upgrade_request(path))
        connection = member.accept(client=client)
        connection.read_head()
        connection.send(answer)
        return parse_head(client.read_head())


@pytest.mark.parametrize("path", ["/denied/", "/other-ip/", "/rewrite/forbidden",
                                  "/rewrite/origin"])
def test_who_is_denied_never_reaches_the_member(server, echo_member, path):
    """S0-09, S2-05, S2-34: authorization and rewrite rules come before the upgrade; the denial is
    a plain 403."""
    server.allow_log("AH01630", "AH01797")
    all_quiet(server)
    wait_until(lambda: not echo_member.open_sockets, what="the ends of earlier tests' tunnels")
    with connect(server.port, server.transport) as client:
        client.send(upgrade_request(path))
        answer = read_response(client)
        assert answer.status == 403 and not answer.head.all("Sec-WebSocket-Accept")
    assert not echo_member.open_sockets and server.tunnels() == 0


@pytest.mark.parametrize("path", ["/ip/", "/rewrite/other", "/rewrite/plain"])
def test_who_is_allowed_gets_a_tunnel(server, path):
    """S0-09, S2-05: `Require ip` and rewrite rules that let the handshake pass."""
    with connected(server, path):
        check_ours(server)
    all_quiet(server)


def test_origin_by_rewrite_condition(server):
    """A request field decides, as in the usual recipe against foreign pages."""
    with connected(server, "/rewrite/origin", origin="http://good.example"):
        check_ours(server)


def test_a_redirect_comes_first(server):
    """S1-46: a rewrite rule that redirects wins; nothing is upgraded."""
    with connect(server.port, server.transport) as client:
        client.send(upgrade_request("/rewrite/moved"))
        answer = read_response(client)
        assert answer.status == 302 and answer.head.get("Location").endswith("/elsewhere")


def test_basic_authentication(server):
    """S0-09: without a password 401 with a challenge; with it a tunnel, and the member may learn
    who it is."""
    error = refused(server, "/login/")
    assert error.status_code == 401 and "tunnels" in error.headers["WWW-Authenticate"]
    server.allow_log("AH01617")
    wrong = base64.b64encode(b"someone:wrong").decode()
    assert refused(server, "/login/",
                   extra_headers={"Authorization": f"Basic {wrong}"}).status_code == 401
    right = base64.b64encode(b"someone:secret").decode()
    with connected(server, "/login/", extra_headers={"Authorization": f"Basic {right}"}) as client:
        assert seen_by_member(client)["x-user"] == "someone"
        check_ours(server)


def test_request_header(server):
    """S0-17: RequestHeader reaches the member's handshake."""
    with connected(server, "/request-header/",
                   extra_headers={"X-Secret": "s", "X-More": "first"}) as client:
        seen = seen_by_member(client)
    assert seen["x-set"] == "/request-header/" and seen["x-env"] == "yes"
    assert seen["x-more"] == "first, second" and "x-secret" not in seen


def test_remote_ip(server):
    """The address that mod_remoteip found counts for Require and for X-Forwarded-For."""
    server.allow_log("AH01630")
    assert refused(server, "/remoteip/").status_code == 403
    with connected(server, "/remoteip/", extra_headers={"X-Client": "203.0.113.7"}) as client:
        assert seen_by_member(client)["x-forwarded-for"] == "203.0.113.7"
        check_ours(server)


def test_header_directives_apply_to_our_101(server, member):
    """S0-22: `Header` and `Header always` do to our 101 what they do to a 200 of the same URL."""
    answers = []
    for request, answer in (
            (upgrade_request("/headers/x"), switching(add=MEMBER_FIELDS)),
            (get_request("/headers/x"), b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
             + b"".join(f"{n}: {v}\r\n".encode() for n, v in MEMBER_FIELDS) + b"\r\n")):
        with connect(server.port, server.transport) as client:
            client.send(request)
            connection = member.accept(client=client)
            connection.read_head()
            connection.send(answer)
            answers.append(parse_head(client.read_head()))
    ours, plain = answers
    assert ours.status == 101 and plain.status == 200
    for name in ("X-Set", "X-Always", "X-Expr", "X-Env", "X-Member", "X-Drop", "X-Edit", "X-Never",
                 "Set-Cookie", "X-Twice", "Strict-Transport-Security"):
        assert sorted(ours.all(name)) == sorted(plain.all(name)), name
    assert ours.get("X-Member") == "from-member, more" and ours.get("X-Always") == "two"


@pytest.mark.parametrize("number", range(len(HARMFUL_LINES)), ids=lambda n: HARMFUL_LINES[n])
def test_header_directives_never_touch_the_handshake(server, member, number):
    """S0-20, S0-22: whatever `Header` says, Upgrade, Connection and Sec-WebSocket-Accept stay."""
    head = handshake(server, member, f"/harmful/{number}/", switching())
    assert head.status == 101
    assert head.tokens("Upgrade") == ["websocket"] and len(head.all("Upgrade")) == 1
    assert head.tokens("Connection") == ["upgrade"] and len(head.all("Connection")) == 1
    assert head.all("Sec-WebSocket-Accept") == [accept_for(KEY)]


def test_reverse_mapping_applies_to_our_101(server, transport, member):
    """ProxyPassReverse and ProxyPassReverseCookie* map what the member says in its 101."""
    head = handshake(server, member, "/reverse/x", switching(add=[
        ("Location", transport.member_url("http", member.port, "/reverse/there")),
        ("Set-Cookie", "a=1; Path=/inside; Domain=inside.example"), ("Set-Cookie", "b=2")]))
    assert head.get("Location") == f"{transport.client_scheme('http')}://localhost/reverse/there"
    assert head.all("Set-Cookie") == ["a=1; Path=/outside; Domain=outside.example", "b=2"]


def test_the_access_log_has_the_101_at_once(server):
    """S1-14: the line of the handshake stands in the access log while the tunnel is open."""
    path = server.directory / "access.log"
    with connected(server, "/ip/logged"):
        wait_until(lambda: '"GET /ip/logged HTTP/1.1" 101' in path.read_text(),
                   what="the access log line")
