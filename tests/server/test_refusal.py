"""A member that refuses the handshake: its answer reaches the client as mod_proxy_http would pass
it, and the client's connection lives on.

The yardstick is the same route with `WSBalance off`, where mod_proxy_http serves it. One difference
is allowed: mod_proxy_http deletes `Warning` fields without the right date (RFC 9111 has done away
with them), we pass them on.
"""

import gzip
import os

import pytest

import httpd_config
from http_message import (answer, build, get_request, parse_head, read_response, switching,
                          upgrade_request)
from ports import free_ports
from raw_peer import connect
from tunnels import in_thread

pytestmark = pytest.mark.parametrize("mpm", ["event"], indirect=True)

ROUTES = """
  ProxyVia on
  ProxyPass /plain/ {ws}plain/
  ProxyPass /http/ {http}http/ upgrade=websocket
  <Location /reverse/>
    ProxyPass {ws}reverse/
    ProxyPassReverse {ws}reverse/
    ProxyPassReverse {http}reverse/
    ProxyPassReverseCookiePath /inside /outside
    ProxyPassReverseCookieDomain inside.example outside.example
  </Location>
  ProxyPass /reverse-ws/ {ws}reverse-ws/
  ProxyPassReverse /reverse-ws/ {ws}reverse-ws/
  <Location /headers/>
    ProxyPass {ws}headers/
    Header set X-Set one
    Header always set X-Always two
    Header append X-Member more
    Header unset X-Drop
    Header edit X-Edit ^a b
    Header onsuccess set X-Success yes
  </Location>
  ErrorDocument 503 /errors/503.html
  ErrorDocument 404 "not here"
  ErrorDocument 401 "who are you?"
  ProxyPass /override/ {ws}override/
  ProxyPass /override-404/ {ws}override-404/
  <Location /override/>
    ProxyErrorOverride On
  </Location>
  <Location /override-404/>
    ProxyErrorOverride On 404
  </Location>
  ProxyPass /errors/ !
  <Location /compressed/>
    ProxyPass {ws}compressed/
    SetOutputFilter DEFLATE
  </Location>
"""


@pytest.fixture(scope="module")
def server(start_httpd, transport, shared_member):
    ports = free_ports(2)
    ws, http = (transport.member_url(scheme, shared_member.port) for scheme in ("ws", "http"))
    routes = ROUTES.format(ws=ws, http=http)
    server = start_httpd(f"""
<VirtualHost *:{ports[0]}>
{routes}
</VirtualHost>
<VirtualHost *:{ports[1]}>
WSBalance off
{routes}
</VirtualHost>
""", listen=ports, modules=httpd_config.default_modules(add=["filter", "deflate"]))
    (server.directory / "htdocs" / "errors").mkdir()
    (server.directory / "htdocs" / "errors" / "503.html").write_text("come back later\n")
    return server


def exchange(server, port, member, data, path, request=None, then=None):
    """One handshake that the member answers with `data`: the answer and if the connection lives."""
    with connect(port, server.transport) as client:
        client.send(request or upgrade_request(path))
        connection = member.accept(client=client)
        connection.read_head()

        def answer_it():
            connection.send(data)
            if then:
                getattr(connection, then)()

        with in_thread(answer_it):  # Kernels need not keep all of it.
            got = read_response(client)
        lives = client.answers(get_request("/alive.txt"))
        connection.close()
        return got, lives


def comparable(got, port, ignored):
    """What must be the same whoever served it. `Date` differs by time."""
    fields = sorted((name.lower(), value.replace(str(port), "PORT"))
                    for name, value in got.head.fields
                    if name.lower() != "date" and name.lower() not in ignored)
    return got.head.start_line, fields, got.body


def check_same(server, member, data, path, request=None, then=None, ignored=()):
    """The answer through the module; it must be the one that mod_proxy_http gives."""
    results = []
    for port in server.listen:
        got, lives = exchange(server, port, member, data, path, request, then)
        results.append((got, lives))
    (ours, lives), (stock, lives_stock) = results
    assert (comparable(ours, server.listen[0], ignored) ==
            comparable(stock, server.listen[1], ignored))
    assert lives == lives_stock
    return ours, lives


def chunked(body, size=7000, trailer=b""):
    pieces = [body[i:i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x;ext=1\r\n%s\r\n" % (len(piece), piece) for piece in pieces) \
        + b"0\r\n" + trailer + b"\r\n"


MEGABYTE = os.urandom(1 << 20)
CHUNKED = [("Transfer-Encoding", "chunked")]
HTML = b"<html><body>no</body></html>"
COOKIES = [("Set-Cookie", "a=1; Path=/; HttpOnly"), ("Set-Cookie", "b=2, c")]

ANSWERS = {
    "401": answer(401, b"who?", reason="Unauthorized", add=[
        ("WWW-Authenticate", 'Basic realm="member"'), ("WWW-Authenticate", "Digest x=y")]),
    "302": answer(302, add=[("Location", "http://elsewhere.example/x")], reason="Found"),
    "200": answer(200, HTML, add=[("Content-Type", "text/html; charset=utf-8")]),
    "200 without a type": answer(200, b"plain"),
    "403": answer(403, b"no", reason="Forbidden"),
    "404 with cookies": answer(404, HTML, add=COOKIES + [("Content-Type", "text/html")]),
    "426": answer(426, b"13", add=[("Sec-WebSocket-Version", "13, 8, 7"),
                                   ("Upgrade", "websocket"), ("Connection", "Upgrade")]),
    "429": answer(429, add=[("Retry-After", "5")]),
    "500": answer(500, b"oops"), "502": answer(502, b"oops"), "503": answer(503, b"busy"),
    "599": answer(599, b"odd"), "299": answer(299, b"odd"),
    "no reason": b"HTTP/1.1 403 \r\nContent-Length: 2\r\n\r\nno",
    "no reason, no space": b"HTTP/1.1 403\r\nContent-Length: 2\r\n\r\nno",
    "204": b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
    "204 with a length": b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
    "304": b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
    "304 with a length": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 50\r\nETag: \"x\"\r\n\r\n",
    "205": b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
    "empty": answer(400), "1 MB": answer(403, MEGABYTE),
    "chunked 503": build("HTTP/1.1 503 Busy", CHUNKED) + chunked(b"busy" * 5000),
    "chunked 1 MB": build("HTTP/1.1 404 Not Found", CHUNKED) + chunked(MEGABYTE, 65536),
    "chunked, tiny": build("HTTP/1.1 200 OK", CHUNKED) + chunked(b"abcdefghij", 1),
    "chunked, empty": build("HTTP/1.1 200 OK", CHUNKED) + b"0\r\n\r\n",
    "chunked with a trailer": build("HTTP/1.1 200 OK", CHUNKED + [("Trailer", "X-T")])
    + chunked(b"abc", 2, b"X-T: 1\r\n"),
    "hop-by-hop": answer(403, b"no", add=[
        ("Connection", "X-Hop, keep-alive"), ("X-Hop", "1"), ("Keep-Alive", "timeout=9"),
        ("Proxy-Authenticate", "Basic"), ("Upgrade", "h2c"), ("X-End", "1")]),
    "Connection: close": answer(403, b"no", add=[("Connection", "close")]),
    "caching": answer(200, b"x", add=[
        ("Date", "Fri, 01 Jan 2021 00:00:00 GMT"), ("Expires", "0"), ("ETag", '"e"'),
        ("Last-Modified", "Fri, 01 Jan 2021 00:00:00 GMT"), ("Cache-Control", "no-store"),
        ("Vary", "Origin"), ("Server", "member/1"), ("Via", "1.1 inner")]),
    "gzip": answer(200, gzip.compress(HTML, mtime=0), add=[("Content-Encoding", "gzip")]),
    "many fields": answer(403, b"no", add=[(f"X-{n}", str(n)) for n in range(80)]),
    "twice the same field": answer(403, b"no", add=[("X-A", "1"), ("x-a", "2"), ("X-A", "1")]),
    "HTTP/1.0 with a length": answer(403, b"no").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "HTTP/1.0 keep-alive": answer(403, b"no", add=[("Connection", "keep-alive")])
    .replace(b"HTTP/1.1", b"HTTP/1.0"),
    "content on 101's sister": answer(403, b"no", add=[("Sec-WebSocket-Accept", "x"),
                                                      ("Sec-WebSocket-Protocol", "y")]),
}

UNTIL_CLOSE = {
    "close": build("HTTP/1.1 403 No", [("X-A", "b")]) + b"until close" * 1000,
    "1 MB": build("HTTP/1.1 200 OK", []) + MEGABYTE,
    "close after nothing": build("HTTP/1.1 403 No", []),
    "HTTP/1.0": build("HTTP/1.0 403 No", []) + b"old",
}


@pytest.mark.parametrize("path", ["/plain/x", "/http/x"])
@pytest.mark.parametrize("name", ANSWERS)
def test_answers_are_passed_as_mod_proxy_http_does(server, member, name, path):
    """S0-34, S0-38: any other status than 101, field by field, and the connection lives on."""
    got, _ = check_same(server, member, ANSWERS[name], path)
    assert got.status == int(ANSWERS[name][9:12])


@pytest.mark.parametrize("name", [
    "401", "302", "1 MB", "204", "304", "404 with cookies", "Connection: close", "hop-by-hop",
    "chunked 1 MB", "HTTP/1.0 with a length"])
def test_the_clients_connection_lives_on(server, member, name):
    """The next request on it is answered, whatever the member said about its own connection. (Not
    after 400, 500 and 503: there httpd itself closes, whoever serves.)"""
    _, lives = exchange(server, server.port, member, ANSWERS[name], "/plain/x")
    assert lives


@pytest.mark.parametrize("name", UNTIL_CLOSE)
def test_bodies_until_close(server, member, name):
    """A body that ends with the member's connection; the client's lives on in chunks. Where nothing
    comes, httpd says a length if the end is there together with the head, and chunks if not."""
    nothing = UNTIL_CLOSE[name].endswith(b"\r\n\r\n")
    got, lives = check_same(server, member, UNTIL_CLOSE[name], "/plain/x", then="end_sending",
                            ignored=("content-length", "transfer-encoding") if nothing else ())
    assert got.body == UNTIL_CLOSE[name].split(b"\r\n\r\n", 1)[1] and lives


@pytest.mark.parametrize("pieces", [1, 100, 3000])
def test_an_answer_in_pieces(server, member, pieces):
    """The head and the chunks, cut anywhere."""
    data = ANSWERS["chunked 503"]
    with connect(server.port, server.transport) as client:
        client.send(upgrade_request("/plain/x"))
        connection = member.accept(client=client)
        connection.read_head()
        cut = 400 if pieces == 1 else len(data)
        connection.send_pieces([data[i:i + pieces] for i in range(0, cut, pieces)])
        connection.send(data[cut:])
        assert read_response(client).body == b"busy" * 5000


@pytest.mark.parametrize("location", [
    "{http}://127.0.0.1:{port}/reverse/there?a=b", "{ws}://127.0.0.1:{port}/reverse/there",
    "http://elsewhere.example/reverse/", "/reverse/there", "//127.0.0.1/x"])
def test_reverse_mapping(server, transport, member, location):
    """ProxyPassReverse on Location and its relatives, ProxyPassReverseCookie* on cookies."""
    value = location.format(port=member.port, ws=transport.member_scheme("ws"),
                            http=transport.member_scheme("http"))
    fields = [(name, value) for name in ("Location", "Content-Location", "URI", "Destination")]
    cookies = [("Set-Cookie", "a=1; Path=/inside; Domain=inside.example"), ("Set-Cookie", "b=2")]
    got, _ = check_same(server, member, answer(302, add=fields + cookies), "/reverse/x")
    assert "a=1; Path=/outside; Domain=outside.example" in got.head.all("Set-Cookie")
    if location.startswith("{http}"):
        scheme = transport.client_scheme("http")
        where = got.head.get("Location")
        assert where == f"{scheme}://localhost:{server.port}/reverse/there?a=b"


def test_reverse_mapping_of_ws_lines_on_http_locations(server, transport, member):
    """S0-08: `ProxyPassReverse /x/ ws://...`, as the guides write it, maps the `http://` Location
    that members really answer."""
    data = answer(302, add=[
        ("Location", transport.member_url("http", member.port, "/reverse-ws/there"))])
    got, _ = exchange(server, server.port, member, data, "/reverse-ws/x")
    scheme = transport.client_scheme("http")
    assert got.head.get("Location") == f"{scheme}://localhost:{server.port}/reverse-ws/there"


@pytest.mark.parametrize("status", [200, 401, 404, 500])
def test_header_directives(server, member, status):
    """`Header` and `Header always` act on the answer as for any proxied one."""
    data = answer(status, b"x", add=[("X-Member", "m"), ("X-Drop", "d"), ("X-Edit", "abc"),
                                     ("X-Success", "no")])
    got, _ = check_same(server, member, data, "/headers/x")
    assert got.head.get("X-Set") == "one" and got.head.get("X-Always") == "two"
    assert got.head.get("X-Member") == "m, more" and not got.head.all("X-Drop")


@pytest.mark.parametrize("path,status,body", [
    ("/override/x", 503, b"come back later\n"), ("/override/x", 404, b"not here"),
    ("/override/x", 401, b"who are you?"), ("/override/x", 302, b"member's"),
    ("/override/x", 200, b"member's"), ("/override/x", 500, None), ("/override/x", 426, None),
    ("/override-404/x", 404, b"not here"), ("/override-404/x", 503, b"member's"),
    ("/plain/x", 503, b"member's")])
def test_error_override(server, member, path, status, body):
    """ProxyErrorOverride replaces the member's page by ErrorDocument's, for the codes it names."""
    server.allow_log("AH01617", r"AH\d+: .*authenticat")
    data = answer(status, b"member's", add=[("X-Member", "m"), ("Location", "/x"),
                                            ("WWW-Authenticate", "Basic realm=x")])
    got, _ = check_same(server, member, data, path)
    assert got.status == status
    assert got.body == body if body else b"member's" not in got.body


def test_output_filters(server, member):
    """The request's own output filters see the answer."""
    request = upgrade_request("/compressed/x", add=[("Accept-Encoding", "gzip")])
    data = answer(403, HTML * 100, add=[("Content-Type", "text/html")])
    got, _ = check_same(server, member, data, "/compressed/x", request)
    assert gzip.decompress(got.body) == HTML * 100


BROKEN = {
    "short of its length": answer(403, b"x" * 100)[:-50],
    "in a chunk": build("HTTP/1.1 403 No", CHUNKED) + b"64\r\nabc",
    "before the last chunk": build("HTTP/1.1 403 No", CHUNKED) + b"3\r\nabc\r\n",
    "no chunk at all": build("HTTP/1.1 403 No", CHUNKED) + b"zz\r\nabc\r\n",
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("way", ["end_sending", "reset"])
def test_broken_bodies(server, member, name, way):
    """A body that breaks off is never passed as a whole one: it is a 502, or the client's
    connection is closed within the answer. Which of them, time decides: did the break come before
    the head was sent on?"""
    server.allow_log(r"AH\d+", r"WSB\d+")
    for port in server.listen:
        with connect(port, server.transport) as client:
            client.send(upgrade_request("/plain/x"))
            connection = member.accept(client=client)
            connection.read_head()
            connection.send(BROKEN[name])
            getattr(connection, way)()
            try:
                status = read_response(client).status
            except AssertionError as error:
                assert "end of file" in str(error)
            else:
                assert status == 502


@pytest.mark.parametrize("data,statuses", [
    (answer(403, add=[("Content-Length", "5"), ("Content-Length", "6")], length=False) + b"hello!",
     [403]),
    # The head is good, the first chunk is not: time decides if the head was sent on before that.
    (answer(403, b"hello", add=CHUNKED), [403, 502]),
    (build("HTTP/1.1 403 No", [("Content-Length", "-1")]) + b"x", [502]),
    (build("HTTP/1.1 403 No", [("Content-Length", "5x")]) + b"hello", [502]),
    (build("HTTP/1.1 403 No", [("Transfer-Encoding", "gzip")]) + b"hello", [403]),
], ids=["two lengths", "length and chunked", "negative length", "odd length", "unknown encoding"])
def test_ambiguous_bodies(server, member, data, statuses):
    """Bodies whose end is not clear get what mod_proxy_http gives them."""
    server.allow_log(r"AH\d+", r"WSB\d+")
    for port in server.listen:
        with connect(port, server.transport) as client:
            client.send(upgrade_request("/plain/x"))
            connection = member.accept(client=client)
            connection.read_head()
            connection.send(data)
            connection.end_sending()
            assert parse_head(client.read_head()).status in statuses


def test_after_a_refusal_the_same_client_gets_a_tunnel(server, member):
    """401 with a challenge, then the handshake again on the same connection."""
    with connect(server.port, server.transport) as client:
        client.send(upgrade_request("/plain/x"))
        connection = member.accept(client=client)
        connection.read_head()
        connection.send(ANSWERS["401"])
        assert read_response(client).status == 401
        client.send(upgrade_request("/plain/x", add=[("Authorization", "Basic eDp5")]))
        connection = member.accept(client=client)
        assert parse_head(connection.read_head()).get("Authorization") == "Basic eDp5"
        connection.send(switching())
        assert parse_head(client.read_head()).status == 101
