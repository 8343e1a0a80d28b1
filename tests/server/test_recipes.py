"""The recipes of conf/recipes, as they are shipped. Those with programs of others are in
test_recipes_programs, MPM settings in test_recipes_mpm, three members in test_balancer_sections."""

import json
import pathlib
import re
import socket
import subprocess

import pytest

import recipes
from certificates import certificates
from frames import CLOSE, client_frame, close_payload, read_frame
from http_message import get_request, parse_head, read_response, upgrade_request
from node_peer import NodeMember
from ours import all_quiet, check_echo, check_ours
from ports import free_port, free_ports
from proxy_frames import answer_ping
from proxy_protocol import connect_through, version_1, version_2
from raw_peer import TIMEOUT, RawConnection, connect
from transport import TRANSPORTS
from waiting import wait_until
from ws_peer import EchoMember, connected
from ws_peer import connect as connect_to

pytestmark = [pytest.mark.transports("plain"), recipes.WITHOUT_SANITIZER,
              pytest.mark.parametrize("mpm", ["event"], indirect=True)]

PING = "WSBalancePing 30s 10s client"


@pytest.fixture
def start(start_once):
    """Starts a server with a recipe, its placeholders replaced, and the modules that it names."""
    def start_recipe(name, table, *, added="", **options):
        return start_once(recipes.text(name, table) + added, modules=recipes.modules(name),
                          **options)
    return start_recipe


def get(server, path, *, port=None, fields=()):
    with connect(port or server.port) as client:
        client.send(get_request(path, add=fields))
        return read_response(client)


def connect_from(address, port):
    """A raw client with this address of loopback."""
    return RawConnection(socket.create_connection(("127.0.0.1", port), TIMEOUT, (address, 0)))


@pytest.mark.parametrize("name", recipes.names())
def test_each_is_tested(mpm, name):  # pylint: disable=unused-argument
    """A recipe is a .conf that some test starts a server with, and that sends pings if tunnels meet
    the internet in it."""
    here = pathlib.Path(__file__).parent
    uses = [path.name for path in here.glob("test_*.py")
            if re.search(rf'(start|text|start_mpm)\(\s*"{re.escape(name)}"', path.read_text())]
    assert name.endswith(".conf") and uses, f"no test runs conf/recipes/{name}"
    lines = (recipes.FOLDER / name).read_text()
    assert "LoadModule" not in lines
    assert re.search(r"^ *WSBalancePing \d", lines, re.MULTILINE) or "mpm_event" in recipes.needs(name)


@pytest.mark.parametrize("name,added", [
    ("wsbalance-minimal.conf", ""),
    ("wsbalance-full.conf", 'ProxyPass "/" "http://127.0.0.1:3000/"\n')])
def test_smallest_and_largest(start_once, name, added):
    """The smallest configuration works, and the one with every directive takes nothing away; neither
    causes a warning."""
    with EchoMember("app") as member:
        lines = (recipes.FOLDER.parent / name).read_text() + added
        server = start_once(re.sub("^LoadModule.*", "", lines, flags=re.MULTILINE).replace(
            "127.0.0.1:3000", f"127.0.0.1:{member.port}"))
        assert check_echo(server, "/any/path?x", "/any/path?x") == "app"
        assert get(server, "/page").body == b"app /page"


def test_one_app(start):
    """Pages and WebSockets on the same URLs, the client's Host, pings."""
    with EchoMember("app") as member:
        port = free_port()
        server = start("one-app.conf", {"*:80>": f"*:{port}>", "127.0.0.1:3000":
                                        f"127.0.0.1:{member.port}"}, listen=[port])
        assert check_echo(server, "/any/path?x", "/any/path?x") == "app"
        page = get(server, "/any/path?x")
        assert page.status == 200 and page.body == b"app /any/path?x"
        with connected(server, "/") as client:
            assert ["Host", f"127.0.0.1:{port}"] in json.loads(client.ask("headers"))
        all_quiet(server)


def test_the_ping_line(start):
    """What each recipe says of pings: only clients get them, and their answers are enough."""
    with EchoMember() as member:
        port = free_port()
        server = start("one-app.conf", {
            "*:80>": f"*:{port}>", "127.0.0.1:3000": f"127.0.0.1:{member.port}",
            PING: PING.replace("30s", "100ms")}, listen=[port], added="""
WSBalanceLog tunnels.log "to client: %{pings_to_client}x to member: %{pings_to_member}x %{reason}x"
""")
        with connect(port) as client:
            client.send(upgrade_request("/"))
            assert parse_head(client.read_head()).status == 101
            for _ in range(3):
                answer_ping(client, "client")
            client.send(client_frame(CLOSE, close_payload(1000)))
            assert read_frame(client)[0] == CLOSE
        log = server.directory / "tunnels.log"
        wait_until(lambda: re.search(r"to client: [1-9]\d* to member: 0 client-close",
                                     log.read_text()), what="the line of the tunnel")


def test_wss_in_front(start):
    """TLS outside, HTTP/2 for pages, HSTS, X-Forwarded-Proto; everything without TLS is redirected,
    handshakes too, but for the path that is excepted."""
    with NodeMember() as member:
        plain, tls = free_ports(2)
        server = start("wss-in-front.conf", {
            "*:80>": f"*:{plain}>", "*:443>": f"*:{tls}>",
            **recipes.certificate_of("app.example.com"),
            "127.0.0.1:3000": f"127.0.0.1:{member.port}",
            '#ProxyPass "/device/"': 'ProxyPass "/device/"'}, listen=[plain, tls])
        for path in ("/a?b", "/device/a"):
            page = get(server, path)
            assert page.status == 301
            assert page.head.get("Location") == f"https://app.example.com{path}"
        with connect(plain) as client:
            client.send(upgrade_request("/a"))
            head = parse_head(client.read_head())
            assert head.status == 301 and head.get("Location") == "https://app.example.com/a"
        with connected(server, "/device/a") as client:
            assert client.ask("plain") == "plain"
            check_ours(server)
        all_quiet(server)
        transport = TRANSPORTS["tls-client"]
        with connect_to(transport.client_url(tls, "/a"), transport) as client:
            assert client.ask("with TLS") == "with TLS"
            assert "max-age=" in client.headers["Strict-Transport-Security"]
            check_ours(server)
        all_quiet(server)
        page = subprocess.run(
            ["curl", "-s", "--http2", "--cacert", certificates().authority, "-D", "/dev/stderr",
             f"https://127.0.0.1:{tls}/page"], check=True, capture_output=True, text=True, timeout=30)
        assert page.stderr.startswith("HTTP/2 200")
        assert "strict-transport-security: max-age=31536000" in page.stderr.lower()
        sent = json.loads(page.stdout)["headers"]
        assert sent[sent.index("X-Forwarded-Proto") + 1] == "https"
        assert sent[sent.index("Host") + 1] == f"127.0.0.1:{tls}"


WAYS = {"X-Forwarded-For": {}, "PROXY": {
    "#RemoteIPProxyProtocol On": "RemoteIPProxyProtocol On",
    "  RemoteIPHeader        X-F": "  #RemoteIPHeader X-F",
    "  RemoteIPInternalProxy": "  #RemoteIPInternalProxy"}}


@pytest.mark.parametrize("way", WAYS)
def test_behind_a_proxy(start, way):
    """The client's address that the proxy tells is in the log and at the member, and chooses the
    member; told by anybody else it is nothing. What the proxy says of https goes through."""
    with EchoMember("one") as one, EchoMember("two") as two:
        port = free_port()
        server = start("behind-a-proxy.conf", {
            "*:80>": f"*:{port}>", "203.0.113.0/24": "127.0.0.1", "#CustomLog": "CustomLog",
            "logs/": "", "192.0.2.1:3000": f"127.0.0.1:{one.port}",
            "192.0.2.2:3000": f"127.0.0.1:{two.port}", **WAYS[way]}, listen=[port])

        def ask(address, version=version_1):
            """Who serves this client, and the head that the member got."""
            fields = [("X-Forwarded-Proto", "https")]
            if way == "PROXY":
                client = connect_through(version(address, 40000), port)
            else:
                client = connect(port)
                fields.append(("X-Forwarded-For", address))
            with client:
                client.send(get_request("/", add=fields))
                name = read_response(client).body.split()[0]
                client.send(upgrade_request("/", add=fields))
                assert parse_head(client.read_head()).status == 101
            return name

        addresses = [f"198.51.{number}.7" for number in range(24)]
        chosen = [ask(address) for address in addresses]
        assert set(chosen) == {b"one", b"two"}
        assert [ask(address, version_2) for address in addresses] == chosen
        log = (server.directory / "access.log")
        for address in addresses[:2]:
            line = f"{address} via 127.0.0.1 "
            wait_until(lambda line=line: log.read_text().count(line) == 4, what=line)
        if way != "PROXY":
            with connected(server, "/", extra_headers={
                    "X-Forwarded-For": "198.51.9.7", "X-Forwarded-Proto": "https"}) as client:
                sent = json.loads(client.ask("headers"))
                assert ["X-Forwarded-For", "198.51.9.7"] in sent
                assert ["X-Forwarded-Proto", "https"] in sent
            with connect_from("127.0.0.2", port) as client:
                client.send(get_request("/", add=[("X-Forwarded-For", "198.51.8.9")]))
                assert read_response(client).status == 200
            wait_until(lambda: "127.0.0.2 via 127.0.0.2" in log.read_text(), what="its own address")
        all_quiet(server)


def test_path_prefix(start):
    """The path stays or is taken off; redirects and cookies get it back, on a 101 too."""
    with EchoMember("jupyter") as jupyter, NodeMember() as grafana:
        port = free_port()
        server = start("path-prefix.conf", {
            "*:80>": f"*:{port}>", "127.0.0.1:8888": f"127.0.0.1:{jupyter.port}",
            "127.0.0.1:3000": f"127.0.0.1:{grafana.port}"}, listen=[port])
        path = "/jupyter/api/kernels/1/channels?session_id=x"
        assert check_echo(server, path, path) == "jupyter"
        assert get(server, "/jupyter/lab").body == b"jupyter /jupyter/lab"
        page = get(server, "/grafana/d/1")
        assert json.loads(page.body)["url"] == "/d/1"
        assert page.head.all("Set-Cookie") == ["a=1; Path=/grafana/", "b=2; Path=/grafana/"]
        with connected(server, "/grafana/api/live/ws") as client:
            assert client.ask("x") == "x"
        assert get(server, "/grafana").head.get("Location").endswith("/grafana/")
        all_quiet(server)


def test_unix_socket(start, public_dir):
    """A member on a unix socket, with the client's Host."""
    path = public_dir / "app.sock"
    with EchoMember("app", path=path):
        path.chmod(0o777)
        port = free_port()
        server = start("unix-socket.conf", {"*:80>": f"*:{port}>", "/run/app/app.sock": path},
                       listen=[port])
        assert check_echo(server, "/a?b", "/a?b") == "app"
        assert get(server, "/page").body == b"app /page"
        with connected(server, "/") as client:
            assert ["Host", f"127.0.0.1:{port}"] in json.loads(client.ask("headers"))
        all_quiet(server)
