"""What three widely read guides tell people to tune for WebSockets: buffers, keep-alive, log buffers,
processes, TLS sessions, certificates (rows S1-*, S2-*). Their lines load, and tunnels are none the
worse for them."""

import re
import shutil
import socket
import ssl
import subprocess
from dataclasses import dataclass

import pytest

from carrying import (ROOM, check_echo, check_echoes, close_all, wait_for_carried,
                      wait_for_no_carrier)
from certificates import certificates
from http_message import get_request, parse_head, read_response, switching, upgrade_request
from issued_certificates import issued
from ours import all_quiet, check_ours
from raw_peer import TIMEOUT, connect
from test_carrier_logs import json_lines
from transport import CLIENT_LINES, SESSION_CACHE, under
from tunnels import ended, open_many, open_pair
from waiting import stays, wait_until


def to(member, more=""):
    return f"ProxyPass /raw/ ws://127.0.0.1:{member.port}/ {more}\n"


# -- Buffers --------------------------------------------------------------------------------------

def receive_buffer(port):
    """SO_RCVBUF of the only connection to this port, in bytes."""
    shown = subprocess.run(["ss", "-tnmHO", "state", "established", f"dport = :{port}"], check=True, capture_output=True,
                           text=True).stdout
    size, = re.findall(r"skmem:\(r\d+,rb(\d+)", shown)
    return int(size)


@under("event-plain")
@pytest.mark.parametrize("lines, more, size", [
    ("ProxyReceiveBufferSize 65536\nProxyIOBufferSize 65536", "", 65536),
    ("ProxyReceiveBufferSize 65536", "receivebuffersize=32768 iobuffersize=16384", 32768)],
    ids=["guide", "of the member"])
def test_receive_buffer(start_once, member, lines, more, size):
    """S2-39: the connection to the member has it, for which the kernel takes twice as much, before
    and behind the 101. The size of mod_proxy's own buffer is no limit for anything in a tunnel."""
    server = start_once(lines + "\n" + to(member, more))
    pair = open_pair(server, member)
    wait_until(lambda: server.tunnels() == 1, what="the tunnel")
    assert receive_buffer(member.port) == 2 * size
    check_echo(pair)


# -- Keep-alive -----------------------------------------------------------------------------------

@under("event-tls", "prefork-plain")
@pytest.mark.parametrize("lines", [
    "KeepAlive Off", "KeepAlive On\nMaxKeepAliveRequests 1\nKeepAliveTimeout 100ms",
    "KeepAlive On\nMaxKeepAliveRequests 1000\nKeepAliveTimeout 60"], ids=["off", "short", "guide"])
def test_keep_alive(start_once, transport, member, lines):
    """S2-37: it is about requests. A tunnel that is silent for longer stays, and its handshake says
    nothing of it."""
    server = start_once(f"{lines}\nProxyPass /raw/ {transport.member_url('ws', member.port)}",
                        workers=4)
    with connect(server.port, server.transport) as client:
        client.send(upgrade_request("/raw/"))
        asked = member.accept()
        asked.read_head()
        asked.send(switching())
        head = parse_head(client.read_head())
        assert head.tokens("Connection") == ["upgrade"] and head.get("Keep-Alive") is None
        asked.close()
    all_quiet(server)
    pair = open_pair(server, member)
    wait_until(lambda: server.tunnels() == 1, what="the tunnel")
    assert stays(lambda: server.tunnels() == 1, 0.3)
    check_echo(pair)


# -- Logs -----------------------------------------------------------------------------------------

@under("event-plain", "prefork-plain")
def test_buffered_logs(start_once, member):
    """S2-41, S1-37: no line is lost, and none comes twice: of the handshakes of a child that ends by
    a reload, of tunnels that are closed by hand, in a drain, or by the stop."""
    server = start_once(f"""BufferedLogs On
{ROOM}WSBalanceLog tunnels.json
WSBalanceDrainTimeout 200ms
WSBalanceCloseTimeout 200ms
{to(member)}""", workers=4)
    access, tunnels = (server.directory / name for name in ("access.log", "tunnels.json"))

    def handshakes():
        return access.read_text(encoding="utf-8").count('"GET /raw/ HTTP/1.1" 101')

    closed = [open_pair(server, member) for _ in range(2)]
    ports = [pair.port for pair in closed]
    close_all(closed)
    all_quiet(server)
    drained = [open_pair(server, member) for _ in range(3)]
    wait_until(lambda: server.tunnels() == 3, what="three tunnels")
    server.graceful()
    wait_until(lambda: handshakes() == 5, what="the lines of the child that has ended")
    wait_until(lambda: len(json_lines(tunnels)) == 5, what="the lines of the drain")
    wait_until(lambda: server.tunnels() == 0, what="the drained tunnels to be counted no more")
    open_to_the_end = [open_pair(server, member) for _ in range(3)]
    ports += [pair.port for pair in drained + open_to_the_end]
    wait_until(lambda: server.tunnels() == 3, what="three more tunnels")
    server.stop()
    assert handshakes() == 8
    lines = json_lines(tunnels)
    assert sorted(lines) == sorted(ports)
    assert [lines[pair.port]["reason"] for pair in drained] == ["drain"] * 3
    assert [lines[pair.port]["reason"] for pair in open_to_the_end] == ["shutdown"] * 3
    assert sorted(end.port for end in ended(server)) == sorted(ports)


# -- Processes ------------------------------------------------------------------------------------

S2_43 = """
StartServers             4
MinSpareThreads          25
MaxSpareThreads          75
ThreadLimit              64
ThreadsPerChild          25
MaxRequestWorkers        150
MaxConnectionsPerChild   1000
"""


@under("event-plain")
def test_the_guide_s_mpm_block(start_once, echo_member):
    """S2-43, S0-02, S2-35: 150 workers are no limit for tunnels, and no worker is busy with one.
    The start-up line says how many there is room for. (That children which end behind
    MaxConnectionsPerChild keep their tunnels: test_carrier.)"""
    server = start_once(f"{S2_43}\nProxyPass /ws/ ws://127.0.0.1:{echo_member.port}/",
                        workers=150, children=6)
    server.expect_log(r"WSB0021: about \d+ tunnels fit into a child, \d+ into 6 children")
    clients = []
    for _ in range(5):  # Of those that begin at once half of the workers may wait for the member.
        clients += open_many(server, "/ws/", 40)
    check_ours(server, 200)
    with connect(server.port, server.transport) as client:
        client.send(get_request("/alive.txt"))
        assert read_response(client).body == b"alive\n"
    for client in clients[::50]:
        assert client.ask("here?") == "here?"
    for client in clients:
        client.close()
    all_quiet(server)


# -- TLS ------------------------------------------------------------------------------------------

HELLO = b"\x81\x05hello"  # As the member sends it.


@dataclass
class Handshake:
    """What a client of TLS saw, and its tunnel."""

    was_resumed: bool
    session: ssl.SSLSession
    certificate: bytes


def wss(server, context, session=None):
    """A tunnel over TLS, in which one message goes each way; then it is closed without a word or
    with a close_notify, as `session` is new or not."""
    plain = socket.create_connection(("127.0.0.1", server.port), TIMEOUT)
    with context.wrap_socket(plain, server_hostname="example.com", session=session) as sock:
        sock.sendall(upgrade_request("/ws/"))
        came = b""
        while b"\r\n\r\n" not in came:
            came += sock.recv(1 << 14)
        assert came.startswith(b"HTTP/1.1 101 ")
        sock.sendall(b"\x81\x85\0\0\0\0hello")
        came = sock.recv(1 << 14)
        while came and len(came) < len(HELLO):
            came += sock.recv(1 << 14)
        assert came == HELLO
        found = Handshake(sock.session_reused, sock.session, sock.getpeercert(True))
        if session is not None:
            sock.unwrap()
    return found


@under("event-tls-client")
@pytest.mark.parametrize("tickets", ["on", "off"])
def test_tls_sessions(start_once, echo_member, tickets):
    """S2-42: the guide's cache; a client that comes back goes on with its session, though the tunnel
    took its TLS out of httpd. Behind a reload, too, where the cache is a new one."""
    server = start_once(f"""{ROOM}SSLSessionCacheTimeout 300
SSLSessionTickets {tickets}
ProxyPass /ws/ ws://127.0.0.1:{echo_member.port}/""", workers=4)
    assert "shmcb" in SESSION_CACHE

    def check(version):
        context = ssl.create_default_context(cafile=certificates().authority)
        context.minimum_version = context.maximum_version = version
        first = wss(server, context)
        assert not first.was_resumed
        second = wss(server, context, first.session)
        assert second.was_resumed
        assert wss(server, context, second.session).was_resumed

    for reloads in range(2):
        if reloads:
            server.graceful()
        check(ssl.TLSVersion.TLSv1_2)
        check(ssl.TLSVersion.TLSv1_3)
    all_quiet(server)


@under("event-tls")
def test_a_renewed_certificate(start_once, transport, member, tmp_path):
    """S1-09, S1-49, S2-23, S2-33: what certbot does: new files, and a reload. Tunnels of before stay,
    handshakes get the new certificate at once, and nothing is left of the old generation but one
    carrier, which ends with its tunnels."""
    files = tmp_path / "fullchain.pem", tmp_path / "privkey.pem"
    lines = CLIENT_LINES.format(certificate=files[0], key=files[1])

    def renew(certificate, key):
        shutil.copy(certificate, files[0])
        shutil.copy(key, files[1])

    def shown():
        return ssl.get_server_certificate(("127.0.0.1", server.port)).strip()

    def in_file():
        return files[0].read_text(encoding="ascii").strip()

    renew(certificates().certificate, certificates().key)
    server = start_once(f"{ROOM}{lines}\n"
                        f"ProxyPass /raw/ {transport.member_url('ws', member.port)}")
    old, before = in_file(), [open_pair(server, member) for _ in range(4)]
    assert shown() == old
    renewed = issued("renewed")
    renew(renewed.certificate, renewed.key)
    assert shown() == old
    server.graceful()
    assert shown() == in_file() != old
    wait_for_carried(server, 4)
    check_echoes(before)
    after = open_pair(server, member)
    check_echoes([after])
    check_ours(server, 5)
    close_all(before)
    wait_for_no_carrier(server)
    check_echo(after)
