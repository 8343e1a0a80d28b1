"""Many tunnels over HTTP/2, beside each other and in turn, and the limit for them."""

import contextlib

import pytest

from frames import BINARY, CLOSE, TEXT, client_frame, close_payload, read_frame
from h2_tunnels import (AT_ONCE, KB, accept_handshake, check_alive, check_ends_at_once,
                        check_tunnels, client, dial, ends_of, event_only, mpm, open_pair, server,
                        start_h2, start_h2_once, start_pair, switch)
from http_message import answer, parse_head, switching, upgrade_request
from raw_peer import connect
from tunnels import ends_within
from waiting import wait_until

# TLS with clients is a matter of the virtual host here.
pytestmark = pytest.mark.transports("plain")


# -- Many -----------------------------------------------------------------------------------------

def make_trusted(server, client):
    """mod_http2 serves 6 requests of a connection at a time, and more only after others have ended
    well: their threads before their streams, or they do not count. So the pages are longer than the
    client's window, and shorter than what mod_http2 keeps for a thread that has done its work."""
    (server.directory / "htdocs" / "long.txt").write_bytes(bytes(24 * KB))
    pages = [client.request("/long.txt") for _ in range(90)]
    for page in pages:
        page.wait_for_buffer(16 * KB)
    for page in pages:
        assert len(page.response().body) == 24 * KB


def test_many_streams(server, dial):
    """Tunnels beside each other on one connection, each with its own bytes."""
    client = dial(server, window=16 * KB)
    make_trusted(server, client)
    streams = [client.start_websocket(f"/echo/{i}") for i in range(20)]
    assert [stream.answer().status for stream in streams] == [200] * 20
    check_tunnels(server, 20)
    for i, stream in enumerate(streams):
        stream.send(client_frame(TEXT, b"path") + client_frame(BINARY, bytes([i]) * 10000))
    for i, stream in enumerate(streams):
        assert read_frame(stream) == (TEXT, f"/{i}".encode(), True)
        assert read_frame(stream) == (BINARY, bytes([i]) * 10000, True)
    assert client.get("/alive.txt").status == 200
    for stream in streams:
        stream.send(client_frame(CLOSE, close_payload(1000)))
    for stream in streams:
        assert read_frame(stream) == (CLOSE, close_payload(1000), True)
        check_ends_at_once(stream)
    assert {end.close_code for end in ends_of(server, client, 20)} == {1000}
    check_tunnels(server, 0)


def test_more_than_are_served_at_a_time(client, member):
    """With 6 tunnels on a new connection everything else waits in mod_http2, and is served when one
    has ended."""
    pairs = [open_pair(client, member) for _ in range(6)]
    page, stream = client.request("/alive.txt"), client.start_websocket("/raw/")
    for old, raw in pairs[:2]:
        raw.close()
        check_ends_at_once(old)
    assert page.response().body == b"alive\n"
    switch(*accept_handshake(member))
    assert stream.answer().status == 200


def test_many_in_turn(server, client, member):
    """Streams opened and ended in turn, each way of ending: no place is lost."""
    for i in range(40):
        stream, raw = open_pair(client, member)
        check_alive(stream, raw)
        if i % 2:
            raw.close()
            check_ends_at_once(stream)
        else:
            stream.end_sending()
            assert ends_within(raw, AT_ONCE)
            raw.close()
            check_ends_at_once(stream)
    check_tunnels(server, 0)
    assert client.get("/alive.txt").status == 200


@pytest.mark.parametrize("when", ["open", "waiting, then refused", "waiting, then accepted"])
def test_many_resets(server, dial, member, when):
    """A stream that is reset, also while its handshake waits, leaves nothing over: no tunnel, no
    slot and no connection to a member. mod_http2 serves a client that resets much less and less, so
    each has a connection of its own."""
    for _ in range(10):
        client = dial(server)
        if when == "open":
            stream, raw = open_pair(client, member)
            stream.reset()
        else:
            stream, raw, head = start_pair(client, member)
            stream.reset()
            client.ping()
            with contextlib.suppress(OSError):
                if "accepted" in when:
                    switch(raw, head)
                else:
                    raw.send(answer(403, b"too late"))
                raw.end_sending()
        assert ends_within(raw, AT_ONCE)
        raw.close()
    check_tunnels(server, 0)
    wait_until(lambda: server.handshakes() == 0, what="no handshakes")


def test_connections_beside_each_other(server, dial, member):
    """Tunnels of several connections; the end of one leaves the others alone."""
    clients = [dial(server) for _ in range(4)]
    pairs = [open_pair(client, member) for client in clients]
    check_tunnels(server, 4)
    clients[0].close()
    check_tunnels(server, 3)
    for i, (stream, raw) in enumerate(pairs[1:]):
        stream.send(client_frame(BINARY, bytes([i]) * 100))
        assert read_frame(raw) == (BINARY, bytes([i]) * 100, True)


# -- WSBalanceMaxPumped ---------------------------------------------------------------------------

@pytest.fixture(scope="module")
def limited(start_h2, shared_member):
    return start_h2(f"""
WSBalanceMaxPumped 2
ProxyPass /raw/ ws://127.0.0.1:{shared_member.port}/
""")


def start_when_free(server, connection, member):
    """start_pair() as soon as there is room: a thread is free a little later than the client has
    the end of its tunnel, and than the count of tunnels says so."""
    server.allow_log("WSB0228")

    def start():
        stream = connection.start_websocket("/raw/")
        wait_until(lambda: member.is_called() or stream.has_data(), what="a member or an answer")
        return member.is_called() and stream

    return wait_until(start, what="room for a tunnel"), *accept_handshake(member)


def open_when_free(server, connection, member):
    stream, raw, head = start_when_free(server, connection, member)
    switch(raw, head)
    assert stream.answer().status == 200, stream.response()
    return stream, raw


def check_no_room(connection, member):
    """503, a time to come back, and nothing for the member."""
    got = connection.start_websocket("/raw/").answer()
    assert got.status == 503 and int(got.get("Retry-After")) > 0
    assert not member.is_called(0.05)


def test_max_pumped(limited, dial, member):
    """The third tunnel of a child gets 503 and Retry-After, on whatever connection; there is room
    again when one has ended. HTTP/1.1 does not need this room."""
    clients = [dial(limited) for _ in range(2)]
    pairs = [open_when_free(limited, client, member) for client in clients]
    check_tunnels(limited, 2)
    for client in clients:
        check_no_room(client, member)

    with connect(limited.port) as plain:
        plain.send(upgrade_request("/raw/"))
        raw = member.accept()
        raw.read_head()
        raw.send(switching())
        assert parse_head(plain.read_head()).status == 101
        check_tunnels(limited, 3)
        raw.close()

    stream, raw = pairs.pop(0)
    raw.close()
    check_ends_at_once(stream)
    check_tunnels(limited, 1)
    pairs.append(open_when_free(limited, clients[1], member))
    check_tunnels(limited, 2)
    for stream, raw in pairs:
        check_alive(stream, raw)


# The second: never less than one.
@event_only
@pytest.mark.parametrize("workers,room", [(5, 3), (2, 1)])
def test_the_default_of_max_pumped(start_h2_once, dial, member, workers, room):
    """Tunnels leave two threads of mod_http2 to other requests, which go on beside them."""
    server = start_h2_once(f"""
H2MinWorkers 1
H2MaxWorkers {workers}
ProxyPass /raw/ ws://127.0.0.1:{member.port}/
""")
    server.allow_log("WSB0228")
    client = dial(server)
    pairs = [open_pair(client, member) for _ in range(room)]
    check_no_room(client, member)
    assert client.get("/alive.txt").body == b"alive\n"
    stream, raw = pairs.pop(0)
    raw.close()
    check_ends_at_once(stream)
    pairs.append(open_when_free(server, client, member))
    check_no_room(client, member)
    check_tunnels(server, room)


def test_max_pumped_after_failed_handshakes(limited, dial, member):
    """A handshake that fails, or whose stream is reset, keeps no room."""
    limited.allow_log("WSB0121")
    for _ in range(3):
        client = dial(limited)
        stream, raw, _ = start_when_free(limited, client, member)
        raw.close()
        assert stream.answer().status == 502
    for _ in range(3):
        stream, raw = open_when_free(limited, client, member)
        stream.reset()
        assert ends_within(raw, AT_ONCE)
        check_tunnels(limited, 0)
    pairs = [open_when_free(limited, client, member) for _ in range(2)]
    check_tunnels(limited, len(pairs))
