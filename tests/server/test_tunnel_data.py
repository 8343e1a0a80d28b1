"""What goes through a tunnel arrives: all of it, in order, unchanged, both ways."""

import os
import random
import time

import pytest

import node_peer
from frames import (BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, client_frame, close_payload,
                    deliverable, frame, read_frame)
from http_message import parse_head, switching, upgrade_request
from ours import all_quiet, check_ours
from raw_peer import RawMember, connect
from transport import every_transport
from tunnels import (check_arrives, check_carries, digest, end_of, in_thread, narrow,
                     open_pair)
from waiting import SLOWNESS, stays
from ws_peer import EchoMember, connected, event_loop, start_connecting

pytestmark = every_transport
event_only = pytest.mark.parametrize("mpm", ["event"], indirect=True)

KB, MB = 1024, 1024 * 1024

# Beside, in and beyond what httpd reads at once (8 KB) and what a tunnel keeps (128 KB).
SIZES = [1, 125, 126, 8 * KB - 1, 70 * KB, 300 * KB]


@pytest.fixture(scope="module")
def node_member(transport):
    with node_peer.NodeMember(transport) as member:
        yield member


@pytest.fixture(scope="module")
def deflate_member(transport):
    with EchoMember("deflate", transport, compression="deflate") as member:
        yield member


@pytest.fixture(scope="module")
def unix_member(transport, public_dir):
    with RawMember(transport, path=public_dir / "data.sock") as member:
        yield member


@pytest.fixture(scope="module")
def server(start_httpd, transport, shared_member, echo_member, node_member, deflate_member,
           unix_member, public_dir):
    def ws(member):
        return transport.member_url("ws", member.port)

    assert unix_member
    return start_httpd(f"""
SendBufferSize 262144
<LocationMatch ^/full>
  WSBalanceBuffer 1m
</LocationMatch>
<Location /bytes/>
  WSBalanceFrames off
</Location>
ProxyPass /full/ {ws(shared_member)}
ProxyPass /full-unix/ unix:{public_dir}/data.sock|ws://localhost/
ProxyPass /raw/ {ws(shared_member)}
ProxyPass /bytes/ {ws(shared_member)}
ProxyPass /http/ {transport.member_url("http", shared_member.port)}
ProxyPass /unix/ unix:{public_dir}/data.sock|ws://localhost/
ProxyPass /echo/ {ws(echo_member)}
ProxyPass /node/ {ws(node_member)}
ProxyPass /deflate/ {ws(deflate_member)}
""")


def frames_of(sizes, build):
    """Binary messages of these sizes, as bytes; of noise, but the same in each run. Behind noise a
    lenient scanner takes payload for headers, and keeps back the part of one at the very end."""
    generator = random.Random(len(sizes))
    return b"".join(build(BINARY, generator.randbytes(size)) for size in sizes)


def finish(server, pair):
    pair.close()
    all_quiet(server)


# -- Around the handshake -------------------------------------------------------------------------

@pytest.mark.parametrize("route", ["/raw/", "/http/", "/unix/"])
@pytest.mark.parametrize("size", SIZES)
def test_early_frames_follow_the_101(server, member, unix_member, route, size):
    """Frames in one write with the client's handshake, the last of them cut, reach the member
    after its 101 and not before; the rest of the cut one follows them."""
    data = client_frame(TEXT, b"first") + frames_of([size], client_frame)
    cut = len(data) - size // 2
    called = unix_member if route == "/unix/" else member
    client = connect(server.port, server.transport)
    client.sock.settimeout(20)
    with in_thread(client.send, upgrade_request(route) + data[:cut]):
        connection = called.accept()
        connection.read_head()
        assert stays(lambda: not connection.has_data(), 0.02)
        connection.send(switching())
        check_arrives(connection, data[:cut])
    assert parse_head(client.read_head()).status == 101
    client.send(data[cut:])
    check_arrives(connection, data[cut:])
    client.close()
    connection.close()
    all_quiet(server)


@pytest.mark.parametrize("route", ["/raw/", "/http/", "/unix/"])
@pytest.mark.parametrize("size", SIZES)
def test_frames_in_the_packet_of_the_101_come_first(server, member, unix_member, route, size):
    """What the member sends in one write with its 101, the last frame cut, is the first that the
    client gets; the rest of the cut one follows."""
    data = frame(TEXT, b"first") + frames_of([size], frame)
    cut = len(data) - size // 2
    called = unix_member if route == "/unix/" else member
    client = connect(server.port, server.transport)
    client.send(upgrade_request(route))
    connection = called.accept()
    connection.read_head()
    with in_thread(connection.send, switching() + data[:cut]):
        assert parse_head(client.read_head()).status == 101
        check_arrives(client, data[:cut])
    connection.send(data[cut:])
    check_arrives(client, data[cut:])
    client.close()
    connection.close()
    all_quiet(server)


def test_early_frames_on_both_sides(server, member):
    """Both at once: neither gets in the other's way, and both are counted."""
    early, first = frames_of([100] * 30, client_frame), frames_of([100] * 20, frame)
    pair = open_pair(server, member, early=early, first=first)
    check_arrives(pair.member, early)
    check_arrives(pair.client, first)
    finish(server, pair)
    end = end_of(server, pair.port)
    assert (end.to_member.bytes, end.to_member.messages) == (len(early), 30)
    assert (end.to_client.bytes, end.to_client.messages) == (len(first), 20)


def test_a_member_that_answers_pushes_and_leaves(server, member):
    """101, a message, a close frame and the end of the connection in one go: all arrives."""
    first = frame(TEXT, b"bye") + frame(CLOSE, close_payload(1001))
    client = connect(server.port, server.transport)
    client.send(upgrade_request("/raw/"))
    connection = member.accept()
    connection.read_head()
    connection.send(switching() + first)
    connection.close()
    assert parse_head(client.read_head()).status == 101
    assert client.read_until_eof() == first
    port = client.sock.getsockname()[1]
    client.close()
    all_quiet(server)
    end = end_of(server, port)
    assert (end.reason, end.close_code) == ("member-close", 1001)


# -- Cuts and sizes -------------------------------------------------------------------------------

def check_cut(source, destination, data, cut):
    """Frames in two pieces: what can be judged of the first is delivered at once, and not a byte
    more; all the rest with the second."""
    at_once = deliverable(data[:cut])
    source.send(data[:cut])
    check_arrives(destination, data[:at_once])
    assert not destination.has_data(0.001)
    source.send(data[cut:])
    check_arrives(destination, data[at_once:])


@pytest.mark.parametrize("sender", ["client", "member"])
def test_frames_cut_at_every_byte(server, member, sender):
    """A few frames of every kind of header, sent in two pieces that are cut at each position in
    turn: the first piece is delivered without the second, but for a header that is cut, and what
    follows the frames is sound."""
    build = client_frame if sender == "client" else frame
    stream = (build(TEXT, b"") + build(BINARY, os.urandom(5), fin=False) + build(PING, b"p")
              + build(CONTINUATION, os.urandom(126)) + build(TEXT, b"end"))
    pair = open_pair(server, member)
    source, destination = pair.side(sender)
    for cut in range(1, len(stream)):
        check_cut(source, destination, stream, cut)
    finish(server, pair)
    end = end_of(server, pair.port)
    passed = end.to_member if sender == "client" else end.to_client
    assert passed.bytes == len(stream) * (len(stream) - 1)
    assert passed.messages == 3 * (len(stream) - 1)


@pytest.mark.parametrize("sender", ["client", "member"])
def test_a_long_header_cut_at_every_byte(server, member, sender):
    """The same for a 64-bit length, cut in its header and at the end of its payload."""
    build = client_frame if sender == "client" else frame
    data = build(BINARY, os.urandom(66000))
    cuts = list(range(1, 18)) + [len(data) - left for left in (3, 2, 1)]
    pair = open_pair(server, member)
    source, destination = pair.side(sender)
    for cut in cuts:
        check_cut(source, destination, data, cut)
    finish(server, pair)
    end = end_of(server, pair.port)
    passed = end.to_member if sender == "client" else end.to_client
    assert passed.messages == len(cuts)


def test_single_bytes(server, member):
    """Bytes sent one by one, in packets of their own, and frames of one byte."""
    pair = open_pair(server, member)
    stream = frames_of([1] * 150, client_frame)
    with in_thread(pair.client.send_pieces, [bytes([byte]) for byte in stream]):
        check_arrives(pair.member, stream)
    stream = frames_of([1] * 400, frame)
    with in_thread(pair.member.send_pieces, [bytes([byte]) for byte in stream]):
        check_arrives(pair.client, stream)
    finish(server, pair)


@pytest.mark.parametrize("sender", ["client", "member"])
@pytest.mark.parametrize("count,size", [(1000, 40), (1000, 3000), (30, 64 * KB), (1, 16 * MB)])
def test_messages_in_one_write(server, member, sender, count, size):
    """1,000 messages in one write, messages of 64 KB and of 16 MB: the other gets all of it."""
    build = client_frame if sender == "client" else frame
    data = frames_of([size] * count, build)
    pair = open_pair(server, member)
    source, destination = pair.side(sender)
    check_carries(source, destination, data)
    finish(server, pair)
    end = end_of(server, pair.port)
    passed = end.to_member if sender == "client" else end.to_client
    assert (passed.bytes, passed.messages) == (len(data), count)


@pytest.mark.parametrize("sender", ["client", "member"])
def test_a_unix_member(server, unix_member, sender):
    """The same through a unix socket, whose kernel buffers are others."""
    data = frames_of([16 * MB, 1, 64 * KB], client_frame if sender == "client" else frame)
    pair = open_pair(server, unix_member, "/unix/")
    source, destination = pair.side(sender)
    check_carries(source, destination, data)
    finish(server, pair)


def test_both_ways_at_once(server, member):
    """S0-01: full duplex. Both sides send 8 MB and read at the same time."""
    to_member, to_client = frames_of([64 * KB] * 128, client_frame), frames_of([8 * MB], frame)
    pair = open_pair(server, member)
    with in_thread(pair.client.send, to_member), in_thread(pair.member.send, to_client), \
            in_thread(check_arrives, pair.member, to_member):
        check_arrives(pair.client, to_client)
    finish(server, pair)


def random_pieces(data, seed):
    """Cuts data into pieces of any size."""
    generator, at = random.Random(seed), 0
    while at < len(data):
        size = generator.choice([generator.randint(1, 200), generator.randint(1, 60_000),
                                 generator.randint(60_000, 400_000)])
        yield data[at:at + size]
        at += size


def frames_of_any_size(size, build):
    """Random binary messages with about so many bytes in all."""
    generator, sizes = random.Random(size), []
    while sum(sizes) < size:
        sizes.append(generator.choice([generator.randint(0, 200), generator.randint(0, 60_000),
                                       generator.randint(60_000, 400_000)]))
    return frames_of(sizes, build)


@pytest.mark.parametrize("route", ["/raw/", "/full/", "/full-unix/", "/bytes/"])
def test_random_pieces_through_full_buffers(server, member, unix_member, route):
    """Pieces of any size, both ways at once, to readers that fall behind now and then, so that
    what is kept for them grows, shrinks and moves in every way: nothing is lost or mixed up. The
    more may be kept, the less of it the kernel takes at once."""
    pair = open_pair(server, unix_member if route == "/full-unix/" else member, route)
    narrow(pair.client, 256 * KB)
    narrow(pair.member, 256 * KB)

    def send(connection, data):
        for piece in random_pieces(data, len(data)):
            connection.send(piece)

    def receive(connection, data):
        parts = []
        for number, piece in enumerate(random_pieces(data, 1)):
            if number % 5 == 0:
                time.sleep(0.003)
            parts.append(connection.read_exactly(len(piece)))
        assert digest(b"".join(parts)) == digest(data)

    if route == "/bytes/":
        to_member, to_client = os.urandom(6 * MB), os.urandom(7 * MB)
    else:
        to_member = frames_of_any_size(6 * MB, client_frame)
        to_client = frames_of_any_size(7 * MB, frame)
    with in_thread(send, pair.client, to_member), in_thread(send, pair.member, to_client), \
            in_thread(receive, pair.member, to_member):
        receive(pair.client, to_client)
    finish(server, pair)


# -- Libraries ------------------------------------------------------------------------------------

@pytest.mark.parametrize("path", ["/echo/", "/node/"])
def test_a_python_client(server, path):
    """S1-08, S2-22: python3-websockets with a member of the same library and one of npm ws: texts,
    nothing, 64 KB and 16 MB of random bytes come back as they were."""
    with connected(server, path) as client:
        assert client.ask("Hello Server!") == "Hello Server!"
        assert client.ask("\u00e4\u4e16\U0001f600") == "\u00e4\u4e16\U0001f600"
        assert client.ask("") == "" and client.ask(b"") == b""
        for size in (1, 125, 126, 64 * KB - 1, 64 * KB, 16 * MB):
            message = os.urandom(size)
            assert digest(client.ask(message)) == digest(message)
        check_ours(server)
    all_quiet(server)


def test_a_node_client(server, transport):
    """S1-08, S2-15: npm ws with a member of python3-websockets: 1,000 messages at once, and one of
    16 MB."""
    url = transport.client_url(server.port, "/echo/")
    seen = node_peer.run_client(url, transport, messages=["Hello Server!", ""], count=1000,
                                size=100)
    assert seen["received"] == ["Hello Server!", ""] and seen["bulkInOrder"] == 1000
    seen = node_peer.run_client(url, transport, count=1, size=16 * MB)
    assert seen["bulkInOrder"] == 1 and seen["code"] == 1000
    all_quiet(server)


def test_a_thousand_messages_to_a_library(server, member, transport):
    """1,000 messages in one write: a library's member and a library's client get each of them."""
    messages = [os.urandom(number % 300) for number in range(1000)]
    client = connect(server.port, transport)
    client.send(upgrade_request("/echo/")
                + b"".join(client_frame(BINARY, message) for message in messages))
    assert parse_head(client.read_head()).status == 101
    for message in messages:
        assert read_frame(client) == (BINARY, message, True)
    client.close()

    future = start_connecting(transport.client_url(server.port, "/raw/"), transport)
    connection = member.accept()
    key = parse_head(connection.read_head()).get("Sec-WebSocket-Key")
    connection.send(switching(key) + b"".join(frame(BINARY, message) for message in messages))
    client = future.result(5 * SLOWNESS)
    for message in messages:
        assert client.receive() == message
    connection.close()
    all_quiet(server)


def test_a_library_both_ways_at_once(server):
    """S0-01: a client that sends 300 messages without waiting for their echoes."""
    messages = [os.urandom(number * 100) for number in range(300)]

    def send_all(client):
        for message in messages:
            client.send(message)

    with connected(server, "/echo/") as client:
        with in_thread(send_all, client):
            for message in messages:
                assert digest(client.receive()) == digest(message)
    all_quiet(server)


def test_permessage_deflate_passes(server):
    """S1-08: what client and member negotiate is theirs, and compressed messages pass as they are:
    far fewer bytes than their text has."""
    text = "compressible " * 100_000
    with connected(server, "/deflate/", compression="deflate") as client:
        assert "permessage-deflate" in client.headers["Sec-WebSocket-Extensions"]
        assert client.ask(text) == text
        data = os.urandom(200 * KB)
        assert client.ask(data) == data
        port = client._socket.local_address[1]  # pylint: disable=protected-access
    all_quiet(server)
    end = end_of(server, port)
    for passed in (end.to_member, end.to_client):
        assert 200 * KB < passed.bytes < 250 * KB and passed.messages == 2


# -- Frames that carry no data --------------------------------------------------------------------

def test_empty_frames_pings_and_pongs_pass(server, member):
    """Empty frames of each kind, control frames with the most that they may carry, also between
    the fragments of a message: byte for byte. Only whole messages count as messages."""
    def stream(build):
        return b"".join([
            build(TEXT), build(BINARY), build(PING), build(PONG), build(PING, os.urandom(125)),
            build(PONG, os.urandom(125)), build(TEXT, b"a", fin=False), build(PING, b"between"),
            build(CONTINUATION, fin=False), build(PONG), build(CONTINUATION)])

    pair = open_pair(server, member)
    to_member, to_client = stream(client_frame) * 50, stream(frame) * 70
    check_carries(pair.client, pair.member, to_member)
    check_carries(pair.member, pair.client, to_client)
    finish(server, pair)
    end = end_of(server, pair.port)
    assert (end.to_member.messages, end.to_client.messages) == (3 * 50, 3 * 70)


def test_pings_are_answered_by_the_peers(server, member, transport):
    """A ping reaches the library behind the tunnel and its pong comes back, with its payload, from
    either side; a pong that nobody asked for does no harm."""
    with connect(server.port, transport) as client:
        client.send(upgrade_request("/echo/") + client_frame(PING, b"early"))
        assert parse_head(client.read_head()).status == 101
        assert read_frame(client) == (PONG, b"early", True)
        client.send(client_frame(PONG, b"unasked") + client_frame(PING) + client_frame(TEXT, b"x"))
        assert read_frame(client) == (PONG, b"", True)
        assert read_frame(client) == (TEXT, b"x", True)

    future = start_connecting(transport.client_url(server.port, "/raw/"), transport)
    connection = member.accept()
    key = parse_head(connection.read_head()).get("Sec-WebSocket-Key")
    connection.send(switching(key) + frame(PING, b"early"))
    client = future.result(5 * SLOWNESS)
    assert read_frame(connection) == (PONG, b"early", True)
    socket = client._socket  # pylint: disable=protected-access
    pong = event_loop().run(socket.ping(b"from the client"))
    assert read_frame(connection) == (PING, b"from the client", True)
    connection.send(frame(PONG, b"from the client"))
    event_loop().run(pong)
    connection.close()
    all_quiet(server)


# -- What is no frame -----------------------------------------------------------------------------

what_is_no_frame = pytest.mark.parametrize("data", [
    frame(3, b"x") + frame(11, b"y") + frame(TEXT, b"z", rsv=7),
    client_frame(PING, bytes(126)) + client_frame(CLOSE, b"?", fin=False),
    b"\x82\x7f" + b"\xff" * 8 + b"beyond any length" * 100,
    bytes(range(256)) * 300,
], ids=["reserved bits and opcodes", "control frames that are none", "length without end", "noise"])


def check_nothing_is_refused(server, member, path, data):
    """What breaks the rules of frames passes unchanged, both ways, and so does all that comes
    behind it."""
    pair = open_pair(server, member, path)
    for source, destination in ((pair.client, pair.member), (pair.member, pair.client)):
        check_carries(source, destination, data)
        check_carries(source, destination, frames_of([10, 70 * KB], frame))
    finish(server, pair)


@what_is_no_frame
def test_nothing_is_refused_without_a_look(server, member, data):
    """WSBalanceFrames off."""
    check_nothing_is_refused(server, member, "/bytes/", data)


@event_only
@what_is_no_frame
def test_nothing_is_refused_by_lenience(start_once, member, transport, data):
    """WSBalanceFrames lenient: it is told, and passes."""
    server = start_once(f"""
WSBalanceFrames lenient
ProxyPass /raw/ {transport.member_url("ws", member.port)}
""")
    server.expect_log("WSB0302")
    check_nothing_is_refused(server, member, "/raw/", data)
