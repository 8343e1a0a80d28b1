"""What tunnels over HTTP/2 carry, and what they leave to the other streams of a connection."""

import os

import pytest

from frames import BINARY, PING, PONG, TEXT, client_frame, endless_head, frame, read_frame
from h2_tunnels import (KB, MB, check_alive, check_ends_at_once, check_tunnels, client, dial,
                        ends_of, event_only, mpm, open_pair, server, start_h2, start_h2_once)
from tunnels import check_arrives, digest, in_thread, narrow

# TLS with clients is a matter of the virtual host here.
pytestmark = pytest.mark.transports("plain")


def megabytes(path):
    """5 MB for each direction: a message, or where frames are not looked at any bytes."""
    there, back = os.urandom(5 * MB), os.urandom(5 * MB)
    if path == "/bytes/":
        return there, back
    return client_frame(BINARY, there), frame(BINARY, back)


each_path = pytest.mark.parametrize("path", ["/raw/", "/bytes/"])


@each_path
def test_megabytes(server, client, member, path):
    """5 MB one way, then the other."""
    stream, raw = open_pair(client, member, path)
    there, back = megabytes(path)
    with in_thread(check_arrives, raw, there):
        stream.send(there)
    with in_thread(raw.send, back):
        check_arrives(stream, back)
    raw.close()
    check_ends_at_once(stream)
    end, = ends_of(server, client)
    assert (end.to_member.bytes, end.to_client.bytes) == (len(there), len(back))


@each_path
def test_megabytes_both_ways(client, member, path):
    """5 MB each way at the same time."""
    stream, raw = open_pair(client, member, path)
    there, back = megabytes(path)
    with in_thread(raw.send, back), in_thread(check_arrives, raw, there):
        stream.send(there)
        check_arrives(stream, back)


def test_large_echo(client):
    """A message of 5 MB through a library's member and back."""
    stream = client.websocket("/echo/")
    data = os.urandom(5 * MB)
    stream.send(client_frame(BINARY, data))
    opcode, payload, _ = read_frame(stream)
    assert (opcode, digest(payload)) == (BINARY, digest(data))


def test_bytes_one_by_one(client, member):
    """Frames cut at every place, in DATA frames of one byte."""
    stream, raw = open_pair(client, member)
    data = client_frame(TEXT, b"one by one") + client_frame(PING, b"?")
    for byte in data:
        stream.send(bytes([byte]))
    assert raw.read_exactly(len(data)) == data
    data = frame(TEXT, b"and back") + frame(PONG, b"?")
    raw.send_pieces([bytes([byte]) for byte in data])
    assert stream.read_exactly(len(data)) == data


def test_slow_client(server, dial, member):
    """A stream that is not read holds back its member only; later everything arrives."""
    client = dial(server, window=64 * KB)
    stream, raw = open_pair(client, member)
    other, other_raw = open_pair(client, member)
    data = frame(BINARY, os.urandom(5 * MB))
    with in_thread(raw.send, data):
        stream.wait_for_buffer(64 * KB)
        for _ in range(3):
            check_alive(other, other_raw)
            assert client.get("/alive.txt").status == 200
        assert len(stream.buffer) == 64 * KB
        check_arrives(stream, data)


def test_slow_member(client, member):
    """A member that reads nothing holds back its client; later everything arrives."""
    stream, raw = open_pair(client, member)
    other, other_raw = open_pair(client, member)
    narrow(raw)
    data = endless_head("client") + os.urandom(32 * MB)
    sent = stream.send_until_blocked(data)
    assert sent < 16 * MB
    check_alive(other, other_raw)
    assert client.get("/alive.txt").status == 200
    with in_thread(check_arrives, raw, data[:16 * MB]):
        stream.send(data[sent:16 * MB])


def test_requests_beside_tunnels(client, member):
    """Ordinary requests go on while tunnels are open."""
    stream, raw = open_pair(client, member)
    for i in range(20):
        pages = [client.request("/alive.txt") for _ in range(3)]
        stream.send(client_frame(BINARY, bytes([i])))
        assert read_frame(raw) == (BINARY, bytes([i]), True)
        assert [page.response().body for page in pages] == [b"alive\n"] * 3


@event_only
def test_idle_beyond_all_timeouts(start_h2_once, dial, member):
    """httpd's Timeout, ProxyTimeout and mod_reqtimeout never end a tunnel."""
    server = start_h2_once(f"""
Timeout 1
ProxyTimeout 1
KeepAliveTimeout 1
RequestReadTimeout header=1 body=1
ProxyPass /raw/ ws://127.0.0.1:{member.port}/
""")
    client = dial(server)
    stream, raw = open_pair(client, member)
    check_tunnels(server, 1)
    assert not stream.has_data(2.5)
    check_tunnels(server, 1)
    check_alive(stream, raw)
