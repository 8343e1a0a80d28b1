"""The configurations with TLS and HTTP/2 that people copy from three widely read guides, as they
stand there; only ports and files are others (rows S0-*, S1-*, S2-*). Where a guide's lines do not
work, a test shows what is said about it, and the lines that do."""

import re
import shutil
import ssl
import subprocess

import pytest
import websockets

import h2_peer
import httpd_config
import ws_peer
from certificates import certificates
from frames import CLOSE, TEXT, client_frame, close_payload, read_frame
from http_message import get_request, parse_head, read_response, upgrade_request
from issued_certificates import issued
from node_peer import run_client
from ours import all_quiet, check_ours
from ports import free_ports
from raw_peer import RawConnection, connect
from tls_socket import TlsSocket
from transport import PLAIN, SESSION_CACHE, TRANSPORTS
from waiting import SLOWNESS, wait_until
from ws_peer import EchoMember

# TLS is a matter of the virtual hosts here.
pytestmark = [pytest.mark.transports("plain"),
              pytest.mark.parametrize("mpm", ["event"], indirect=True)]

MODULES = httpd_config.default_modules(add=["socache_shmcb", "ssl"])

LIVE = "/etc/letsencrypt/live/example.com"
CERTIFICATE = f"""
    SSLEngine on
    SSLCertificateFile {LIVE}/fullchain.pem
    SSLCertificateKeyFile {LIVE}/privkey.pem
"""

S0_23 = f"""
<VirtualHost *:443>
    ServerName example.com
{CERTIFICATE}
    ProxyPreserveHost On
    ProxyPass /wss/ ws://localhost:3000/
    ProxyPassReverse /wss/ ws://localhost:3000/
</VirtualHost>
"""

S0_24 = S0_23.replace("</VirtualHost>", """
    <Location />
        Header set Upgrade "websocket"
        Header set Connection "Upgrade"
        Header always set Strict-Transport-Security "max-age=31536000"
    </Location>
</VirtualHost>""")

S1_13 = f"""
<VirtualHost *:443>
    ServerName example.com
{CERTIFICATE}
    ProxyRequests Off
    ProxyPreserveHost On
    ProxyPass / https://localhost:3000/
    ProxyPassReverse / https://localhost:3000/
    <Location /ws>
        ProxyPass wss://localhost:3000/ws
        ProxyPassReverse wss://localhost:3000/ws
    </Location>
</VirtualHost>
"""

S1_34 = f"""
<VirtualHost *:443>
    ServerName example.com
{CERTIFICATE}
    ProxyRequests Off
    ProxyPreserveHost On
    <Proxy balancer://websocketcluster>
        BalancerMember wss://localhost:3000
        BalancerMember wss://localhost:3001
        BalancerMember wss://localhost:3002
    </Proxy>
    <Location /ws>
        ProxyPass balancer://websocketcluster
        ProxyPassReverse balancer://websocketcluster
    </Location>
</VirtualHost>
"""

# The same with the balancer in front of the virtual host, as S1-27 has it.
BALANCER = re.search(r" *<Proxy .*</Proxy>\n", S1_34, re.DOTALL)[0]
S1_34_OUTSIDE = BALANCER + S1_34.replace(BALANCER, "")

S2_24 = f"""
<VirtualHost *:443>
    ServerName example.com
{CERTIFICATE}
    ProxyPreserveHost On
    ProxyRequests Off
    ProxyPass / wss://localhost:8080/
    ProxyPassReverse / wss://localhost:8080/
</VirtualHost>
"""

S1_46 = """
<VirtualHost *:80>
    ServerName example.com
    RewriteEngine On
    RewriteRule ^(.*)$ https://%{HTTP_HOST}$1 [R=301,L]
</VirtualHost>
"""

S2_26 = """
<VirtualHost *:80>
    ServerName example.com
    Redirect permanent / https://example.com/
</VirtualHost>
"""

BALANCED = [f"wss://localhost:{port}" for port in (3000, 3001, 3002)]

# What a guide's TLS with members lacks.
ENGINE = "SSLProxyEngine on\n"
TRUST = "SSLProxyVerify require\nSSLProxyCACertificateFile {authority}\n"


@pytest.fixture(scope="module")
def members():
    """Members by the ports that the guides give them."""
    found = {port: EchoMember(f"on-{port}") for port in (3000, 3001, 3002, 8080)}
    yield found
    for member in found.values():
        member.stop()


class TlsMembers:
    """The same with TLS, and what httpd asked them for."""

    def __init__(self):
        self.names = []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificates().certificate, certificates().key)
        self.context.set_alpn_protocols(["h2", "http/1.1"])
        self.context.sni_callback = lambda _, asked, __: self.names.append(asked)
        self.by_port = {port: EchoMember(f"on-{port}", ssl=self.context)
                        for port in (3000, 3001, 3002, 8080)}

    def chosen_protocols(self):
        """By ALPN, with the tunnels that are open."""
        found = [socket.transport.get_extra_info("ssl_object").selected_alpn_protocol()
                 for member in self.by_port.values() for socket in member.open_sockets]
        assert found
        return found


@pytest.fixture(scope="module")
def tls_members():
    found = TlsMembers()
    yield found
    for member in found.by_port.values():
        member.stop()


def with_free_ports(text, by_port):
    return re.sub(r"(//localhost):(\d+)",
                  lambda match: f"{match[1]}:{by_port[int(match[2])].port}", text)


@pytest.fixture
def load(start_once, members):
    """Starts a server with a guide's lines; those `in_host` are added to the TLS virtual host."""
    def load_lines(text, *, in_host="", by_port=None, add=(), files=None):
        ports, files = free_ports(2), files or certificates()
        for written, here in [
                ("*:80>", f"*:{ports[0]}>"), ("*:443>", f"*:{ports[1]}>\n{in_host}"),
                (f"{LIVE}/fullchain.pem", files.certificate), (f"{LIVE}/privkey.pem", files.key),
                ("{authority}", certificates().authority)]:
            text = text.replace(written, str(here))
        text = with_free_ports(text, by_port or members)
        return start_once(f"{SESSION_CACHE}\n{text}", listen=ports, modules=MODULES + tuple(add))
    return load_lines


def https_port(server):
    return server.listen[1]


# -- Clients --------------------------------------------------------------------------------------

def wss(server, path, context=None, **options):
    """python3-websockets at wss://example.com, wherever that is."""
    return ws_peer.connect(f"wss://example.com{path}", host="127.0.0.1", port=https_port(server),
                           server_hostname="example.com",
                           ssl=context or certificates().client_context, **options)


def check_wss(server, path, member_path):
    """A tunnel over TLS is ours and reaches the member; returns its name."""
    with wss(server, path) as client:
        assert client.ask("path") == member_path
        name = client.ask("who")
        check_ours(server)
        assert client.ask("still here?") == "still here?"
    all_quiet(server)
    return name


def tls_client(server):
    """A raw client."""
    sock = TlsSocket(PLAIN.connect(https_port(server)), certificates().client_context,
                     "example.com")
    sock.handshake()
    return RawConnection(sock)


def ask_wss(server, request):
    with tls_client(server) as client:
        client.send(request)
        return read_response(client)


def get(server, path):
    return ask_wss(server, get_request(path, host="example.com"))


def s_client(server, path, *options):
    """`openssl s_client` asks for a WebSocket and closes it: (exit code, what came, what it says
    about TLS)."""
    request = upgrade_request(path, host="example.com")
    close = client_frame(CLOSE, close_payload(1000))
    result = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{https_port(server)}",
         "-servername", "example.com", "-verify_hostname", "example.com", "-verify_return_error",
         "-CAfile", certificates().authority, "-brief", "-ign_eof", *options],
        input=request + close, capture_output=True, timeout=10 * SLOWNESS, check=False)
    return result.returncode, result.stdout, result.stderr.decode()


# -- TLS at httpd ---------------------------------------------------------------------------------

def test_s0_23_tls_outside_plain_text_inside(load):
    """S0-06, S0-23, S0-25, S2-06: works, and the member learns that the client has TLS."""
    server = load(S0_23)
    assert server.check_config() == (0, "Syntax OK\n")
    assert check_wss(server, "/wss/x?y", "/x?y") == "on-3000"
    with wss(server, "/wss/x") as client:
        fields = client.ask("headers")
        assert '["X-Forwarded-Proto", "https"]' in fields and '["Host", "example.com"]' in fields
    assert get(server, "/wss/x").status == 426


def test_s0_25_it_is_the_ssl_engine(load):
    """S0-25: ProxyPass alone makes no wss://, whatever the path is called."""
    server = load(S0_23.replace(CERTIFICATE, ""))
    with pytest.raises(ssl.SSLError):
        wss(server, "/wss/x")
    with ws_peer.connect(f"ws://127.0.0.1:{https_port(server)}/wss/x") as client:
        assert client.ask("path") == "/x"


def test_s0_24_upgrade_fields_by_header(load):
    """S0-24: as without TLS, no harm to the 101, and what else is set there is in it."""
    server = load(S0_24)
    check_wss(server, "/wss/x", "/x")
    with tls_client(server) as client:
        client.send(upgrade_request("/wss/x", host="example.com"))
        head = parse_head(client.read_head())
        assert head.all("Upgrade") == ["websocket"] and head.tokens("Connection") == ["upgrade"]
        assert head.get("Strict-Transport-Security") == "max-age=31536000"


def test_s0_32_s_client(load):
    """S0-32: what openssl says about the certificate, and a tunnel by it."""
    server = load(S0_23)
    code, came, tls = s_client(server, "/wss/x")
    assert code == 0 and came.startswith(b"HTTP/1.1 101 "), (came, tls)
    assert "Verification: OK" in tls and "Protocol version: TLSv1.3" in tls
    assert came.endswith(b"\x88\x02\x03\xe8"), "the member's close frame"
    all_quiet(server)


def test_s0_39_the_names_in_a_certificate(load):
    """S0-39: the names are those of subjectAltName; a CN beside them counts for nothing."""
    server = load(S0_23)  # Its CN is another.
    check_wss(server, "/wss/x", "/x")
    named = issued("by-cn-only", subject="/CN=example.com", names="subjectAltName=DNS:elsewhere")
    assert "example.com" in subprocess.run(
        ["openssl", "x509", "-noout", "-subject", "-in", named.certificate], check=True,
        capture_output=True, text=True).stdout
    server = load(S0_23, files=named)
    with pytest.raises(ssl.SSLCertVerificationError, match="not valid for 'example.com'"):
        wss(server, "/wss/x")
    code, came, tls = s_client(server, "/wss/x")
    assert code != 0 and not came and "hostname mismatch" in tls.lower()


def test_s1_52_https_and_wss_on_one_port(load):
    """S1-52: they are no conflict, also not at once or on one connection."""
    server = load(S1_13.replace("https://", "http://").replace("wss://", "ws://"))
    with wss(server, "/ws/a") as client:
        assert get(server, "/page").body == b"on-3000 /page"
        assert client.ask("path") == "/ws/a"
    with tls_client(server) as client:
        for request in (get_request("/page"), upgrade_request("/ws")):
            client.send(request)
            assert read_response(client).status == (200 if b"/page" in request else 101)
        check_ours(server)
    all_quiet(server)


def test_s1_44_protocols_and_ciphers(load):
    """S1-44: both hosts of this server take TLS 1.1 if they are asked to; the guide's lines do
    not, and choose the cipher in their own order. With members: test_tls_member."""
    lines = "SSLCipherSuite HIGH:!aNULL:!MD5:@SECLEVEL=0\nSSLHonorCipherOrder {}\n"
    old = ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
    mine = ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384")
    server = load(S0_23, in_host=lines.format("off") + "SSLProtocol all -SSLv3")
    for options, expected in [(old, "TLSv1.1"), (("-tls1_2", "-cipher", ":".join(mine)), mine[0])]:
        code, came, tls = s_client(server, "/wss/x", *options)
        assert code == 0 and b" 101 " in came and expected in tls, tls

    server = load(S0_23,
                  in_host=lines.format("on") + "SSLProtocol all -SSLv3 -TLSv1 -TLSv1.1")
    code, came, tls = s_client(server, "/wss/x", *old)
    assert code != 0 and not came and "protocol version" in tls, tls
    for options, expected in [(("-tls1_2", "-cipher", ":".join(mine)), mine[1]), ((), "TLSv1.3")]:
        code, came, tls = s_client(server, "/wss/x", *options)
        assert code == 0 and b" 101 " in came and expected in tls, tls
    code, came, tls = s_client(server, "/wss/x", "-tls1_2", "-cipher", "aNULL:@SECLEVEL=0")
    assert code != 0 and not came, tls
    all_quiet(server)


@pytest.mark.parametrize("websockets_over_h2", [
    False, pytest.param(True, marks=h2_peer.needs_websockets)], ids=["as it stands", "H2WebSockets"])
def test_s1_45_http2_on_the_same_host(load, websockets_over_h2):
    """S1-45: WebSocket works over http/1.1 beside it, and over h2 with `H2WebSockets on`."""
    text = S1_13.replace("https://", "http://").replace("wss://", "ws://")
    server = load(text, add=["http2"], in_host="Protocols h2 h2c http/1.1\n"
                  + "H2WebSockets on" * websockets_over_h2)
    check_wss(server, "/ws/a", "/ws/a")
    with h2_peer.connect(https_port(server), tls=True) as client:
        assert client.get("/page").body == b"on-3000 /page"
        assert client.has_connect_protocol == websockets_over_h2
        if websockets_over_h2:
            stream = client.websocket("/ws/b")
            stream.send(client_frame(TEXT, b"path"))
            assert read_frame(stream) == (TEXT, b"/ws/b", True)
            wait_until(lambda: server.tunnels() == 1, what="the tunnel to be ours")
        # What a browser does where h2 offers no WebSocket: another connection, by http/1.1.
        with wss(server, "/ws/c", h2_peer.tls_context("http/1.1")) as other:
            assert other.ask("path") == "/ws/c"
        assert client.get("/page").status == 200


# -- From http to https ---------------------------------------------------------------------------

# What certbot makes of a site's file, and the copy that it adds.
CERTBOT_80 = """
<VirtualHost *:80>
    ServerName example.com
    ProxyPreserveHost On
    ProxyPass /ws/ ws://localhost:3000/
    ProxyPassReverse /ws/ ws://localhost:3000/
RewriteEngine on
RewriteCond %{SERVER_NAME} =example.com
RewriteRule ^ https://%{SERVER_NAME}%{REQUEST_URI} [END,NE,R=permanent]
</VirtualHost>
"""

CERTBOT_443 = """
<IfModule mod_ssl.c>
<VirtualHost *:443>
    ServerName example.com
    ProxyPreserveHost On
    ProxyPass /ws/ ws://localhost:3000/
    ProxyPassReverse /ws/ ws://localhost:3000/

SSLCertificateFile /etc/letsencrypt/live/example.com/fullchain.pem
SSLCertificateKeyFile /etc/letsencrypt/live/example.com/privkey.pem
Include {directory}/options-ssl-apache.conf
</VirtualHost>
</IfModule>
"""

CERTBOT_OPTIONS = r"""
SSLEngine on
SSLProtocol             all -SSLv2 -SSLv3 -TLSv1 -TLSv1.1
SSLCipherSuite          ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256
SSLHonorCipherOrder     off
SSLSessionTickets       off
SSLOptions +StrictRequire
LogFormat "%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-agent}i\"" vhost_combined
LogFormat "%v %h %l %u %t \"%r\" %>s %b" vhost_common
"""


def check_redirected(server, path):
    """A WebSocket over plain text gets a 301 and no tunnel; at its target there is one."""
    with connect(server.port) as client:
        client.send(upgrade_request(path, host="example.com"))
        head = read_response(client).head
        assert head.status == 301 and not head.all("Upgrade")
        target = head.get("Location")
        assert target == f"https://example.com{path}"
        client.send(get_request("/page", host="example.com"))
        assert read_response(client).head.get("Location") == "https://example.com/page"
    # A library that follows redirects finds no WebSocket URL there; browsers do not follow.
    with pytest.raises((websockets.InvalidURI, websockets.InvalidStatusCode)):
        ws_peer.connect(f"ws://example.com{path}", host="127.0.0.1", port=server.port)
    assert server.tunnels() == server.handshakes() == 0
    check_wss(server, target.partition("example.com")[2], "/x")


@pytest.mark.parametrize("text", [S1_46, S2_26], ids=["S1-46", "S2-26"])
def test_s1_46_redirect_to_https(load, text):
    """S1-46, S2-26, S2-27: the redirect wins, so clients have to write wss:// themselves."""
    check_redirected(load(text + S0_23.replace("/wss/", "/ws/")), "/ws/x")


def test_s1_42_certbot(load, tmp_path):
    """S1-42: its copy of the site's file works, and the old one only redirects."""
    (tmp_path / "options-ssl-apache.conf").write_text(CERTBOT_OPTIONS)
    text = CERTBOT_80 + CERTBOT_443.replace("{directory}", str(tmp_path))
    server = load(text)
    assert server.check_config() == (0, "Syntax OK\n")
    check_redirected(server, "/ws/x")


# -- TLS with members -----------------------------------------------------------------------------

@pytest.mark.parametrize("text,named", [
    (S1_13, ["https://localhost:3000/", "wss://localhost:3000/ws"]),
    (S1_34, BALANCED), (S1_34_OUTSIDE, BALANCED), (S2_24, ["wss://localhost:8080/"])],
    ids=["S1-13", "S1-34", "S1-34 outside", "S2-24"])
def test_members_with_tls_and_no_engine(load, members, text, named):
    """S1-13, S1-26, S1-34, S1-43, S2-24: `httpd -t` names each member, as the start does, and a
    handshake gets 500."""
    server = load(text)
    server.expect_log("WSB0015", level="warn")
    code, said = server.check_config()
    assert code == 0, said
    found = re.findall(r"WSB0015: member (\S+)", said)
    assert sorted(found) == sorted(with_free_ports(url, members) for url in named)
    server.expect_log("AH00961")
    server.allow_log("AH01961", "AH01962", "WSB0522")
    answer = ask_wss(server, upgrade_request("/ws", host="example.com"))
    assert answer.status == 500 and b"localhost:" not in answer.body
    assert server.tunnels() == server.handshakes() == 0


@pytest.mark.parametrize("text", [S1_13, S2_24], ids=["S1-13", "S2-24"])
def test_members_that_speak_plain_text(load, text):
    """S1-13, S1-26, S1-43, S2-24: with the engine on, but the member is the guide's plain one."""
    server = load(text, in_host=ENGINE)
    assert server.check_config() == (0, "Syntax OK\n")
    server.expect_log("WSB0227: .*no TLS at this port", level="error")
    server.allow_log(r"\[(ssl|proxy):")
    answer = ask_wss(server, upgrade_request("/ws", host="example.com"))
    assert answer.status == 502 and b"localhost:" not in answer.body
    assert server.tunnels() == server.handshakes() == 0


def test_s1_13_corrected(load, tls_members):
    """S1-13, S1-26, S1-43: with the engine, and members that speak TLS."""
    server = load(S1_13, in_host=ENGINE + TRUST, by_port=tls_members.by_port)
    assert server.check_config() == (0, "Syntax OK\n")
    assert check_wss(server, "/ws/a", "/ws/a") == "on-3000"
    assert get(server, "/page").body == b"on-3000 /page"


@pytest.mark.parametrize("text", [S1_34, S1_34_OUTSIDE], ids=["S1-34", "outside"])
def test_s1_34_corrected(load, tls_members, text):
    """S1-34: all members in turn, verified; asked for by name, and never for HTTP/2. As the guide
    preserves the host, that is the name that the client asked for."""
    server = load(text, in_host=ENGINE + TRUST, by_port=tls_members.by_port)
    server.allow_log("WSB0015")  # The balancer outside; test_config_check says what is expected.
    tls_members.names.clear()
    names = {check_wss(server, "/ws/a", "/a") for _ in range(3)}
    assert names == {"on-3000", "on-3001", "on-3002"}
    assert tls_members.names == ["example.com"] * 3
    with wss(server, "/ws"):
        assert set(tls_members.chosen_protocols()) <= {None, "http/1.1"}
    all_quiet(server)


def test_s1_34_without_preserved_host(load, tls_members):
    """S1-34: the name is the member's then."""
    text = S1_34.replace("ProxyPreserveHost On", "")
    server = load(text, in_host=ENGINE + TRUST, by_port=tls_members.by_port)
    tls_members.names.clear()
    check_wss(server, "/ws/a", "/a")
    assert tls_members.names == ["localhost"]


def test_s2_24_corrected(load, tls_members):
    """S2-24: in both ways that the guide's author may have meant."""
    assert check_wss(load(S2_24.replace("wss://", "ws://")), "/ws/", "/ws/") == "on-8080"
    server = load(S2_24, in_host=ENGINE + TRUST, by_port=tls_members.by_port)
    assert check_wss(server, "/ws/", "/ws/") == "on-8080"


def test_s2_25_what_is_verified(load):
    """S2-25: nobody's signature by default, as mod_ssl has it; with SSLProxyVerify it is."""
    context = issued("of-nobody", by_authority=False).server_context()
    with EchoMember("of-nobody", ssl=context) as member:
        server = load(S2_24, in_host=ENGINE, by_port={8080: member})
        server.allow_log(r"\[ssl:warn\]")
        assert check_wss(server, "/x", "/x") == "of-nobody"
        server = load(S2_24, in_host=ENGINE + TRUST, by_port={8080: member})
        server.expect_log("WSB0227: .*self.signed", level="error")
        server.allow_log(r"\[(ssl|proxy):")
        assert ask_wss(server, upgrade_request("/x", host="example.com")).status == 502


def test_s2_28_a_script_of_node(load):
    """S2-28: opens, sends, gets the echo, closes."""
    server = load(S2_24.replace("wss://", "ws://"))
    seen = run_client(f"wss://127.0.0.1:{https_port(server)}/ws/", TRANSPORTS["tls"],
                      messages=["Hello Secure Server!"])
    assert (seen["received"], seen["code"]) == (["Hello Secure Server!"], 1000)
    all_quiet(server)


# -- Certificates that have expired ---------------------------------------------------------------

def test_s2_29_renewal(load, tmp_path):
    """S2-29: clients refuse an expired certificate; a reload takes the new one."""
    expired = issued("expired", days=-1)
    files = type(expired)(str(tmp_path / "fullchain.pem"), str(tmp_path / "privkey.pem"), "")
    shutil.copy(expired.certificate, files.certificate)
    shutil.copy(expired.key, files.key)
    server = load(S0_23, files=files)
    server.allow_log(r"\[ssl:warn\]")
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        wss(server, "/wss/x")
    shutil.copy(certificates().certificate, files.certificate)
    shutil.copy(certificates().key, files.key)
    server.graceful()
    check_wss(server, "/wss/x", "/x")


def test_s2_29_the_error_log(load):
    """S2-29: a member's expired certificate is one line that says so."""
    with EchoMember("old", ssl=issued("expired", days=-1).server_context()) as member:
        server = load(S2_24, in_host=ENGINE + TRUST, by_port={8080: member})
        server.expect_log(f"WSB0227: .*localhost:{member.port}.*expired", level="error")
        server.allow_log(r"\[(ssl|proxy):")
        assert ask_wss(server, upgrade_request("/x", host="example.com")).status == 502
        assert len(server.log.matching("WSB0227")) == 1
