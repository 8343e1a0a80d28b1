"""WSBalancePing: httpd asks silent sides, keeps the answers for itself, and ends tunnels that have
a dead side."""

import time

import pytest

import node_peer
from frames import (BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, builder, client_frame,
                    close_payload, frame, frame_by, opposite, read_frame)
from http_message import parse_head, switching
from ours import all_quiet
from proxy_frames import (answer_close, answer_ping, check_line, line_of, npm_client, read_close,
                          read_ping)
from transport import every_transport
from tunnels import check_arrives, ended, in_thread, narrow, open_pair
from waiting import SLOWNESS, wait_until
from ws_peer import connected, event_loop, start_connecting

event_only = pytest.mark.parametrize("mpm", ["event"], indirect=True)
each_side = pytest.mark.parametrize("side", ["client", "member"])

SIDES = ("client", "member")
KB = 1024


def milliseconds(seconds):
    """A time that a test has to keep itself, stretched as its deadlines are."""
    return f"{int(1000 * seconds * SLOWNESS)}ms"


# Seconds without a byte after which a side of a blocked tunnel would be dead.
BLOCKED = 2.5

# A second ping is never sent before something has come after the first. So the tests need no short
# timeout to see that a side answers.
ROUTES = {
    "client": "WSBalancePing 300ms 1h client",
    "member": "WSBalancePing 300ms 1h member",
    "both": "WSBalancePing 300ms 1h",
    "dead-client": "WSBalancePing 300ms 500ms client",
    "dead-member": "WSBalancePing 300ms 500ms member",
    "late": f"WSBalancePing 300ms {milliseconds(2)}",
    "blocked": f"WSBalancePing {milliseconds(1)} {milliseconds(BLOCKED - 1)}"}


@pytest.fixture(scope="module")
def node_member(transport):
    with node_peer.NodeMember(transport) as member:
        yield member


@pytest.fixture(scope="module")
def server(start_httpd, transport, shared_member, echo_member, node_member):
    members = {"raw": shared_member, "echo": echo_member, "node": node_member}
    return start_httpd("WSBalanceLog tunnels.json\n" + "\n".join(f"""
ProxyPass /{kind}/{name}/ {transport.member_url("ws", member.port)}
<Location /{kind}/{name}/>
{line}
</Location>""" for kind, member in members.items() for name, line in ROUTES.items()))


def open_route(server, member, name):
    return open_pair(server, member, f"/raw/{name}/")


def close_both(server, pair):
    """A closing handshake that the client begins; how many pings each side had still to read, and
    the line of the end."""
    pings = {}
    pair.client.send(client_frame(CLOSE, close_payload(1000)))
    for side in ("member", "client"):
        connection = pair.side(side)[0]
        pings[side] = 0
        while (found := read_frame(connection))[0] == PING:
            pings[side] += 1
        assert found[:2] == (CLOSE, close_payload(1000)), found
        if side == "member":
            connection.send(frame(CLOSE, close_payload(1000)))
    pair.close()
    line = line_of(server, pair.port)
    assert (line["reason"], line["close_code"]) == ("client-close", 1000)
    return pings, line


# -- Pings and pongs ------------------------------------------------------------------------------

@every_transport
@event_only
def test_who_is_pinged(server, member):
    """The sides that the directive names, each interval; masked to the member; the pong reaches
    nobody; every ping is counted."""
    pairs = {name: open_route(server, member, name) for name in ("client", "member", "both")}
    counts = {(name, side): 0 for name in pairs for side in SIDES if name in (side, "both")}
    answered = {key: time.monotonic() for key in counts}
    for _ in range(3):
        for name, side in counts:
            answered_before = answered[name, side]
            payload = read_ping(pairs[name].side(side)[0], side)
            assert time.monotonic() >= answered_before + 0.3 or not counts[name, side]
            assert len(payload) == 8
            answered[name, side] = time.monotonic()
            pairs[name].side(side)[0].send(frame_by(side, PONG, payload))
            counts[name, side] += 1
    for name, pair in pairs.items():
        for side in SIDES:
            # The next frame of this side is the first that the other one gets of it.
            pair.side(side)[0].send(frame_by(side, TEXT, b"hello"))
        for side in SIDES:
            found = read_frame(pair.side(side)[0])
            while found[0] == PING:
                assert (name, side) in counts
                counts[name, side] += 1
                found = read_frame(pair.side(side)[0])
            assert found == (TEXT, b"hello", True)
        late, line = close_both(server, pair)
        for side in SIDES:
            assert line[f"pings_to_{side}"] == counts.get((name, side), 0) + late[side]
        # Ours are no frames of the other side.
        assert line["messages_from_client"] == line["messages_from_member"] == 1


@event_only
@each_side
def test_other_pongs_pass(server, member, side):
    """While a ping of ours waits, and together with its answer, cut anywhere: only that is kept
    back."""
    pair = open_route(server, member, side)
    pinged, other = pair.side(side)
    payload = read_ping(pinged, side)
    build = builder(side)
    before = (build(PONG) + build(PONG, b"12345678") + build(PONG, payload[:7])
              + build(PONG, payload + b"9") + build(TEXT, payload) + build(PING, payload))
    own = build(PONG, payload)
    after = build(TEXT, b"one", fin=False)
    behind = build(CONTINUATION, b"two")
    pinged.send(before + own + after)
    check_arrives(other, before + after)
    # Between two fragments, each byte by itself.
    answer_pieces = build(PONG, read_ping(pinged, side))
    pinged.send_pieces([answer_pieces[at:at + 1] for at in range(len(answer_pieces))])
    pinged.send(behind)
    check_arrives(other, behind)
    assert not other.has_data(0.05)
    pinged.send(build(PONG, b"unasked"))
    assert read_frame(other) == (PONG, b"unasked", True)
    pair.close()


@event_only
def test_pings_between_fragments(server, member):
    """A ping stands between two frames of a message; a library puts the message together."""
    transport = server.transport
    future = start_connecting(transport.client_url(server.port, "/raw/client/"), transport)
    connection = member.accept()
    key = parse_head(connection.read_head()).get("Sec-WebSocket-Key")
    connection.send(switching(key))
    client = future.result(10 * SLOWNESS)
    port = client._socket.local_address[1]  # pylint: disable=protected-access
    opened = time.monotonic()
    connection.send(frame(TEXT, b"one ", fin=False))
    wait_until(lambda: time.monotonic() > opened + 1.0, what="some intervals")
    connection.send(frame(CONTINUATION, b"message"))
    assert client.receive() == "one message"
    future = event_loop().start(client._socket.close())  # pylint: disable=protected-access
    # Nothing but the close frame: the pongs are kept back.
    assert read_frame(connection) == (CLOSE, close_payload(1000), True)
    connection.send(frame(CLOSE, close_payload(1000)))
    connection.close()
    future.result(10 * SLOWNESS)
    assert line_of(server, port)["pings_to_client"] >= 1


@event_only
@each_side
def test_no_ping_inside_a_frame(server, member, side):
    """A side that stands in the middle of a frame of the other one's gets the rest of it first. The
    other one is pinged meanwhile, and a byte of its frame is an answer."""
    pair = open_route(server, member, "both")
    sender, receiver = pair.side(side)
    data = frame_by(side, BINARY, bytes(100))
    sender.send(data[:50])
    for at in range(50, 54):
        # The receiver is silent all the time: its ping is due as often.
        read_ping(sender, side)
        sender.send(data[at:at + 1])
    check_arrives(receiver, data[:54])
    assert not receiver.has_data(0.4)
    sender.send(data[54:])
    check_arrives(receiver, data[54:])
    answer_ping(receiver, opposite(side))
    pair.close()


@event_only
@each_side
def test_a_part_of_a_header_is_no_begin_of_a_frame(server, member, side):
    """It waits at httpd until the header is whole, and a ping goes before it."""
    pair = open_route(server, member, opposite(side))
    sender, receiver = pair.side(side)
    data = frame_by(side, BINARY, bytes(70_000))
    sender.send(data[:3])
    answer_ping(receiver, opposite(side))
    answer_ping(receiver, opposite(side))
    sender.send(data[3:])
    found = read_frame(receiver)
    while found[0] == PING:
        found = read_frame(receiver)
    assert found == (BINARY, bytes(70_000), True)
    pair.close()


# -- Peers that are not ours ----------------------------------------------------------------------

def check_many_pings(server, port, *sides):
    """The line of the end counts some pings; each but the last was answered."""
    all_quiet(server)
    line = line_of(server, port)
    assert line["reason"] == "client-close"
    assert all(line[f"pings_to_{side}"] >= 4 for side in sides), line


def test_libraries_answer_by_themselves(server):
    """python3-websockets as client, with itself and with npm ws as member: tunnels without data
    live through many intervals, and nobody sees pongs."""
    clients = [connected(server, f"/{kind}/both/") for kind in ("echo", "node")]
    # pylint: disable-next=protected-access
    ports = [client._socket.local_address[1] for client in clients]
    opened = time.monotonic()
    wait_until(lambda: time.monotonic() > opened + 2.0, what="some intervals")
    for client in clients:
        assert client.ask("still here?") == "still here?"
        client.close()
    for port in ports:
        check_many_pings(server, port, "client", "member")


@event_only
@pytest.mark.transports("plain")
def test_npm_ws_answers_as_a_client(server, member, transport):
    with npm_client(server, member, "/raw/client/") as (connection, seen):
        assert not connection.has_data(2.0)
        connection.send(frame(TEXT, b"answer"))
        assert read_frame(connection) == (CLOSE, close_payload(1000), True)
        answer_close(connection, "member", 1000)
        connection.close()
    assert (seen["code"], seen["received"]) == (1000, ["answer"])
    port, = [end.port for end in wait_until(lambda: ended(server), what="the line of its end")]
    check_many_pings(server, port, "client")


# -- Sides that are dead --------------------------------------------------------------------------

@every_transport
@event_only
def test_a_side_that_answers_no_ping_is_dead(server, member):
    """Both are told with 1001. When the living one has answered both end at once: nobody waits for
    the dead one any more."""
    pairs = {side: open_route(server, member, f"dead-{side}") for side in SIDES}
    for side, pair in pairs.items():
        dead, alive = pair.side(side)
        read_close(alive, opposite(side), b"peer timeout")
        answer_close(alive, opposite(side))
        assert alive.is_ended()
        read_ping(dead, side)
        read_close(dead, side, b"peer timeout")
        assert dead.is_ended()
        pair.close()
        line = check_line(server, pair, f"ping-timeout-{side}", 800)
        assert (line[f"pings_to_{side}"], line[f"pings_to_{opposite(side)}"]) == (1, 0)
        assert line["duration_ms"] < 4500 * SLOWNESS


@event_only
@pytest.mark.transports("plain")
def test_a_late_answer_is_one(server, member):
    """Any byte is, also a part of a frame: the tunnel lives longer than a dead one could."""
    pair = open_route(server, member, "late")
    opened = time.monotonic()
    data = {side: frame_by(side, BINARY, bytes(100)) for side in SIDES}
    for at in range(3):
        for side in SIDES:
            # Who gets a frame that has begun gets no ping any more.
            if at == 0:
                read_ping(pair.side(side)[0], side)
        due = time.monotonic() + 0.9 * SLOWNESS
        wait_until(lambda due=due: time.monotonic() > due, what="a part of the timeout")
        for side in SIDES:
            pair.side(side)[0].send(data[side][at * 20:at * 20 + 20])
    assert time.monotonic() > opened + 0.3 + 2 * SLOWNESS
    for side in SIDES:
        pair.side(side)[0].send(data[side][60:])
    for side in SIDES:
        assert read_frame(pair.side(side)[0])[:2] == (BINARY, bytes(100))
    pair.close()


# -- Slow readers ---------------------------------------------------------------------------------

@event_only
def test_a_slow_reader_is_not_pinged_and_its_sender_is_not_dead(server, member):
    """Where nothing is read for longer than a dead side would be given: no ping stands in what
    comes at last, and nothing ends."""
    pairs = {side: open_route(server, member, "blocked") for side in SIDES}
    data = {side: frame_by(side, BINARY, bytes(16 * KB)) * KB for side in SIDES}
    for pair in pairs.values():
        narrow(pair.client)
        narrow(pair.member)
    with in_thread(pairs["client"].client.send, data["client"]), \
            in_thread(pairs["member"].member.send, data["member"]):
        began = time.monotonic()
        # Not a single byte moves any more.
        wait_until(lambda: time.monotonic() > began + (BLOCKED + 1.0) * SLOWNESS, what="a while")
        assert server.tunnels() == 2
        with in_thread(check_arrives, pairs["client"].member, data["client"]):
            check_arrives(pairs["member"].client, data["member"])
    for side, pair in pairs.items():
        sender, receiver = pair.side(side)
        receiver.send(frame_by(opposite(side), TEXT, b"got it"))
        found = read_frame(sender)
        while found[0] == PING:
            found = read_frame(sender)
        assert found == (TEXT, b"got it", True)
        pair.close()
