"""X-Forwarded-Proto and X-Forwarded-Port: what the member learns about the client's connection, and
whose word counts."""

import pytest

from http_message import answer, get_request, parse_head, read_response, switching, upgrade_request
from ours import all_quiet
from ports import free_ports
from proxy_protocol import connect_through, version_1
from raw_peer import connect
from waiting import wait_until

pytestmark = [pytest.mark.transports("plain", "tls-client"),
              pytest.mark.parametrize("mpm", ["event"], indirect=True)]

PROTO, PORT = "X-Forwarded-Proto", "X-Forwarded-Port"
OTHERS = ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Server")
FORGED = [(PROTO, "gopher"), (PORT, "70")]
BY_PROXY = [("X-Forwarded-For", "192.0.2.7"), (PROTO, "by-proxy"), (PORT, "4430")]

HOSTS = {
    "plain": "",
    "off": "ProxyAddHeaders Off",
    "set": "RequestHeader set X-Forwarded-Proto wais\nRequestHeader set X-Forwarded-Port 210",
    "set early": "RequestHeader set X-Forwarded-Proto wais early\n"
                 "RequestHeader set X-Forwarded-Port 210 early",
    "set if empty": "RequestHeader setifempty X-Forwarded-Proto wais\n"
                    "RequestHeader setifempty X-Forwarded-Port 210",
    "set if empty, early": "RequestHeader setifempty X-Forwarded-Proto wais early\n"
                           "RequestHeader setifempty X-Forwarded-Port 210 early",
    "set the same": "RequestHeader set X-Forwarded-Proto gopher\n"
                    "RequestHeader set X-Forwarded-Port 70",
    "unset": "RequestHeader unset X-Forwarded-Proto\nRequestHeader unset X-Forwarded-Port early",
    "internal": "RemoteIPHeader X-Forwarded-For\nRemoteIPInternalProxy 127.0.0.1",
    "trusted": "RemoteIPHeader X-Forwarded-For\nRemoteIPTrustedProxy 127.0.0.1",
    "others trusted": "RemoteIPHeader X-Forwarded-For\nRemoteIPInternalProxy 192.0.2.1",
    "proxy protocol": "RemoteIPProxyProtocol On",
    "rewritten": 'RewriteEngine On\nRewriteRule "^/raw/(.*)" "ws://127.0.0.1:{port}/$1" [P]',
}
LOG = f'CustomLog fields.log "%>s %{{{PROTO}}}i %{{{PORT}}}i"'


@pytest.fixture(scope="module")
def ports():
    return dict(zip(HOSTS, free_ports(len(HOSTS))))


@pytest.fixture(scope="module")
def server(start_httpd, ports, shared_member):
    hosts = "\n".join(f"""
<VirtualHost *:{ports[name]}>
  {LOG}
  {lines.format(port=shared_member.port)}
  ProxyPass /raw/ ws://127.0.0.1:{shared_member.port}/
  ProxyPass /http/ http://127.0.0.1:{shared_member.port}/
  <Location /old/>
    RewriteEngine On
    RewriteRule "/old/(.*)" "/raw/$1"
  </Location>
</VirtualHost>""" for name, lines in HOSTS.items())
    return start_httpd(hosts, listen=list(ports.values()))


def head_for(server, member, port, add=(), path="/raw/", proxy_header=b""):
    """The head that the member gets, of a tunnel that is made and closed."""
    with connect_through(proxy_header, port, server.transport) as client:
        client.send(upgrade_request(path, add=add))
        connection = member.accept(client=client)
        head = parse_head(connection.read_head())
        connection.send(switching())
        assert parse_head(client.read_head()).status == 101
        connection.close()
    all_quiet(server)
    return head


def fields_for(server, member, port, add=(), path="/raw/"):
    """(proto, port) as the member gets them, each once or None."""
    head = head_for(server, member, port, add, path)
    return head.get(PROTO), head.get(PORT)


def true_fields(server, port):
    return server.transport.client_scheme("http"), str(port)


@pytest.mark.parametrize("path", ["/raw/", "/http/", "/old/"])
@pytest.mark.parametrize("add", [[], FORGED, FORGED + FORGED, [(PROTO, "")]],
                         ids=["nothing", "forged", "forged twice", "empty"])
def test_the_member_learns_the_truth(server, ports, member, path, add):
    """Whatever the client says about itself; also through an internal redirect."""
    port = ports["plain"]
    head = head_for(server, member, port, add, path)
    assert (head.get(PROTO), head.get(PORT)) == true_fields(server, port)
    assert head.get(OTHERS[0]) == "127.0.0.1" and head.get(OTHERS[1]) == "localhost"
    assert head.get(OTHERS[2]) == "localhost"


def test_a_route_by_rewrite(server, ports, member):
    port = ports["rewritten"]
    assert fields_for(server, member, port, FORGED) == true_fields(server, port)


def test_without_proxy_add_headers(server, ports, member):
    """Nothing is added, and nothing of the client's is touched."""
    head = head_for(server, member, ports["off"])
    assert not any(head.all(name) for name in (PROTO, PORT, *OTHERS))
    assert fields_for(server, member, ports["off"], FORGED) == ("gopher", "70")


@pytest.mark.parametrize("host,add,expected", [
    ("set", [], ("wais", "210")), ("set", FORGED, ("wais", "210")),
    ("set early", [], ("wais", "210")), ("set early", FORGED, ("wais", "210")),
    ("set if empty", [], ("wais", "210")), ("set if empty", FORGED, None),
    ("set if empty, early", [], ("wais", "210")), ("set if empty, early", FORGED, None),
    ("set the same", FORGED, ("gopher", "70")),
    ("unset", [], None), ("unset", FORGED, None)])
def test_what_the_administrator_sets_stays(server, ports, member, host, add, expected):
    """mod_headers' word counts, early or late; what it leaves of the client's does not."""
    expected = expected or true_fields(server, ports[host])
    assert fields_for(server, member, ports[host], add) == expected


@pytest.mark.parametrize("host,add,is_kept", [
    ("internal", BY_PROXY, True), ("trusted", BY_PROXY, True),
    ("internal", FORGED, False),  # mod_remoteip has no address to accept.
    # It must not tell a private address.
    ("trusted", [("X-Forwarded-For", "10.1.2.3"), *FORGED], False),
    ("internal", [("X-Forwarded-For", "nonsense"), *FORGED], False),
    ("others trusted", BY_PROXY, False), ("plain", BY_PROXY, False)])
def test_a_proxy_that_is_trusted_for_this_request(server, ports, member, host, add, is_kept):
    """Its fields stay where mod_remoteip took the client's address from it."""
    server.allow_log("AH03156")
    expected = ("by-proxy", "4430") if is_kept else true_fields(server, ports[host])
    assert fields_for(server, member, ports[host], add) == expected


def test_a_proxy_without_fields(server, ports, member):
    """The PROXY protocol tells the client's address; the fields are the client's own words."""
    port = ports["proxy protocol"]
    proxy_header = version_1("192.0.2.7", 4321)
    head = head_for(server, member, port, FORGED, proxy_header=proxy_header)
    assert head.get(OTHERS[0]) == "192.0.2.7"
    assert (head.get(PROTO), head.get(PORT)) == true_fields(server, port)


def test_another_request_of_the_connection_was_trusted(server, ports, member):
    port = ports["internal"]
    with connect(port, server.transport) as client:
        client.send(get_request("/alive.txt", add=BY_PROXY))
        assert read_response(client).body == b"alive\n"
        client.send(upgrade_request("/raw/", add=FORGED))
        connection = member.accept(client=client)
        head = parse_head(connection.read_head())
        connection.close()
        assert read_response(client).status == 502
    server.expect_log("WSB0121")
    assert (head.get(PROTO), head.get(PORT)) == true_fields(server, port)


def test_a_trusted_proxy_that_says_nothing(server, ports, member):
    """What it leaves out is filled in."""
    port = ports["internal"]
    expected = true_fields(server, port)
    assert fields_for(server, member, port, BY_PROXY[:1]) == expected
    assert fields_for(server, member, port, BY_PROXY[:2]) == ("by-proxy", expected[1])


@pytest.mark.parametrize("add,line", [(FORGED, "101 gopher 70"), ([], "101 - -")],
                         ids=["forged", "nothing"])
def test_the_access_log_has_the_client_s_own(server, ports, member, add, line):
    """The request that is logged is the one that the client sent."""
    path = server.directory / "fields.log"
    all_quiet(server)  # All lines of earlier requests are there.
    before = len(path.read_text()) if path.exists() else 0
    head_for(server, member, ports["plain"], add)
    wait_until(lambda: path.read_text()[before:] == line + "\n", what="the line of the access log")


@pytest.mark.parametrize("add", [[], FORGED], ids=["nothing", "forged"])
def test_other_requests_are_not_touched(server, ports, member, add):
    """mod_proxy_http's own are as ever, also behind a handshake that was refused."""
    with connect(ports["plain"], server.transport) as client:
        client.send(upgrade_request("/http/", add=add))
        connection = member.accept(client=client)
        connection.read_head()
        connection.send(answer(403, b"no"))
        assert read_response(client).status == 403
        connection.close()
        client.send(get_request("/http/", add=add))
        connection = member.accept(client=client)
        head = parse_head(connection.read_head())
        connection.send(answer(200, b"yes"))
        assert read_response(client).body == b"yes"
    assert (head.get(PROTO), head.get(PORT)) == (("gopher", "70") if add else (None, None))
    all_quiet(server)
