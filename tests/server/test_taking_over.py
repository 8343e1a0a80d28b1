"""Every way to write a WebSocket route in httpd gives a tunnel of ours.

Ours means: while it is open no worker is busy with it, and WSBalanceTunnels counts it.
"""

import pytest

import node_peer
from frames import TEXT, client_frame, frame, read_frame
from http_message import get_request, parse_head, read_response, switching, upgrade_request
from ours import all_quiet, check_echo, check_ours
from raw_peer import connect
from ws_peer import EchoMember, connected

DIRECT = [
    ("/flat/a/b?c=d", "/a/b?c=d"),
    ("/nested/a?c", "/in/a?c"),
    ("/match/a/b?c", "/matched/a/b?c"),
    ("/rewrite/a/b?c=d", "/rewritten/a/b?c=d"),
    ("/rewrite-http/a", "/rewritten/a"),
    ("/unix/a?c", "/a?c"),
    ("/unix-http/a?c", "/a?c"),
    ("/http/a/b?c=d", "/a/b?c=d"),
]


@pytest.fixture(scope="module")
def node_member(transport):
    with node_peer.NodeMember(transport) as member:
        yield member


@pytest.fixture(scope="module")
def second_member(transport):
    with EchoMember("second", transport) as member:
        yield member


@pytest.fixture(scope="module")
def unix_path(public_dir):
    """The path of a unix socket whose member everybody may reach."""
    path = public_dir / "member.sock"
    with EchoMember("unix", path=path):
        path.chmod(0o777)
        yield path


@pytest.fixture(scope="module")
def server(start_httpd, transport, echo_member, second_member, node_member, shared_member,
           unix_path):
    def ws(path, member=echo_member):
        return transport.member_url("ws", member.port, path)

    def http(path, member=echo_member):
        return transport.member_url("http", member.port, path)

    return start_httpd(f"""
ProxyPass /flat/ {ws("/")}
<Location /nested/>
  ProxyPass {ws("/in/")}
</Location>
ProxyPassMatch ^/match/(.*)$ {ws("/matched/$1")}
RewriteEngine on
RewriteRule ^/rewrite/(.*)$ {ws("/rewritten/$1")} [P]
RewriteRule ^/rewrite-http/(.*)$ {http("/rewritten/$1")} [P]
ProxyPass /unix/ unix:{unix_path}|ws://localhost/
ProxyPass /unix-http/ unix:{unix_path}|http://localhost/
<Location /handler/>
  SetHandler "proxy:{ws("")}"
</Location>
<Proxy balancer://ws-members>
  BalancerMember {ws("")}
  BalancerMember {ws("", second_member)}
</Proxy>
<Proxy balancer://http-members>
  BalancerMember {http("")}
  BalancerMember {http("", second_member)}
</Proxy>
ProxyPass /balanced-ws/ balancer://ws-members/
ProxyPass /balanced-http/ balancer://http-members/
ProxyPass /node/ {http("/", node_member)}
ProxyPass /raw/ {ws("/", shared_member)}
ProxyPass /http/ {http("/")}
""")


@pytest.mark.parametrize("path,member_path", DIRECT)
def test_every_route_is_ours(server, path, member_path):
    """S0-05, S1-02, S1-03, S2-19, S2-22: the lines that are there stay as they are."""
    check_echo(server, path, member_path)


def test_set_handler_is_ours(server):
    """httpd appends to the URL what it took for the path of a file."""
    check_echo(server, "/handler/a?c", f"{server.directory}/htdocs/handler?c")


@pytest.mark.parametrize("route", ["/balanced-ws/", "/balanced-http/"])
def test_members_of_a_balancer_are_ours(server, route):
    """S1-02, S1-22: ws and http members of a balancer, in turn."""
    names = [check_echo(server, route + "a?b", "/a?b") for _ in range(4)]
    assert sorted(names) == ["member", "member", "second", "second"]


@pytest.mark.parametrize("route", ["/http/", "/balanced-http/"])
def test_http_on_the_same_route_is_served_as_ever(server, route):
    """S0-11, S1-55: one URL, HTTP and WebSocket, no rewrite rules, no upgrade=."""
    with connected(server, route + "x") as client:
        check_ours(server)
        with connect(server.port, server.transport) as plain:
            plain.send(get_request(route + "x"))
            answer = read_response(plain)
            assert answer.status == 200 and answer.body.endswith(b" /x")
        assert client.ask("hello") == "hello"
    all_quiet(server)


def test_many_tunnels_at_once(server):
    """S0-02: more tunnels than workers, an ordinary request is answered meanwhile."""
    clients = [connected(server, "/flat/") for _ in range(server.workers + 15)]
    check_ours(server, len(clients))
    with connect(server.port, server.transport) as plain:
        plain.send(get_request("/http/x"))
        assert read_response(plain).status == 200
    for number, client in enumerate(clients):
        assert client.ask(f"message {number}") == f"message {number}"
        client.close()
    all_quiet(server)


def test_node_on_both_sides(server, transport):
    """S1-08, S2-15: npm ws as client and as member."""
    url = transport.client_url(server.port, "/node/x")
    seen = node_peer.run_client(url, transport, messages=["Hello Server!", ""], count=20,
                                size=70000, protocols=["one", "two"])
    assert seen["received"] == ["Hello Server!", ""] and seen["bulkInOrder"] == 20
    assert seen["protocol"] == "two" and seen["code"] == 1000
    all_quiet(server)


def test_the_member_may_speak_first(server, member):
    """S0-01: a push comes at once, without being asked for."""
    with connect(server.port, server.transport) as client:
        client.send(upgrade_request("/raw/"))
        connection = member.accept(client=client)
        connection.read_head()
        connection.send(switching())
        assert parse_head(client.read_head()).status == 101
        check_ours(server)
        connection.send(frame(TEXT, b"news"))
        assert read_frame(client) == (TEXT, b"news", True)
        client.send(client_frame(TEXT, b"thanks"))
        assert read_frame(connection) == (TEXT, b"thanks", True)
        client.close()
        assert connection.is_ended()
        connection.close()
    all_quiet(server)
