"""The configurations that people copy from three widely read guides, as they stand there; only
their ports are others (rows S0-*, S1-*, S2-*)."""

import re

import pytest

from http_message import get_request, parse_head, read_response, upgrade_request
from ours import all_quiet, check_echo, check_ours
from ports import free_port
from raw_peer import connect
from transport import under
from waiting import wait_until
from ws_peer import EchoMember, connected

S0_08 = """
<VirtualHost *:80>
    ServerName example.com
    ProxyPreserveHost On
    ProxyPass /ws/ ws://localhost:3000/
    ProxyPassReverse /ws/ ws://localhost:3000/
</VirtualHost>
"""

S0_09 = """
<VirtualHost *:80>
    ServerName example.com
    ProxyPreserveHost On
    ProxyPass /ws/ ws://localhost:3000/
    ProxyPassReverse /ws/ ws://localhost:3000/
    <Location /ws/>
        Require all granted
    </Location>
</VirtualHost>
"""

S0_20 = """
<VirtualHost *:80>
    ServerName example.com
    ProxyPass /ws/ ws://localhost:3000/
    ProxyPassReverse /ws/ ws://localhost:3000/
    ProxyPass /http/ http://localhost:3000/
    <Location />
        Header set Upgrade "websocket"
        Header set Connection "Upgrade"
        Header always set Access-Control-Allow-Origin "https://example.com"
    </Location>
</VirtualHost>
"""

S1_12 = """
<VirtualHost *:80>
    ServerName example.com
    ProxyRequests Off
    ProxyPreserveHost On
    ProxyPass / http://localhost:3000/
    ProxyPassReverse / http://localhost:3000/
    <Location /ws>
        ProxyPass ws://localhost:3000/ws
        ProxyPassReverse ws://localhost:3000/ws
    </Location>
    ErrorLog ${APACHE_LOG_DIR}/websocket_error.log
    CustomLog ${APACHE_LOG_DIR}/websocket_access.log combined
</VirtualHost>
"""

S1_17 = """
<VirtualHost *:80>
    ServerName example.com
    ProxyRequests Off
    ProxyPreserveHost On
    <Proxy balancer://websocketcluster>
        BalancerMember ws://localhost:3000
        BalancerMember ws://localhost:3001
        BalancerMember ws://localhost:3002
    </Proxy>
    <Location /ws>
        ProxyPass balancer://websocketcluster
        ProxyPassReverse balancer://websocketcluster
    </Location>
</VirtualHost>
"""

S1_27 = """
<Proxy balancer://websocketcluster>
    BalancerMember ws://localhost:3000
    BalancerMember ws://localhost:3001
    BalancerMember ws://localhost:3002
</Proxy>
<VirtualHost *:80>
    ServerName example.com
    ProxyRequests Off
    ProxyPreserveHost On
    <Location /ws>
        ProxyPass balancer://websocketcluster
        ProxyPassReverse balancer://websocketcluster
    </Location>
</VirtualHost>
"""

S2_16 = """
<VirtualHost *:80>
    ServerName example.com
    ProxyPreserveHost On
    ProxyRequests Off
    <Location /ws/>
        ProxyPass ws://localhost:8080/
        ProxyPassReverse ws://localhost:8080/
    </Location>
    ProxyPass / http://localhost:3000/
    ProxyPassReverse / http://localhost:3000/
</VirtualHost>
"""

S2_20 = """
<VirtualHost *:80>
    ServerName example.com
    ProxyPreserveHost On
    ProxyRequests Off
    ProxyPass / http://localhost:3000/
    ProxyPassReverse / http://localhost:3000/
    <Location /ws/>
        ProxyPass ws://localhost:8080/
        ProxyPassReverse ws://localhost:8080/
    </Location>
    ErrorLog ${APACHE_LOG_DIR}/example.com-error.log
    CustomLog ${APACHE_LOG_DIR}/example.com-access.log combined
</VirtualHost>
"""

S1_35 = S1_17.replace("localhost:3000\n", "localhost:3000 status=+H\n")

S2_40 = """
<VirtualHost *:80>
    ServerName example.com
    <Proxy balancer://mycluster>
        BalancerMember ws://localhost:3000
        BalancerMember ws://localhost:3001
    </Proxy>
    ProxyPass /ws/ balancer://mycluster
</VirtualHost>
"""

S2_40_IN_LOCATION = S2_40.replace("ProxyPass /ws/ balancer://mycluster", """<Location "/ws/">
        ProxyPass balancer://mycluster
    </Location>""")

# What Debian's apache2.conf and envvars bring along.
DEBIAN = r"""
Define APACHE_LOG_DIR .
LogFormat "%h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\"" combined
"""


@pytest.fixture(scope="module")
def members(transport):
    """Members by the ports that the guides give them."""
    found = {port: EchoMember(f"on-{port}", transport) for port in (3000, 3001, 3002, 8080)}
    yield found
    for member in found.values():
        member.stop()


@pytest.fixture
def load(start_once, transport, members):
    """Starts a server with a guide's lines, its ports replaced by free ones, and the
    schemes of members by the transport's. `localhost` is ::1
    first, where no member listens: that must not matter."""
    def member_url(match):
        scheme, port = match.groups()
        return f"{transport.member_scheme(scheme)}://localhost:{members[int(port)].port}"

    def load_lines(text):
        port = free_port()
        text = text.replace("*:80>", f"*:{port}>")
        text = re.sub(r"\b(ws|http)://localhost:(\d+)", member_url, text)
        return start_once(DEBIAN + text, listen=[port])
    return load_lines


def get(server, path):
    with connect(server.port, server.transport) as client:
        client.send(get_request(path, host="example.com"))
        return read_response(client)


@pytest.mark.parametrize("text", [S0_08, S0_09], ids=["S0-08", "S0-09"])
def test_s0_plain_proxying(load, text):
    """S0-08, S0-09, S0-10: /ws/x reaches /x; the Host field is the client's; a GET gets 426."""
    server = load(text)
    for _ in range(3):
        check_echo(server, "/ws/x?y", "/x?y")
    with connected(server, "/ws/x", extra_headers={"X-Nothing": "1"}) as client:
        assert f'["Host", "127.0.0.1:{server.port}"]' in client.ask("headers")
    assert get(server, "/ws/x").status == 426


def test_s0_09_denied(load):
    """S0-09: the same with `Require all denied` is a plain 403."""
    server = load(S0_09.replace("granted", "denied"))
    server.expect_log("AH01630")
    with connect(server.port, server.transport) as client:
        client.send(upgrade_request("/ws/x"))
        assert read_response(client).status == 403


def test_s0_12_the_required_fields(load):
    """S0-11, S0-12: `Connection` is a list, as Firefox sends it; without it: a plain request."""
    server = load(S0_08)
    with connect(server.port, server.transport) as client:
        client.send(upgrade_request("/ws/", change={"Connection": "keep-alive, Upgrade"}))
        assert parse_head(client.read_head()).status == 101
        check_ours(server)
    all_quiet(server)
    with connect(server.port, server.transport) as client:
        client.send(upgrade_request("/ws/", drop=["Connection"]))
        assert read_response(client).status == 426


def test_s0_20_upgrade_fields_by_header(load):
    """S0-20, S0-22: `Header set Upgrade` and `Connection` do no harm to the 101, and what else
    `Header always set` says is in it. No other answer of the ws route offers an upgrade by it."""
    server = load(S0_20)
    check_echo(server, "/ws/x", "/x")
    with connect(server.port, server.transport) as client:
        client.send(upgrade_request("/ws/x"))
        head = parse_head(client.read_head())
        assert head.all("Upgrade") == ["websocket"] and head.tokens("Connection") == ["upgrade"]
        assert head.get("Access-Control-Allow-Origin") == "https://example.com"


@pytest.mark.parametrize("text", [S1_12, S1_12.replace("ProxyPreserveHost On", "")],
                         ids=["S1-12", "S1-12 without ProxyPreserveHost"])
def test_s1_location_behind_the_flat_line(load, text):
    """S1-10, S1-11, S1-12, S1-14, S1-25: works in this order; the same URL serves HTTP too."""
    server = load(text)
    check_echo(server, "/ws", "/ws")
    check_echo(server, "/ws/a?b", "/ws/a?b")
    page = get(server, "/page")
    assert page.status == 200 and page.body == b"on-3000 /page"
    page = get(server, "/ws")
    assert page.status == 200 and page.body == b"on-3000 /ws"
    log = server.directory / "websocket_access.log"
    for line in ('"GET /ws/a?b HTTP/1.1" 101', '"GET /page HTTP/1.1" 200'):
        wait_until(lambda line=line: line in log.read_text(), what=line)


@pytest.mark.httpd_has("2.4.62", "a child that starts leaves the counts of byrequests alone",
                       mpm="prefork")
@pytest.mark.parametrize("text", [S1_17, S1_27], ids=["S1-17", "S1-27"])
def test_s1_balancer(load, text):
    """S1-17, S1-27: three members in turn, the path `/ws` taken off; also with the balancer outside
    of the virtual host."""
    server = load(text)
    names = [check_echo(server, "/ws", "/") for _ in range(3)]
    names += [check_echo(server, "/ws/a", "/a") for _ in range(3)]
    assert sorted(names) == ["on-3000"] * 2 + ["on-3001"] * 2 + ["on-3002"] * 2


@under("event-plain")
def test_s1_35_the_first_one_is_a_standby(load):
    """S1-35: it is asked when nobody else is left, as in stock httpd; and a line says so."""
    server = load(S1_35)
    names = [check_echo(server, "/ws/a", "/a") for _ in range(4)]
    assert sorted(names) == ["on-3001"] * 2 + ["on-3002"] * 2
    server.expect_log(r"WSB0019: balancer://websocketcluster: its first member, \S+, is a hot standby")


@under("event-plain")
@pytest.mark.parametrize("text", [S2_40, S2_40_IN_LOCATION, S2_40.replace("/ws/", "/")],
                         ids=["S2-40", "in Location", "of all"])
def test_s2_balancer_without_a_slash(load, text):
    """S2-40: what follows the path of the route follows the balancer's name too; even shares."""
    server = load(text)
    base = "/" if "/ws/" not in text else "/ws/"
    names = [check_echo(server, base + "chat/a?b", "/chat/a?b") for _ in range(4)]
    names += [check_echo(server, base, "/") for _ in range(2)]
    assert sorted(names) == ["on-3000"] * 3 + ["on-3001"] * 3
    server.expect_log(rf"WSB0018: ProxyPass {base} balancer://mycluster: taken for \S+/ ")


@pytest.mark.parametrize("text", [S2_16, S2_20], ids=["S2-16", "S2-20"])
def test_s2_location_and_flat_line(load, text):
    """S2-16, S2-17, S2-20, S2-21: HTTP goes to 3000, WebSocket to 8080, in either order."""
    server = load(text)
    assert check_echo(server, "/ws/chat", "/chat") == "on-8080"
    page = get(server, "/page")
    assert page.status == 200 and page.body == b"on-3000 /page"
    with connected(server, "/elsewhere") as client:
        assert client.ask("who") == "on-3000"
