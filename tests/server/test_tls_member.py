"""Members over TLS: who is trusted, what is shown to them, and what goes wrong with them."""

import contextlib
import os
import ssl
import time

import pytest

from certificates import certificates
from frames import BINARY, TEXT, client_frame, frame, read_frame
from http_message import get_request, parse_head, read_response, switching, upgrade_request
from issued_certificates import client_certificate, issued
from openssl_socket import TLS1_3, OpensslSocket
from ours import all_quiet, check_echo, check_ours
from ports import free_ports
from raw_peer import RawMember, connect
from tls_socket import TlsSocket
from tunnels import Pair, check_arrives, check_carries, end_of, in_thread
from waiting import SLOWNESS, wait_until

pytestmark = pytest.mark.transports("tls-member")
only_event = pytest.mark.parametrize("mpm", ["event"], indirect=True)

# One virtual host for each, and what its lines say beside those of transport.py.
HOSTS = {
    "strict": "",
    "no name check": "SSLProxyCheckPeerName off",
    "no check": "SSLProxyVerify none\nSSLProxyCheckPeerName off\nSSLProxyCheckPeerExpire off",
    "other authority": "SSLProxyCACertificateFile {other.certificate}",
    "no authority": "SSLProxyVerify none\nSSLProxyCACertificateFile {other.certificate}",
    "certificate": "SSLProxyMachineCertificateFile {client.both}",
    "1.2 only": "SSLProxyProtocol TLSv1.2\nSSLProxyCipherSuite ECDHE-ECDSA-AES128-GCM-SHA256",
    "off": "SSLProxyEngine off",
}

# A member's certificates, beside the good one.
BAD = {
    "self-signed": {"by_authority": False},
    "expired": {"days": -1},
    "wrong name": {"subject": "/CN=elsewhere", "names": "subjectAltName=DNS:elsewhere"},
}


def other_authority():
    return issued("other", subject="/CN=another authority", by_authority=False)


class Accepting:
    """What a RawMember needs of a transport: TLS with a context of its own, or by `wrap`."""

    def __init__(self, context=None, wrap=None):
        self.accepted = wrap or (lambda sock: TlsSocket(sock, context))


class TlsMember(RawMember):
    """A raw member whose context, or way to accept, each test chooses."""

    def __init__(self):
        super().__init__(Accepting(certificates().server_context))

    def use(self, context=None, wrap=None):
        self._transport = Accepting(context, wrap)


@pytest.fixture(name="tls_member", scope="module")
def shared_tls_member():
    with TlsMember() as member:
        yield member


@pytest.fixture
def member(tls_member):
    tls_member.forget()
    tls_member.use(certificates().server_context)
    yield tls_member
    tls_member.forget()


@pytest.fixture(scope="module")
def ports():
    return dict(zip(HOSTS, free_ports(len(HOSTS))))


@pytest.fixture(scope="module")
def server(start_httpd, ports, tls_member, echo_member):
    hosts = []
    for name, lines in HOSTS.items():
        lines = lines.format(other=other_authority(), client=client_certificate())
        hosts.append(f"""
<VirtualHost *:{ports[name]}>
  {lines}
  ProxyPass /raw/ wss://127.0.0.1:{tls_member.port}/ retry=0
  ProxyPass /https/ https://127.0.0.1:{tls_member.port}/ retry=0
  ProxyPass /named/ wss://localhost:{tls_member.port}/ retry=0
  <Location /hurried/>
    WSBalanceHandshakeTimeout 1
    ProxyPass wss://127.0.0.1:{tls_member.port}/hurried/ retry=0
  </Location>
</VirtualHost>""")
    server = start_httpd("\n".join(["WSBalanceHandshakeTimeout 20", *hosts, f"""
<Proxy balancer://many>
  BalancerMember wss://127.0.0.1:{echo_member.port} route=a
  BalancerMember wss://localhost:{echo_member.port} route=b
  ProxySet stickysession=route
</Proxy>
ProxyPass /many/ balancer://many/
"""]), listen=list(ports.values()))
    server.allow_log("WSB0015")  # Of the host with SSLProxyEngine off.
    return server


def open_tunnel(port, member, path="/raw/", *, first=b""):
    """Without TLS at the client."""
    client = connect(port)
    client.send(upgrade_request(path))
    connection = member.accept(client=client)
    connection.read_head()
    connection.send(switching() + first)
    assert parse_head(client.read_head()).status == 101
    return Pair(client, connection)


def check_alive(pair):
    for sender, receiver, data in [
            (pair.client, pair.member, client_frame(BINARY, os.urandom(70000))),
            (pair.member, pair.client, frame(BINARY, os.urandom(70000)))]:
        check_carries(sender, receiver, data)


def answer_without_tunnel(port, member, path="/raw/"):
    """The answer of httpd when the member does its part of the handshake, whatever comes of it."""
    with connect(port) as client:
        client.send(upgrade_request(path))
        connection = member.accept(client=client)
        try:
            connection.sock.handshake()
            data = connection.read_until_eof()
        except OSError:
            data = b""
        assert data == b"", "the member got something"
        connection.close()
        return read_response(client)


def check_refused(server, port, member, reason, path="/raw/"):
    """502, and one line that names the member and the reason."""
    server.expect_log(r"WSB0227: .*" + reason, level="error")
    server.allow_log(r"\[(ssl|proxy):")
    got = answer_without_tunnel(port, member, path)
    assert got.status == 502
    assert f"{member.port}" not in got.body.decode()
    lines = wait_until(lambda: server.log.matching("WSB0227"), what="the line WSB0227")
    assert len(lines) == 1 and f":{member.port}" in lines[0], lines
    assert server.handshakes() == server.tunnels() == 0


# -- Who is trusted -------------------------------------------------------------------------------

@pytest.mark.parametrize("path", ["/raw/", "/https/"])
def test_a_good_member(server, ports, member, path):
    pair = open_tunnel(ports["strict"], member, path)
    check_ours(server)
    check_alive(pair)
    pair.close()
    all_quiet(server)


@only_event
@pytest.mark.parametrize("path", ["/raw/", "/https/"])
@pytest.mark.parametrize("certificate,reason", [
    ("self-signed", "self.signed"), ("expired", "expired"), ("wrong name", "name")])
def test_a_member_with_a_bad_certificate(server, ports, member, path, certificate, reason):
    member.use(issued(certificate, **BAD[certificate]).server_context())
    check_refused(server, ports["strict"], member, reason, path)


@only_event
def test_a_member_of_an_unknown_authority(server, ports, member):
    check_refused(server, ports["other authority"], member, "certificate")


@only_event
@pytest.mark.parametrize("host,certificate", [
    ("no name check", "wrong name"), ("no check", "wrong name"), ("no check", "self-signed"),
    ("no check", "expired")])
def test_checks_that_are_off(server, ports, member, host, certificate):
    server.allow_log(r"\[ssl:warn\]")
    member.use(issued(certificate, **BAD[certificate]).server_context())
    pair = open_tunnel(ports[host], member)
    check_alive(pair)
    pair.close()
    all_quiet(server)


@only_event
def test_a_check_that_is_off_leaves_the_others(server, ports, member):
    member.use(issued("self-signed", **BAD["self-signed"]).server_context())
    check_refused(server, ports["no name check"], member, "self.signed")


@only_event
@pytest.mark.parametrize("certificate,reason", [
    ("wrong name", "SSLProxyCheckPeerName"), ("expired", "SSLProxyCheckPeerExpire")])
def test_what_is_checked_in_any_case(server, ports, member, certificate, reason):
    """S2-25: without SSLProxyVerify name and time are, and the line says which was wrong."""
    server.allow_log(r"\[ssl:warn\]")
    member.use(issued(certificate, **BAD[certificate]).server_context())
    check_refused(server, ports["no authority"], member, reason)


@only_event
def test_nobody_is_asked_who_it_is(server, ports, member):
    """S2-25: ... and nothing else: any certificate with the name and the time is good."""
    member.use(issued("self-signed", **BAD["self-signed"]).server_context())
    pair = open_tunnel(ports["no authority"], member)
    check_alive(pair)
    pair.close()
    all_quiet(server)


# -- What httpd shows and asks for ----------------------------------------------------------------

@only_event
@pytest.mark.parametrize("path,name", [("/named/", "localhost"), ("/raw/", None)])
def test_the_name_for_the_member(server, ports, member, path, name):
    """SNI is the route's host name; an address is none (RFC 6066 3)."""
    seen = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates().certificate, certificates().key)
    context.sni_callback = lambda _, asked, __: seen.append(asked)
    member.use(context)
    pair = open_tunnel(ports["strict"], member, path)
    check_alive(pair)
    assert seen == [name]
    pair.close()
    all_quiet(server)


def asking_context(version=None):
    """Of a member that asks for a certificate of ours."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates().certificate, certificates().key)
    context.load_verify_locations(certificates().authority)
    context.verify_mode = ssl.CERT_REQUIRED
    if version:
        context.minimum_version = context.maximum_version = version
    return context


@only_event
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_member_that_wants_a_certificate(server, ports, member, version):
    member.use(asking_context(version))
    pair = open_tunnel(ports["certificate"], member)
    check_alive(pair)
    pair.close()
    all_quiet(server)


@only_event
def test_a_member_that_misses_a_certificate(server, ports, member):
    """In TLS 1.2 its refusal is a part of the handshake."""
    server.allow_log(r"\[(ssl|proxy):")
    member.use(asking_context(ssl.TLSVersion.TLSv1_2))
    check_refused(server, ports["strict"], member, "certificate")


@only_event
def test_a_member_that_misses_a_certificate_later(server, ports, member):
    """In TLS 1.3 the handshake is over for httpd, and the refusal comes instead of an answer."""
    server.expect_log(r"WSB0121|WSB0227", level="error")
    server.allow_log(r"\[(ssl|proxy):")
    member.use(asking_context(ssl.TLSVersion.TLSv1_3))
    assert answer_without_tunnel(ports["strict"], member).status == 502
    assert server.handshakes() == server.tunnels() == 0


@only_event
def test_protocol_and_cipher_are_obeyed(server, ports, member):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates().certificate, certificates().key)
    sockets = []

    def wrap(sock):
        sockets.append(TlsSocket(sock, context))
        return sockets[-1]

    member.use(wrap=wrap)
    for host, expected in [("1.2 only", ("ECDHE-ECDSA-AES128-GCM-SHA256", "TLSv1.2")),
                           ("strict", (None, "TLSv1.3"))]:
        pair = open_tunnel(ports[host], member)
        check_alive(pair)
        cipher = sockets[-1]._tls.cipher()  # pylint: disable=protected-access
        assert cipher[1] == expected[1] and expected[0] in (None, cipher[0])
        pair.close()
        all_quiet(server)


@only_event
def test_no_common_protocol(server, ports, member):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates().certificate, certificates().key)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    member.use(context)
    check_refused(server, ports["1.2 only"], member, "no common protocol")


# -- What is no TLS -------------------------------------------------------------------------------

@only_event
@pytest.mark.parametrize("words", [
    b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\x28", b""],
    ids=["plain text", "a fatal alert", "the end"])
def test_a_member_that_answers_otherwise(server, ports, member, words):
    """502 as soon as it is known, not only after the time for the handshake."""
    server.expect_log("WSB0227", level="error")
    server.allow_log(r"\[(ssl|proxy):")
    member.use(wrap=lambda sock: sock)
    with connect(ports["strict"]) as client:
        client.send(upgrade_request("/raw/"))
        connection = member.accept(client=client)
        began = time.monotonic()
        assert connection.sock.recv(1) == b"\x16"
        connection.send(words)
        connection.end_sending()
        assert read_response(client).status == 502
        assert time.monotonic() - began < 3 * SLOWNESS
    assert server.handshakes() == server.tunnels() == 0


@only_event
@pytest.mark.parametrize("words,drip", [(b"", b""), (b"\x16\x03\x03\x00\x7a\x02", b""),
                                        (b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76", b"\x03")],
                         ids=["silent", "halfway", "drop by drop"])
def test_a_member_that_stops_in_the_handshake(server, ports, member, words, drip):
    """It costs WSBalanceHandshakeTimeout, no more, and then its slot is free."""
    server.expect_log(f"WSB022[27]: .*:{member.port}", level="error")
    server.allow_log(r"\[(ssl|proxy):")
    member.use(wrap=lambda sock: sock)
    with connect(ports["strict"]) as client:
        client.send(upgrade_request("/hurried/"))
        connection = member.accept(client=client)
        began = time.monotonic()
        assert server.handshakes() == 1
        connection.send(words)
        while not client.has_data(0.2) and time.monotonic() < began + 9:
            # The member's side may have been closed a little before.
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                connection.send(drip)
        assert time.monotonic() - began < 6, "without its own limit it would be 20 s"
        assert read_response(client).status in (502, 504)
    assert server.handshakes() == server.tunnels() == 0


@only_event
def test_without_ssl_proxy_engine(server, ports, member):
    """mod_proxy's own error, and the next request is served."""
    server.expect_log("AH00961")
    server.allow_log("AH01961", "AH01962", r"AH01144")
    with connect(ports["off"]) as client:
        client.send(upgrade_request("/raw/"))
        assert read_response(client).status in (500, 502, 503)
    with connect(ports["off"]) as client:
        client.send(get_request("/alive.txt"))
        assert read_response(client).status == 200
    assert server.handshakes() == server.tunnels() == 0


# -- Balancers ------------------------------------------------------------------------------------

@only_event
def test_a_balancer(server):
    for route in ("a", "b"):
        assert check_echo(server, f"/many/x?route=.{route}", f"/x?route=.{route}") == "member"


# -- What TLS sends by itself ---------------------------------------------------------------------

def use_openssl(member, version=None):
    member.use(wrap=lambda sock: OpensslSocket(sock, files=certificates(), version=version))


@only_event
@pytest.mark.parametrize("version", [None, 0x0303], ids=["TLSv1.3", "TLSv1.2"])
def test_the_answer_in_pieces(server, ports, member, version):
    """The 101 and the first frames: in one record, in many, in one write and byte by byte."""
    use_openssl(member, version)
    first = frame(TEXT, b"first") + frame(BINARY, os.urandom(3000))
    for size in (1, 7, 100000):
        with connect(ports["strict"]) as client:
            client.send(upgrade_request("/raw/"))
            connection = member.accept(client=client)
            connection.read_head()
            data = switching() + first
            for at in range(0, len(data), size):
                connection.sock.write(data[at:at + size])
            connection.sock.flush()
            assert parse_head(client.read_head()).status == 101
            check_arrives(client, first)
            check_alive(Pair(client, connection))
            connection.close()
        all_quiet(server)


@only_event
@pytest.mark.parametrize("request_too", [False, True], ids=["ours only", "both"])
def test_tickets_and_key_updates(server, ports, member, request_too):
    """Before the 101, behind it in the same write, and in the open tunnel."""
    use_openssl(member, TLS1_3)
    with connect(ports["strict"]) as client:
        client.send(upgrade_request("/raw/"))
        connection = member.accept(client=client)
        connection.read_head()
        tls = connection.sock

        def chatter():
            for _ in range(10):
                tls.new_ticket()
                tls.handshake()
                tls.key_update(request_too)
                tls.handshake()

        chatter()
        tls.write(switching())
        chatter()
        tls.write(frame(TEXT, b"first"))
        chatter()
        tls.flush()
        assert parse_head(client.read_head()).status == 101
        assert read_frame(client) == (TEXT, b"first", True)
        pair = Pair(client, connection)
        for _ in range(10):
            check_alive(pair)
            chatter()
            tls.flush()
        check_ours(server)
        connection.close()
    all_quiet(server)


def asking_later():
    context = asking_context()
    context.post_handshake_auth = True
    return context


@only_event
@pytest.mark.parametrize("host", ["certificate", "strict"])
def test_a_member_that_asks_for_a_certificate_later(server, ports, member, host):
    """TLS 1.3 post-handshake authentication, which mod_ssl offers to all members: nobody is there
    any more to choose a certificate, so this tunnel ends, and no other."""
    sockets = []

    def wrap(sock):
        sockets.append(TlsSocket(sock, asking_later()))
        return sockets[-1]

    bystander = open_tunnel(ports["strict"], member)
    member.use(wrap=wrap)
    pair = open_tunnel(ports[host], member)
    before = frame(TEXT, b"before")
    with in_thread(pair.member.send, before):
        check_arrives(pair.client, before)
    sockets[-1]._tls.verify_client_post_handshake()  # pylint: disable=protected-access
    pair.member.send(frame(TEXT, b"behind it"))
    assert pair.client.is_ended()
    wait_until(lambda: server.tunnels() == 1, what="the tunnel to end")
    check_alive(bystander)
    pair.close()
    bystander.close()
    all_quiet(server)
    assert end_of(server, pair.port).reason == "member-error"


@only_event
@pytest.mark.parametrize("words,reason", [
    (b"\x17\x03\x03\x00\x20" + bytes(32), "member-error"),
    (b"\x15\x03\x03\x00\x02\x02\x28", "member-error"), (None, "member-eof")],
    ids=["garbage", "an alert in plain text", "no close_notify"])
def test_a_member_that_breaks_its_tls(server, ports, member, words, reason):
    """Only its own tunnel ends; what it said before is delivered."""
    bystander, pair = (open_tunnel(ports["strict"], member) for _ in range(2))
    before = frame(TEXT, b"before")
    with in_thread(pair.member.send, before):
        check_arrives(pair.client, before)
    if words:
        pair.member.sock.send_raw(words)
    else:
        pair.member.sock.cut()
    assert pair.client.is_ended()
    check_alive(bystander)
    pair.close()
    wait_until(lambda: server.tunnels() == 1, what="the tunnel to end")
    check_alive(bystander)
    end = end_of(server, pair.port)
    assert end.reason == reason
    bystander.close()
    all_quiet(server)
