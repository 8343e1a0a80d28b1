"""The harness itself: what it starts ends, and what goes wrong is seen."""

import fcntl
import os
import signal
import struct
import termios

import pytest

import node_peer
import processes
import raw_peer
import ws_peer
from frames import TEXT, client_frame, read_frame
from http_message import get_request, parse_head, read_response, switching, upgrade_request
from httpd_env import Httpd, StartError
from log_check import ErrorLog
from ports import refusing_port
from transport import TRANSPORTS
from tunnels import check_arrives, in_thread, narrow, send_until_blocked, stream
from waiting import SLOWNESS, wait_until

event_only = pytest.mark.parametrize("mpm", ["event"], indirect=True)

INFO = "[Fri Nov 20 20:31:59.1 2026] [core:info] [pid 1:tid 1] AH00001: fine\n"
WARNING = "[Fri Nov 20 20:31:59.1 2026] [proxy:warn] [pid 1:tid 1] AH01144: not fine\n"
CRASH = "[Fri Nov 20 20:31:59.1 2026] [core:notice] [pid 1:tid 1] AH00052: child pid 2 exit " \
        "signal Segmentation fault (11)\n"


@pytest.fixture
def log(tmp_path):
    return ErrorLog(tmp_path / "error.log", patience=0.1)


def write(tmp_path, *lines):
    with open(tmp_path / "error.log", "a", encoding="utf-8") as file:
        file.write("".join(lines))


def test_a_warning_is_a_problem_unless_announced(log, tmp_path):
    write(tmp_path, INFO, WARNING)
    assert log.problems() == [WARNING.strip()]
    log.allow("AH01144")
    assert not log.problems()


def test_a_crash_is_a_problem_even_when_announced(log, tmp_path):
    log.allow("AH00052", ".*")
    write(tmp_path, CRASH)
    assert log.problems() == [CRASH.strip()]


def test_a_sanitizer_report_is_a_problem(log, tmp_path):
    write(tmp_path, "==12==ERROR: AddressSanitizer: heap-use-after-free on address 0x1\n")
    assert len(log.problems()) == 1


def test_a_line_that_is_being_written(log, tmp_path):
    """It belongs to the test in which its end comes."""
    write(tmp_path, INFO, WARNING[:70])
    assert not log.problems()
    log.mark()
    write(tmp_path, WARNING[70:])
    assert log.problems() == [WARNING.strip()]
    log.mark()
    write(tmp_path, "half a line")
    assert not log.problems() and log.problems(final=True) == ["half a line"]


def test_an_announced_line_must_come_and_at_its_level(log, tmp_path):
    write(tmp_path, INFO)
    log.expect("AH00001")
    assert not log.problems()
    log.expect("AH00001", level="warn")
    assert len(log.problems()) == 1
    log.mark()
    log.expect("AH00001")
    assert len(log.problems()) == 1


def test_start_stop_and_nothing_is_left(start_once):
    server = start_once()
    wait_until(lambda: server.busy_workers() == 1, what="workers to be idle")
    children = server.children()
    assert children and server.open_descriptors() > 0 and server.resident_kb() > 0
    server.stop()
    assert server.stop_seconds < 5 * SLOWNESS
    assert not any(processes.is_alive(pid) for pid in children)


@event_only
def test_a_crashed_child_is_seen(start_once):
    server = start_once()
    os.kill(server.children()[0], signal.SIGTRAP)  # A signal that no sanitizer catches.
    server.log.expect("AH00052")
    assert any("exit signal Trace" in problem for problem in server.log.problems())
    server.log.allow_exit_signal(r"Trace/BPT trap \(5\)")
    assert not server.log.problems()


def test_graceful(start_once):
    """A graceful restart takes a new configuration."""
    server = start_once("Redirect /here /there")
    server.graceful("Redirect /here /elsewhere")
    with raw_peer.connect(server.port, server.transport) as client:
        client.send(get_request("/here"))
        assert read_response(client).head.get("Location").endswith("/elsewhere")


@event_only
def test_a_wrong_configuration_is_told(mpm):
    server = Httpd(mpm, "NoSuchDirective on")
    code, text = server.check_config()
    assert code != 0 and "NoSuchDirective" in text
    with pytest.raises(StartError, match="NoSuchDirective"):
        server.start()
    assert not server.pids()
    server.remove()


def test_a_refusing_port_refuses():
    with pytest.raises(ConnectionRefusedError):
        raw_peer.connect(refusing_port())


@event_only
def test_raw_peers_through_plain_proxying(start_once, transport, member):
    server = start_once(f"ProxyPass / {transport.member_url('http', member.port)}")
    with raw_peer.connect(server.port, server.transport) as client:
        client.send(get_request("/x"))
        connection = member.accept(client=client)
        assert parse_head(connection.read_head()).start_line == "GET /x HTTP/1.1"
        connection.send_pieces([b"HTTP/1.1 200 OK\r\nContent-Le", b"ngth: 3\r\n\r\na", b"bc"])
        assert read_response(client).body == b"abc"


def test_raw_peers_speak_websocket(transport, echo_member, member):
    """Without httpd: the raw client with the library's member and the reverse."""
    with raw_peer.connect(echo_member.port, transport) as client:
        client.send(upgrade_request("/x") + client_frame(TEXT, b"path"))
        assert parse_head(client.read_head()).status == 101
        assert read_frame(client) == (TEXT, b"/x", True)
    future = ws_peer.start_connecting(transport.client_url(member.port, "/"), transport)
    connection = member.accept()
    head = parse_head(connection.read_head())
    connection.send(switching(head.get("Sec-WebSocket-Key")))
    client = future.result(ws_peer.TIMEOUT)
    client.send("hello")
    assert read_frame(connection) == (TEXT, b"hello", True)
    connection.close()


def test_node_peers(transport):
    """Without httpd: npm ws speaks to itself."""
    with node_peer.NodeMember(transport) as node:
        seen = node_peer.run_client(transport.client_url(node.port, "/"), transport,
                                    messages=["a", "b"], count=3, size=70000,
                                    protocols=["x", "y"])
    assert seen["received"] == ["a", "b"] and seen["bulkInOrder"] == 3
    assert seen["protocol"] == "y" and seen["code"] == 1000


@pytest.fixture
def tls_pair():
    """Without httpd: a raw client and a raw member, with TLS between them."""
    transport = TRANSPORTS["tls"]
    with raw_peer.RawMember(transport) as member:
        client = raw_peer.RawConnection(transport.connect(member.port, handshake=False))
        connection = member.accept()
        assert not connection.has_data(), "a handshake is no data"
        with in_thread(client.sock.handshake):
            connection.sock.handshake()
        yield client, connection
        client.close()


def test_tls_carries_bytes_both_ways(tls_pair):
    client, connection = tls_pair
    assert not client.has_data(), "a session ticket is no data"
    data = stream(3 << 20)
    with in_thread(client.send, data), in_thread(connection.send, data), \
            in_thread(check_arrives, connection, data):
        check_arrives(client, data)
    client.send(b"x")
    assert connection.has_data(1) and connection.peek() == b"x" == connection.read_exactly(1)


def test_tls_half_close(tls_pair):
    """A close_notify is an end of file, and the other direction goes on."""
    client, connection = tls_pair
    connection.send(b"sent before")
    client.end_sending()
    assert connection.is_ended() and not connection.was_truncated
    connection.send(b" and after")
    connection.close()
    assert client.read_until_eof() == b"sent before and after" and not client.was_truncated


def test_tls_without_a_close_notify(tls_pair):
    """A bare FIN is an end of file too, which can be told from the other."""
    client, connection = tls_pair
    client.send(b"cut")
    client.sock.cut()
    assert connection.read_until_eof() == b"cut" and connection.was_truncated


def test_tls_reset(tls_pair):
    client, connection = tls_pair
    client.reset()
    assert connection.has_data(1)
    with pytest.raises(ConnectionResetError):
        connection.read_exactly(1)


def unread(connection):
    """The bytes that wait in the kernel."""
    answer = fcntl.ioctl(connection.sock.fileno(), termios.FIONREAD, bytes(4))
    return struct.unpack("i", answer)[0]


def test_tls_records_have_the_size_that_is_asked_for(tls_pair):
    """Each byte in a record of its own, which is 22 bytes longer in TLS 1.3."""
    client, connection = tls_pair
    client.sock.record_size = 1
    client.send(b"abc")
    wait_until(lambda: unread(connection) == 3 * 23, what="three records")
    assert connection.read_exactly(3) == b"abc"


def test_tls_when_nobody_reads(tls_pair):
    """What a sender could not get rid of goes out later."""
    client, connection = tls_pair
    narrow(client)
    narrow(connection)
    count = send_until_blocked(client)
    with in_thread(client.end_sending):
        assert connection.read_until_eof() == stream(count)
