"""The end of a tunnel over HTTP/2: a close frame, END_STREAM, RST_STREAM, the connection's."""

import contextlib
import os
import ssl

import pytest

from frames import (BINARY, CLOSE, TEXT, client_frame, close_payload, endless_head, frame,
                    read_frame)
from h2_tunnels import (AT_ONCE, KB, MB, check_alive, check_ends_at_once, check_tunnels, client,
                        dial, ends_of, event_only, mpm, open_pair, server, start_h2, start_h2_once)
from proxy_frames import line_of
from tunnels import check_arrives, digest, ends_within, in_thread, narrow

# TLS with clients is a matter of the virtual host here.
pytestmark = pytest.mark.transports("plain")


def test_close_frame_of_the_client(server, client, member):
    stream, raw = open_pair(client, member)
    stream.send(client_frame(CLOSE, close_payload(4001, b"bye")))
    assert read_frame(raw) == (CLOSE, close_payload(4001, b"bye"), True)
    raw.send(frame(CLOSE, close_payload(4001)))
    raw.close()
    assert read_frame(stream) == (CLOSE, close_payload(4001), True)
    check_ends_at_once(stream)
    end, = ends_of(server, client)
    assert (end.reason, end.close_code) == ("client-close", 4001)


def test_close_frame_of_the_member(server, client, member):
    stream, raw = open_pair(client, member)
    raw.send(frame(CLOSE, close_payload(1001)))
    assert read_frame(stream) == (CLOSE, close_payload(1001), True)
    stream.send(client_frame(CLOSE, close_payload(1001)))
    stream.end_sending()
    assert read_frame(raw) == (CLOSE, close_payload(1001), True)
    assert ends_within(raw, AT_ONCE)
    raw.close()
    check_ends_at_once(stream)
    end, = ends_of(server, client)
    assert (end.reason, end.close_code) == ("member-close", 1001)


def test_member_closes(server, client, member):
    """The stream ends at once, and the connection serves the next."""
    stream, raw = open_pair(client, member)
    raw.close()
    check_ends_at_once(stream)
    end, = ends_of(server, client)
    assert (end.reason, end.close_code) == ("member-eof", 0)
    check_tunnels(server, 0)
    stream, raw = open_pair(client, member)
    check_alive(stream, raw)


def test_member_resets(server, client, member):
    stream, raw = open_pair(client, member)
    raw.reset()
    assert stream.is_over_within(AT_ONCE)
    end, = ends_of(server, client)
    assert end.reason == "member-error"
    assert client.get("/alive.txt").status == 200


def test_client_ends_its_stream(server, client, member):
    """END_STREAM is a half-close: the member sees it, and what it still sends arrives."""
    stream, raw = open_pair(client, member)
    question = client_frame(BINARY, os.urandom(300 * KB))
    answer_ = frame(BINARY, os.urandom(MB))
    with in_thread(check_arrives, raw, question):
        stream.send(question)
    stream.end_sending()
    assert ends_within(raw, AT_ONCE)
    with in_thread(raw.send, answer_):
        check_arrives(stream, answer_)
    raw.close()
    check_ends_at_once(stream)
    end, = ends_of(server, client)
    assert end.reason == "client-eof"
    assert (end.to_member.bytes, end.to_client.bytes) == (len(question), len(answer_))


def test_member_ends_first(server, client, member):
    """The other way round: the member's half-close is END_STREAM, and the client's ends it all."""
    stream, raw = open_pair(client, member)
    farewell = frame(TEXT, b"farewell")
    raw.send(farewell)
    raw.end_sending()
    assert stream.is_over_within(AT_ONCE)
    assert stream.read_until_eof() == farewell
    stream.end_sending()
    assert ends_within(raw, AT_ONCE)
    raw.close()
    end, = ends_of(server, client)
    assert end.reason == "member-eof"
    check_tunnels(server, 0)


def test_reset_stream(server, client, member):
    """RST_STREAM closes the member's side at once, and no other tunnel of the connection."""
    stream, raw = open_pair(client, member)
    other, other_raw = open_pair(client, member)
    stream.reset()
    assert ends_within(raw, AT_ONCE)
    ends_of(server, client)
    check_tunnels(server, 1)
    check_alive(other, other_raw)


def test_reset_with_data_on_the_way(server, client, member):
    """A reset while the member sends more than the client reads."""
    stream, raw = open_pair(client, member)
    narrow(raw)
    with in_thread(_send_until_the_end, raw):
        stream.wait_for_buffer(MB)
        stream.reset()
    check_tunnels(server, 0)
    assert client.get("/alive.txt").status == 200


def _send_until_the_end(raw):
    with contextlib.suppress(OSError):
        raw.send(endless_head("member"))
        while True:
            raw.send(bytes(64 * KB))


@pytest.mark.parametrize("how", ["close", "reset", "go_away"])
def test_connection_ends(server, client, member, how):
    """With the connection end all of its tunnels."""
    pairs = [open_pair(client, member) for _ in range(3)]
    check_tunnels(server, len(pairs))
    getattr(client, how)()
    for _, raw in pairs:
        assert ends_within(raw, AT_ONCE)
    check_tunnels(server, 0)
    ends_of(server, client, len(pairs))


@pytest.mark.parametrize("size", [0, 1, 125, 16 * KB, 300 * KB, 2 * MB])
def test_nothing_is_lost_at_the_end(server, client, member, size):
    """A member sends a message, a close frame and the end all at once; the client gets all, and
    then END_STREAM. Some rounds, as a race decides."""
    for _ in range(3 if size > 16 * KB else 10):
        data = frame(BINARY, os.urandom(size)) + frame(CLOSE, close_payload(1000))
        stream, raw = open_pair(client, member)
        with in_thread(_send_and_close, raw, data):
            assert digest(stream.read_until_eof()) == digest(data)
    check_tunnels(server, 0)


def _send_and_close(raw, data):
    raw.send(data)
    raw.close()


@pytest.mark.parametrize("size", [0, 1, 125, 16 * KB, 300 * KB, 2 * MB])
def test_nothing_is_lost_to_the_member(server, client, member, size):
    """The same the other way."""
    for _ in range(3 if size > 16 * KB else 10):
        data = client_frame(BINARY, os.urandom(size)) + client_frame(CLOSE, close_payload(1000))
        stream, raw = open_pair(client, member)
        with in_thread(_check_all, raw, data):
            stream.send(data)
            stream.end_sending()
        raw.close()
        check_ends_at_once(stream)
    check_tunnels(server, 0)


def _check_all(raw, data):
    assert digest(raw.read_until_eof()) == digest(data)


# With a client that does not read, mod_http2 itself waits 5 seconds and aborts the child (AH10291),
# as without our module: its writes cannot be ended from outside.
@event_only
def test_stop_with_tunnels(start_h2_once, dial, member):
    """The server stops in time."""
    server = start_h2_once(f"ProxyPass /raw/ ws://127.0.0.1:{member.port}/")
    client = dial(server)
    pairs = [open_pair(client, member) for _ in range(3)]
    server.stop()
    for _, raw in pairs:
        raw.sock.settimeout(1)
        raw.read_until_eof()


def test_the_line_of_the_tunnel_log(server, client, member):
    """WSBalanceLog: which transport it was, and that it held a thread."""
    stream, raw = open_pair(client, member, "/raw/x?token=SECRET")
    raw.send(frame(CLOSE, close_payload(1012)))
    assert read_frame(stream)[0] == CLOSE
    raw.close()
    check_ends_at_once(stream)
    line = line_of(server, client.port)
    transport = "h2" if isinstance(client.sock, ssl.SSLSocket) else "h2c"
    expected = {"client_transport": transport, "member_transport": "tcp", "pumped": True,
                "uri": "/raw/x", "client": "127.0.0.1", "closer": "member", "close_code": 1012,
                "reason": "member-close", "frames_from_member": 1}
    assert {key: line[key] for key in expected} == expected
