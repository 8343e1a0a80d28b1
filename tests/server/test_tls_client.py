"""Clients over TLS: versions, resumption, certificates of clients, and what TLS itself sends while
a tunnel is open. Records and ends are in test_tunnel_tls.py."""

import os
import re
import socket
import ssl

import pytest

from certificates import certificates
from frames import BINARY, TEXT, client_frame, frame, frame_by, read_frame
from http_message import get_request, parse_head, read_response, switching, upgrade_request
from issued_certificates import client_certificate
from openssl_socket import TLS1_2, TLS1_3, OpensslError, OpensslSocket
from ours import all_quiet, check_ours
from ports import free_ports
from raw_peer import TIMEOUT, RawConnection
from tls_socket import RECORD, TlsSocket
from tunnels import Pair, check_arrives, check_carries, end_of, open_pair
from waiting import wait_until

pytestmark = pytest.mark.transports("tls-client")
only_event = pytest.mark.parametrize("mpm", ["event"], indirect=True)

VERSIONS = {TLS1_2: ssl.TLSVersion.TLSv1_2, TLS1_3: ssl.TLSVersion.TLSv1_3}
each_version = pytest.mark.parametrize("version", VERSIONS, ids=["TLSv1.2", "TLSv1.3"])

LOG = ('CustomLog tls.log "%U %>s %{SSL_PROTOCOL}x %{SSL_CIPHER}x %{SSL_CLIENT_S_DN}x'
       ' %{SSL_CLIENT_S_DN}e"')


@pytest.fixture(scope="module")
def ports():
    """Of the virtual hosts: with a ticket, without, and with a certificate of the client."""
    return dict(zip(("tickets", "ids", "certificate"), free_ports(3)))


@pytest.fixture(scope="module")
def server(start_httpd, ports, shared_member):
    route = f"ProxyPass /raw/ ws://127.0.0.1:{shared_member.port}/"
    return start_httpd(f"""
{LOG}
{route}
<VirtualHost *:{ports["ids"]}>
  SSLSessionTickets off
</VirtualHost>
<VirtualHost *:{ports["certificate"]}>
  {LOG}
  SSLVerifyClient require
  SSLCACertificateFile {certificates().authority}
  SSLOptions +StdEnvVars
  <Location /raw/>
    RequestHeader set X-Cert "%{{SSL_CLIENT_S_DN}}s"
  </Location>
  <Location /raw/new/>
    Require expr "%{{SSL_PROTOCOL}} == 'TLSv1.3'"
  </Location>
</VirtualHost>
""", listen=list(ports.values()))


def context_of(version, certificate=None):
    context = ssl.create_default_context(cafile=certificates().authority)
    context.minimum_version = context.maximum_version = VERSIONS[version]
    if certificate:
        context.load_cert_chain(certificate.both)
    return context


def tcp(port):
    sock = socket.create_connection(("127.0.0.1", port), TIMEOUT)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def connect_python(port, context, session=None):
    """A client whose session can be resumed; it cannot end one direction only."""
    return RawConnection(context.wrap_socket(tcp(port), server_hostname="127.0.0.1",
                                             session=session))


def connect_openssl(port, version=None):
    client = RawConnection(OpensslSocket(tcp(port), version=version))
    client.sock.handshake()
    return client


def accepted(member, client, first=b""):
    """The tunnel of a client whose handshake is on its way."""
    connection = member.accept()
    connection.read_head()
    connection.send(switching() + first)
    assert parse_head(client.read_head()).status == 101
    return Pair(client, connection)


def tunnel(client, member, path="/raw/"):
    client.send(upgrade_request(path))
    return accepted(member, client)


def check_alive(pair):
    """Both directions, a frame and then some."""
    for sender, receiver, data in [
            (pair.client, pair.member, client_frame(TEXT, b"hello")),
            (pair.member, pair.client, frame(TEXT, b"hello")),
            (pair.client, pair.member, client_frame(BINARY, os.urandom(100000))),
            (pair.member, pair.client, frame(BINARY, os.urandom(100000)))]:
        check_carries(sender, receiver, data)


# -- Versions and sessions ------------------------------------------------------------------------

@each_version
def test_each_version(server, ports, member, version):
    client = RawConnection(TlsSocket(tcp(ports["tickets"]), context_of(version), "127.0.0.1"))
    pair = tunnel(client, member)
    check_ours(server)
    check_alive(pair)
    pair.close()
    all_quiet(server)


@each_version
@pytest.mark.parametrize("kind", ["tickets", "ids"])
def test_a_session_is_resumed(server, ports, member, version, kind):
    """A session is not lost because its connection became a tunnel, nor by the tunnel's end; and a
    resumed connection becomes a tunnel as any other does."""
    context, session = context_of(version), None
    for round_number in range(3):
        client = connect_python(ports[kind], context, session)
        assert client.sock.session_reused == (round_number > 0)
        pair = tunnel(client, member)
        check_ours(server)
        check_alive(pair)
        session = client.sock.session
        if round_number == 1:
            pair.client.reset()
            assert pair.member.is_ended()
        pair.close()
        all_quiet(server)
    with connect_python(ports[kind], context, session) as client:
        assert client.sock.session_reused
        client.send(get_request("/alive.txt"))
        assert read_response(client).body == b"alive\n"


# -- What TLS sends by itself ---------------------------------------------------------------------

@only_event
@pytest.mark.parametrize("request_too", [False, True], ids=["ours only", "both"])
def test_key_updates_of_a_client(server, ports, member, request_too):
    """In an open tunnel, many, with data and without. Those that ask for the same are answered:
    what comes back is to be read with new keys."""
    pair = tunnel(connect_openssl(ports["tickets"], TLS1_3), member)
    tls = pair.client.sock
    for _ in range(20):
        tls.key_update(request_too)
        check_alive(pair)
    for _ in range(10):  # In one write, without data between them.
        tls.key_update(request_too)
        tls.handshake()
    tls.flush()
    check_alive(pair)
    check_ours(server)
    pair.close()
    all_quiet(server)
    assert end_of(server, pair.port).reason == "client-eof"


@only_event
@pytest.mark.parametrize("request_too", [False, True], ids=["ours only", "both"])
def test_a_key_update_behind_the_handshake(server, ports, member, request_too):
    """In one write with the request: httpd has read it, or has not, when the tunnel begins."""
    client = connect_openssl(ports["tickets"], TLS1_3)
    early = client_frame(TEXT, b"early")
    client.sock.write(upgrade_request("/raw/"))
    client.sock.key_update(request_too)
    client.sock.write(early)
    client.sock.flush()
    pair = accepted(member, client, frame(TEXT, b"first"))
    check_arrives(pair.member, early)
    assert read_frame(client) == (TEXT, b"first", True)
    check_alive(pair)
    check_ours(server)
    pair.close()
    all_quiet(server)


@only_event
def test_renegotiation_is_refused(server, ports, member):
    """RFC 5246 7.2.2: no_renegotiation, which is a warning. The clients beside it do not notice."""
    bystander = open_pair(server, member)
    pair = tunnel(connect_openssl(ports["tickets"], TLS1_2), member)
    check_alive(pair)
    with pytest.raises(OpensslError, match="no renegotiation"):
        pair.client.sock.renegotiate()
    check_alive(bystander)
    pair.client.close()
    assert pair.member.is_ended()
    check_ours(server)
    check_alive(bystander)
    bystander.close()
    pair.close()
    all_quiet(server)


@only_event
@each_version
@pytest.mark.parametrize("early", [b"", client_frame(BINARY, b"early" * 5000)],
                         ids=["nothing", "frames"])
def test_a_close_notify_in_one_segment_with_the_request(server, ports, member, version, early):
    """The client has ended before the tunnel begins: its frames come first, then the end, and what
    the member says still reaches it."""
    client = connect_openssl(ports["tickets"], version)
    client.sock.write(upgrade_request("/raw/") + early)
    client.sock.close_notify()
    client.sock.flush()
    pair = accepted(member, client)
    assert pair.member.read_until_eof() == early
    answer = frame(TEXT, b"answer")
    pair.member.send(answer)
    pair.member.end_sending()
    assert client.read_until_eof() == answer
    pair.close()
    all_quiet(server)
    assert end_of(server, pair.port).reason == "client-eof"


@only_event
@each_version
@pytest.mark.parametrize("size", [1, RECORD, RECORD + 1, 2 * RECORD + 1])
def test_writes_around_the_size_of_a_record(server, ports, member, version, size):
    """One write of a side is one frame; a frame that fills its record, and one byte more. Then the
    same as payload only."""
    pair = tunnel(connect_openssl(ports["tickets"], version), member)
    for side in ("client", "member"):
        sender, receiver = pair.side(side)
        head = 8 if side == "client" else 4
        data = frame_by(side, BINARY, bytes(max(0, size - head)))
        assert len(data) == size or size == 1
        sender.send(data)
        check_arrives(receiver, data)
        sender, receiver = pair.endless(side)
        sender.send(bytes(size))
        check_arrives(receiver, bytes(size))
    pair.close()
    all_quiet(server)


# -- Certificates of clients, variables of mod_ssl ------------------------------------------------

@only_event
@each_version
def test_a_client_without_certificate(server, ports, member, version):
    """It gets an alert, and nothing reaches the member."""
    with pytest.raises(OSError):
        with connect_python(ports["certificate"], context_of(version)) as client:
            client.send(upgrade_request("/raw/"))
            assert client.sock.recv(1) == b""
            raise ConnectionResetError("closed without an alert, or it came too late")
    assert not member.is_called()
    all_quiet(server)


@only_event
@each_version
def test_a_client_with_certificate(server, ports, member, version):
    """mod_ssl's variables are there for mod_headers and for the access log line of the 101."""
    context = context_of(version, client_certificate())
    client = connect_python(ports["certificate"], context)
    client.send(upgrade_request("/raw/"))
    connection = member.accept()
    assert parse_head(connection.read_head()).get("X-Cert") == "CN=someone"
    connection.send(switching())
    assert parse_head(client.read_head()).status == 101
    pair = Pair(client, connection)
    check_ours(server)
    check_alive(pair)
    cipher, name = client.sock.cipher()[0], client.sock.version()
    wait_until(lambda: f"/raw/ 101 {name} {cipher} CN=someone CN=someone\n" in log_of(server),
               what="the line of the access log")
    pair.close()
    all_quiet(server)


@only_event
def test_the_log_of_a_client_without_certificate(server, member):
    """The same line where there is no certificate to name."""
    pair = open_pair(server, member, "/raw/nobody")
    wait_until(lambda: "/raw/nobody " in log_of(server), what="the line of the access log")
    line = next(line for line in log_of(server).splitlines() if line.startswith("/raw/nobody "))
    assert re.fullmatch(r"/raw/nobody 101 TLSv1\.3 TLS_\w+ - -", line), line
    pair.close()
    all_quiet(server)


@only_event
@each_version
def test_an_expression_over_the_protocol(server, ports, member, version):
    """Require expr, as any access control, decides before a member is asked."""
    context = context_of(version, client_certificate())
    client = connect_python(ports["certificate"], context)
    if version == TLS1_3:
        tunnel(client, member, "/raw/new/").close()
    else:
        server.allow_log("AH01630")
        client.send(upgrade_request("/raw/new/"))
        assert read_response(client).status == 403
        assert not member.is_called()
        client.close()
    all_quiet(server)


def log_of(server):
    return (server.directory / "tls.log").read_text()
