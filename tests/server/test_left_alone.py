"""What the module leaves to whoever else serves it: forward proxying, upgrade=NONE, WSBalance off."""

import contextlib

import pytest

from http_message import KEY, get_request, parse_head, read_response, switching, upgrade_request
from ours import all_quiet, check_not_ours, check_ours
from ports import free_ports
from raw_peer import connect
from ws_peer import connected


@pytest.fixture(scope="module")
def server(start_httpd, transport, echo_member, shared_member):
    """Ports: routes of the main server; a forward proxy; one without us; a vhost without us."""
    ports = free_ports(4)
    ws = transport.member_url("ws", echo_member.port)
    raw = shared_member.port
    return start_httpd(f"""
<VirtualHost *:{ports[0]}>
  ProxyPass /on/ {ws}
  <Location /off/>
    WSBalance off
    ProxyPass {ws}
  </Location>
  <Location /off/on-again/>
    WSBalance on
  </Location>
  <Location /off-http/>
    WSBalance off
    ProxyPass {transport.member_url("http", echo_member.port)} upgrade=websocket
  </Location>
  <Location /if/>
    ProxyPass {ws}
    <If "%{{HTTP:X-Without}} == 'yes'">
      WSBalance off
    </If>
  </Location>
  ProxyPass /none-http/ {transport.member_url("http", raw, "/none-http/")} upgrade=NONE
  ProxyPass /none-ws/ {transport.member_url("ws", raw, "/none-ws/")} upgrade=NONE
</VirtualHost>
<VirtualHost *:{ports[1]}>
  ProxyRequests on
</VirtualHost>
<VirtualHost *:{ports[2]}>
  WSBalance off
  ProxyRequests on
  ProxyPass /none-http/ {transport.member_url("http", raw, "/none-http/")} upgrade=NONE
  ProxyPass /none-ws/ {transport.member_url("ws", raw, "/none-ws/")} upgrade=NONE
  <Location /on-inside/>
    WSBalance on
    ProxyPass {ws}
  </Location>
</VirtualHost>
<VirtualHost *:{ports[3]}>
  WSBalance off
  ProxyPass / {ws}
</VirtualHost>
""", listen=ports)


@pytest.mark.parametrize("port,path", [(0, "/on/"), (0, "/off/on-again/"), (0, "/if/"),
                                       (2, "/on-inside/")])
def test_on_wins_where_it_stands(server, port, path):
    """S0-04: the inner scope wins over the outer one."""
    with connected(server, path, port=server.listen[port]) as client:
        check_ours(server)
        assert client.ask("hello") == "hello"
    all_quiet(server)


@pytest.mark.parametrize("port,path,headers", [
    (0, "/off/", {}), (0, "/off-http/", {}), (0, "/if/", {"X-Without": "yes"}), (3, "/", {})])
def test_off_leaves_it_to_stock(server, port, path, headers):
    """S0-04: where WSBalance is off, mod_proxy_wstunnel or mod_proxy_http serve, as ever."""
    with connected(server, path, port=server.listen[port], extra_headers=headers) as client:
        assert client.ask("hello") == "hello"
        check_not_ours(server)
    all_quiet(server)


def test_off_for_the_whole_server(start_once, transport, echo_member):
    """A virtual host inherits it and may turn it on again."""
    ports = free_ports(2)
    ws = transport.member_url("ws", echo_member.port)
    server = start_once(f"""
WSBalance off
<VirtualHost *:{ports[0]}>
  ProxyPass / {ws}
</VirtualHost>
<VirtualHost *:{ports[1]}>
  WSBalance on
  ProxyPass / {ws}
</VirtualHost>
""", listen=ports)
    with connected(server, "/"):
        check_not_ours(server)
    all_quiet(server)
    with connected(server, "/", port=ports[1]):
        check_ours(server)


def exchange(server, port, member, request, answer):
    """Plays one request: what the member saw, what the client got."""
    with connect(port, server.transport) as client:
        client.send(request)
        connection = member.accept(client=client)
        seen = connection.read_head()
        connection.send(answer)
        with contextlib.suppress(OSError):  # It may have been closed already.
            connection.end_sending()
        got = client.read_head()
        connection.close()
        return seen, parse_head(got)


@pytest.mark.parametrize("scheme", ["http", "ws"])
def test_forward_proxy_requests_are_left_alone(server, transport, member, scheme):
    """S1-10: a request for `http://` or `ws://` by forward proxying is served as with
    `WSBalance off`, and is no tunnel of ours."""
    target = transport.member_url(scheme, member.port, "/x")
    on, off = server.listen[1], server.listen[2]
    results = [exchange(server, port, member, upgrade_request(target), switching())
               for port in (on, off)]
    assert results[0][0] == results[1][0]
    assert results[0][1].start_line == results[1][1].start_line
    if scheme == "ws":
        server.allow_log("AH0")  # Stock's own words for the end of its tunnel.
    else:
        server.allow_log("AH01102", "AH00898", "AH01097", "AH10")
    assert server.tunnels() == 0
    all_quiet(server)


@pytest.mark.parametrize("path", ["/none-http/x", "/none-ws/x"])
def test_upgrade_none_is_left_alone(server, member, path):
    """A worker with `upgrade=NONE` is served as with `WSBalance off`."""
    results = [exchange(server, port, member, upgrade_request(path), switching())
               for port in (server.listen[0], server.listen[2])]
    assert results[0][0] == results[1][0]
    assert results[0][1].start_line == results[1][1].start_line
    server.allow_log("AH01102", "AH00898")
    assert server.tunnels() == 0
    all_quiet(server)


def test_upgrade_none_stays_plain_http(server, member):
    """The handshake on an http route with `upgrade=NONE` is a plain request for the member."""
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    seen, head = exchange(server, server.port, member, upgrade_request("/none-http/x"), ok)
    assert head.status == 200
    assert not parse_head(seen).all("Upgrade")
    assert server.tunnels() == 0


def test_without_a_route_it_is_no_business_of_ours(server):
    """An upgrade for a URL that is not proxied is a 404 as ever."""
    with connect(server.port, server.transport) as client:
        client.send(upgrade_request("/elsewhere", key=KEY))
        assert read_response(client).status == 404
        client.send(get_request("/elsewhere"))
        assert read_response(client).status == 404
