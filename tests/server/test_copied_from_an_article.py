"""docs/copied-from-an-article.md: every row of docs/requirements.md where a guide is wrong is on it,
every block of it loads, and those that it tells to write do what it says."""

import base64
import re

import pytest

import httpd_config
import manual
import ws_peer
from certificates import certificates
from http_message import get_request, read_response, upgrade_request
from httpd_env import Httpd
from issued_certificates import issued
from ours import check_echo
from ports import free_port, free_ports, release
from raw_peer import RawConnection, connect
from test_carrier_logs import json_lines
from tls_socket import TlsSocket
from transport import PLAIN, SESSION_CACHE
from waiting import wait_until
from ws_peer import EchoMember, connected

pytestmark = [pytest.mark.transports("plain"),
              pytest.mark.parametrize("mpm", ["event"], indirect=True)]

PAGE = "docs/copied-from-an-article.md"
BLOCKS = manual.configurations(PAGE)
MODULES = httpd_config.default_modules(add=["socache_shmcb", "ssl", "http2"])


ALL = [pytest.param(text, id=f"{manual.anchor(heading)}-{number}")
       for heading, texts in BLOCKS.items() for number, text in enumerate(texts, 1)]


class Places:
    """What stands in this machine's places of the page's ports and files."""

    def __init__(self, members, tls_port=1):
        self._members, self._tls_port = members, tls_port

    def __call__(self, text, ports=(80, 443)):
        def member_port(match):
            port = int(match[2])
            here = self._tls_port if port == 8443 else self._members[port].port
            return f"{match[1]}:{here}"

        text = re.sub(r"(//localhost):(\d+)", member_port, text)
        live = "/etc/letsencrypt/live/example.com"
        for written, here in [
                (f"{live}/fullchain.pem", certificates().certificate),
                (f"{live}/privkey.pem", certificates().key),
                ("/etc/ssl/certs/authority-of-members.pem", certificates().authority),
                ("*:80>", f"*:{ports[0]}>"), ("*:443>", f"*:{ports[1]}>"),
                ('"logs/', '"')]:
            text = text.replace(written, str(here))
        # Already loaded, from elsewhere.
        return re.sub(r"^LoadModule (\w+)_module .*$", lambda match: httpd_config.load_line(match[1]),
                      text, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def places():
    members = {port: EchoMember(f"on-{port}") for port in (3000, 3001, 3002, 8080)}
    with EchoMember("tls", ssl=issued("of-member").server_context()) as tls_member:
        yield Places(members, tls_member.port)
    for member in members.values():
        member.stop()


@pytest.fixture
def load(start_once, places):
    """Starts a server with a block of the page."""
    def load_block(heading, number, more=""):
        ports = free_ports(2)
        text = places(BLOCKS[heading][number - 1], ports)
        return start_once(f"{SESSION_CACHE}\n{text}\n{places(more)}", listen=ports, modules=MODULES)
    return load_block


APP = 'ProxyPass "/" "http://localhost:3000/"'


def status(server, path="/ws/x", add=(), request=upgrade_request):
    with connect(server.port, server.transport) as client:
        client.send(request(path, add=add))
        return read_response(client).status


def origin(value):
    return [("Origin", value)]


# -- The page itself ------------------------------------------------------------------------------

def test_every_row_is_on_the_page(mpm):
    """Those where a guide is wrong, and the table of what is not what it seems."""
    del mpm
    text, page = manual.read("docs/requirements.md"), manual.read(PAGE)
    wrong = set(re.findall(r"^\| (S\d-\d\d) \|.*?\| ✗ \|", text, re.MULTILINE))
    table = text[text.index("### 0 "):text.index("### 1 ")]
    for row in re.findall(r"^\| .*? \| (S\d.*?) \|", table, re.MULTILINE):
        wrong |= set(re.findall(r"S\d-\d\d", row))
    assert len(wrong) > 35
    assert not {row for row in wrong if row not in page}


@pytest.mark.parametrize("text", ALL)
def test_every_block_loads(mpm, places, text):
    """Also those of the guides."""
    port = free_port()
    server = Httpd(mpm, f"{SESSION_CACHE}\n{places(text, (port, port))}", listen=[port],
                   modules=MODULES)
    try:
        code, said = server.check_config()
        assert code == 0 and said.endswith("Syntax OK\n"), said
    finally:
        server.remove()
        release(port)


# -- What it tells to write -----------------------------------------------------------------------

def test_one_application(load):
    """S1-12, S1-55, S2-20: by rewrite rules, and without; two applications."""
    for number in (1, 2):
        server = load("One application, one port", number)
        assert check_echo(server, "/ws/x?y", "/ws/x?y") == "on-3000"
        assert status(server, request=get_request) == 200
    server = load("One application, one port", 3)
    assert check_echo(server, "/ws/x", "/x") == "on-8080"
    assert status(server, "/page", request=get_request) == 200


def test_balancer_paths(load):
    """S1-17, S2-40."""
    server = load("A balancer and its path", 2)
    names = {check_echo(server, "/ws/chat", "/chat") for _ in range(2)}
    assert names == {"on-3000", "on-3001"}
    check_echo(server, "/kept/ws/chat", "/ws/chat")


def test_members_with_tls(load):
    """S1-34, S2-24: with a certificate that is looked at."""
    assert check_echo(load("TLS with members", 3), "/ws/x", "/x") == "tls"


def test_from_ws_to_wss(load):
    """S1-46, S2-26: pages are redirected, handshakes get 426."""
    server = load("From ws:// to wss://", 2)
    assert status(server) == 426
    with connect(server.port, server.transport) as client:
        client.send(get_request("/page?a=b"))
        head = read_response(client).head
        assert head.status == 301 and head.get("Location") == "https://example.com/page?a=b"


MINE, OTHER = "https://example.com", "https://example.com.evil.test"


def test_header_in_the_101(load):
    """S0-22."""
    server = load("Upgrade and Connection by Header", 2, APP)
    with connect(server.port, server.transport) as client:
        client.send(upgrade_request("/ws/x"))
        assert read_response(client).head.get("Strict-Transport-Security") == "max-age=31536000"


@pytest.mark.parametrize("number, page, nobody", [(2, 403, 403), (3, 200, 403), (4, 200, 101),
                                                  (5, 403, 403)])
def test_origins(load, number, page, nobody):
    """S0-14, S0-15, S0-21, S0-26, S0-38: own pages get a tunnel, foreign ones 403, whatever their
    names look like; what a request without an Origin gets."""
    server = load("Which pages may connect", number, APP)
    server.expect_log("AH01630")
    with connected(server, "/ws/x", origin=MINE) as client:
        assert client.ask("path") == "/ws/x"
    for foreign in (OTHER, "https://evil.test", "http://example.com", "null"):
        assert status(server, add=origin(foreign)) == 403
    assert status(server) == nobody
    assert status(server, request=get_request) == page


def test_a_secret_for_the_member(load):
    """S0-27: it goes to the member, and not to the client."""
    server = load("A secret for the application", 2, APP)
    with connected(server, "/ws/x", extra_headers={"X-Auth-Token": "forged"}) as client:
        fields = client.ask("headers")
        assert '"your_api_token"' in fields and "forged" not in fields
        assert "X-Auth-Token" not in client.headers


def test_a_token_of_the_user(load):
    """S0-27, S0-17: from a cookie or the query, and from nowhere else."""
    server = load("A secret for the application", 3, APP)
    own = {"Authorization": "Basic " + base64.b64encode(b"a:b").decode()}
    for path, headers, token in [
            ("/ws/x?a=b&token=one", {}, "one"), ("/ws/x", {"Cookie": "a=b; token=two"}, "two"),
            ("/ws/x?token=one", {"Cookie": "token=two"}, "two"), ("/ws/x?mytoken=one", own, None)]:
        with connected(server, path, extra_headers=headers) as client:
            fields = client.ask("headers")
            assert (f'"Bearer {token}"' if token else '["Host"') in fields
            assert ("Authorization" in fields) == bool(token)


def test_least_connections_and_ip_hash(load):
    """S1-20, S1-23: the one with twice the factor gets twice as much; an address has its member."""
    server = load("How a member is chosen", 1)
    clients = [connected(server, "/ws/x") for _ in range(6)]
    names = sorted(client.ask("who") for client in clients)
    assert names == ["on-3000"] * 2 + ["on-3001"] * 4
    for client in clients:
        client.close()
    assert len({check_echo(server, "/hash/x", "/x") for _ in range(3)}) == 1


def test_sticky(load):
    """S1-20, S1-21, S1-33: a client that comes back with the cookie gets its member."""
    server = load("The same client to the same member", 2)
    for _ in range(3):
        with connected(server, "/x") as client:
            name, cookie = client.ask("who"), client.headers["Set-Cookie"].partition(";")[0]
        assert cookie.startswith("ROUTE=")
        for _ in range(2):
            assert check_echo(server, "/x", "/x", extra_headers={"Cookie": cookie}) == name


def test_preferred(load):
    """S1-35: the first one takes all, and not only what nobody else can."""
    server = load("A member that is preferred", 2)
    assert [check_echo(server, "/ws/x", "/x") for _ in range(3)] == ["on-3000"] * 3


def test_health(load):
    """S1-18, S1-19."""
    server = load("Members that fail", 1)
    assert {check_echo(server, "/ws/x", "/x") for _ in range(3)} == {"on-3000", "on-3001", "on-3002"}


@pytest.mark.parametrize("number", [1, 2], ids=["guide", "instead"])
def test_timeouts(load, number):
    """S1-53, S2-38."""
    check_echo(load("Tunnels that are cut", number, APP), "/ws/x", "/ws/x")


def test_logs(load):
    """S1-37, S1-38, S2-08: the member and the tunnel's id come with the 101, its end in the other
    log; who was refused by httpd has no member."""
    server = load("Which member, who, and for how long", 1,
                  APP + '\n<Location "/no/">\nRequire all denied\n</Location>')
    server.expect_log("AH01630")
    access = server.directory / "access.log"
    with connected(server, "/ws/x"):
        line = r'"GET /ws/x HTTP/1.1" 101 \S+ attempts=1 ([0-9a-f]{16})\n'
        found = wait_until(lambda: re.search(line, access.read_text(encoding="utf-8")))
    ends = wait_until(lambda: json_lines(server.directory / "tunnels.json"))
    assert [end["tunnel"] for end in ends.values()] == [found[1]]
    assert status(server, "/no/x") == 403
    wait_until(lambda: '"GET /no/x HTTP/1.1" 403 - attempts=- -\n'
               in access.read_text(encoding="utf-8"), what="the line of the refusal")


def test_the_whole_of_it(load):
    """S0-42, S1-59, S2-45."""
    server = load("The whole of it", 1)
    assert server.check_config() == (0, "Syntax OK\n")

    def wss(**options):
        return ws_peer.connect("wss://example.com/ws/", host="127.0.0.1", port=server.listen[1],
                               server_hostname="example.com", ssl=certificates().client_context,
                               origin=MINE, **options)

    with wss() as first, wss() as second, wss() as third:
        assert len({client.ask("who") for client in (first, second, third)}) == 3
        name, cookie = second.ask("who"), second.headers["Set-Cookie"].partition(";")[0]
        with wss(extra_headers={"Cookie": cookie}) as client:
            assert client.ask("who") == name and client.ask("path") == "/ws/"
    server.expect_log("AH01630")
    with RawConnection(TlsSocket(PLAIN.connect(server.listen[1]), certificates().client_context,
                                 "example.com")) as client:
        client.sock.handshake()
        client.send(upgrade_request("/ws/", host="example.com", add=origin(OTHER)))
        assert read_response(client).status == 403
    assert status(server, request=get_request) == 301
