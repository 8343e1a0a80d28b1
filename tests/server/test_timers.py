"""Timers that end a tunnel with code 1001 on both sides (docs/directives.md, How tunnels end), and
the end that WSBalanceCloseTimeout gives them. httpd's own timeouts never do."""

import contextlib
import threading
import time

import pytest

from frames import (BINARY, PING, PONG, TEXT, client_frame, close_payload, frame, frame_by,
                    opposite, read_frame)
from h2_tunnels import dial, ends_of, event_only, start_h2_once
from h2_tunnels import open_pair as open_h2_pair
from ours import all_quiet
from ports import free_ports
from proxy_frames import (answer_close, check_closes, check_line, npm_client, read_close,
                          read_until_close)
from transport import every_transport
from tunnels import check_arrives, end_of, ended, in_thread, open_pair
from waiting import SLOWNESS, wait_until
from ws_peer import connected, event_loop

each_side = pytest.mark.parametrize("side", ["client", "member"])

# Route: its lines, the reason of the end, the text of the close frame, and the shortest life.
TIMERS = {
    "idle": ("WSBalanceIdleTimeout 400ms", "idle", b"idle", 400),
    "alias": ("ProxyWebsocketIdleTimeout 400ms", "idle", b"idle", 400),
    "data": ("WSBalanceDataTimeout 400ms", "data-idle", b"no data", 400),
    "life": ("WSBalanceLifetime 400ms", "lifetime", b"lifetime", 400),
    "jitter": ("WSBalanceLifetime 600ms 50%", "lifetime", b"lifetime", 300)}

OTHERS = {
    "none": "",
    "long-idle": "WSBalanceIdleTimeout 1s",
    "long-data": "WSBalanceDataTimeout 1s",
    "cut": "WSBalanceLifetime 400ms\nWSBalanceCloseTimeout 500ms",
    "patient": "WSBalanceLifetime 400ms\nWSBalanceCloseTimeout 1h"}


@pytest.fixture(scope="module")
def vhost_ports():
    """The second is that of a virtual host with the shortest timeouts that httpd has."""
    return free_ports(2)


@pytest.fixture(scope="module")
def server(start_httpd, transport, vhost_ports, shared_member, echo_member):
    lines = {name: timer[0] for name, timer in TIMERS.items()} | OTHERS
    members = {"raw": shared_member, "echo": echo_member}
    return start_httpd("WSBalanceLog tunnels.json\n" + "\n".join(f"""
ProxyPass /{kind}/{name}/ {transport.member_url("ws", member.port)}
<Location /{kind}/{name}/>
{text}
</Location>""" for kind, member in members.items() for name, text in lines.items()) + f"""
<VirtualHost *:{vhost_ports[1]}>
  Timeout 1
  ProxyTimeout 1
</VirtualHost>
""", listen=vhost_ports)


def open_route(server, member, name):
    return open_pair(server, member, f"/raw/{name}/")


# -- Each timer -----------------------------------------------------------------------------------

@every_transport
def test_each_timer_closes_both_sides(server, member):
    """S2-38: not too early, with a close frame for each side, and the same end in both logs. Also
    by the name that guides have."""
    pairs = {name: open_route(server, member, name) for name in TIMERS}
    for name, pair in pairs.items():
        check_closes(pair, TIMERS[name][2])
    for name, pair in pairs.items():
        line = check_line(server, pair, TIMERS[name][1], TIMERS[name][3])
        # What answered the close frames counts as received, and goes no further.
        assert (line["frames_from_client"], line["frames_from_member"]) == (1, 1)
        assert line["duration_ms"] < 30_000 * SLOWNESS


# Who says what to which timer, and the reason if that is not enough for it.
TALK = {
    "client's data": ("client", "long-idle", client_frame(TEXT, b"data")),
    "member's data": ("member", "long-idle", frame(BINARY, b"data")),
    "client's pings": ("client", "long-idle", client_frame(PING, b"ping")),
    "member's pongs": ("member", "long-idle", frame(PONG, b"pong")),
    "data for data": ("member", "long-data", frame(TEXT, b"data")),
    "pings for data": ("client", "long-data", client_frame(PING, b"ping")),
    "pongs for data": ("member", "long-data", frame(PONG, b"pong"))}
DEAF = ("pings for data", "pongs for data")


def talk(pairs, seconds):
    """Everybody says something again and again: how often, the longest pause, and the last time."""
    began = last = time.monotonic()
    longest, rounds = 0.0, 0
    while last < began + seconds:
        for name, pair in pairs.items():
            pair.side(TALK[name][0])[0].send(TALK[name][2])
        rounds += 1
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
        wait_until(lambda: time.monotonic() > last + 0.1, what="a moment")
    return rounds, longest + 0.1, last


@event_only
@pytest.mark.transports("plain")
def test_what_counts(server, member):
    """For WSBalanceIdleTimeout every byte from either side; for WSBalanceDataTimeout those of data
    frames only, while pings and pongs go on."""
    for _ in range(5):
        pairs = {name: open_route(server, member, TALK[name][1]) for name in TALK}
        wait_until(lambda: server.tunnels() == len(pairs), what="their clocks to run")
        rounds, longest, last = talk(pairs, 2.2)
        if longest < 0.8:
            break
        member.forget()  # This machine was too slow to keep anything alive.
    else:
        pytest.fail(f"{longest} s between two bytes")
    for name, pair in pairs.items():
        side, route, _ = TALK[name]
        speaker, listener = pair.side(side)
        reason, text = ("idle", b"idle") if route == "long-idle" else ("data-idle", b"no data")
        count, payload = read_until_close(listener)
        assert payload == close_payload(1001, text)
        # Behind a close frame nothing comes.
        assert (count < rounds) if name in DEAF else (count == rounds), (name, count, rounds)
        assert name in DEAF or time.monotonic() >= last + 0.9, name
        answer_close(listener, opposite(side))
        read_close(speaker, side, text)
        answer_close(speaker, side)
        assert speaker.is_ended()
        pair.close()
        check_line(server, pair, reason, 1000 if name in DEAF else 3100)


@event_only
@pytest.mark.transports("plain")
def test_bytes_within_a_frame_count(server, member):
    """Also for WSBalanceDataTimeout: a long message that comes slowly is data."""
    data = client_frame(BINARY, bytes(20))
    for _ in range(5):
        pairs = [open_route(server, member, name) for name in ("long-idle", "long-data")]
        began = last = time.monotonic()
        longest = 0.0
        for at in range(len(data)):
            for pair in pairs:
                pair.client.send(data[at:at + 1])
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
            wait_until(lambda: time.monotonic() > last + 0.08, what="a moment")
        if longest < 0.8:
            break
        member.forget()
    assert last > began + 1.5
    for pair, text in zip(pairs, (b"idle", b"no data")):
        assert read_frame(pair.member) == (BINARY, bytes(20), True)
        check_closes(pair, text)
        assert time.monotonic() >= last + 0.9


@event_only
def test_a_lifetime_ends_busy_tunnels(server, member):
    """Data in both directions does not hold it up; each side gets whole messages, and nothing
    behind the close frame."""
    pair = open_route(server, member, "life")
    stop = threading.Event()

    def speak(side):
        while not stop.is_set():
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                pair.side(side)[0].send(frame_by(side, BINARY, bytes(1000)))

    def listen(side):
        counts[side], payload = read_until_close(pair.side(side)[0])
        assert payload == close_payload(1001, b"lifetime")

    counts = {}
    with in_thread(speak, "client"), in_thread(speak, "member"):
        try:
            with in_thread(listen, "client"), in_thread(listen, "member"):
                pass
        finally:
            stop.set()
    assert counts["client"] > 0 and counts["member"] > 0
    answer_close(pair.client, "client")
    answer_close(pair.member, "member")
    assert pair.client.is_ended() and pair.member.is_ended()
    pair.close()
    check_line(server, pair, "lifetime", 400)


# -- Where there is none --------------------------------------------------------------------------

def test_httpds_timeouts_never_end_a_tunnel(server, member, vhost_ports):
    """S2-38: without timers of its own a tunnel stays, whatever Timeout and ProxyTimeout say: a
    silent one, and one that stands in the middle of a frame."""
    silent = open_pair(server, member, "/raw/none/", port=vhost_ports[1])
    halfway = open_pair(server, member, "/raw/none/", port=vhost_ports[1])
    data = {side: frame_by(side, TEXT, b"a message") for side in ("client", "member")}
    for side in ("client", "member"):
        sender, receiver = halfway.side(side)
        sender.send(data[side][:7])
        check_arrives(receiver, data[side][:7])
    opened = time.monotonic()
    wait_until(lambda: time.monotonic() > opened + 2.2, what="twice the time of Timeout")
    assert server.tunnels() == 2
    for side in ("client", "member"):
        sender, receiver = halfway.side(side)
        sender.send(data[side][7:])
        check_arrives(receiver, data[side][7:])
        sender, receiver = silent.side(side)
        sender.send(data[side])
        check_arrives(receiver, data[side])
    for pair in (silent, halfway):
        pair.close()
        # Which of the two ends comes first is open.
        assert end_of(server, pair.port).reason.endswith(("-eof", "-error"))


@event_only
@pytest.mark.transports("plain")
def test_the_innermost_value_counts(start_once, member, transport):
    """`off` too; and of two names for one timer the later line."""
    url = transport.member_url("ws", member.port)
    server = start_once(f"""
WSBalanceLog tunnels.json
WSBalanceIdleTimeout 300ms
WSBalanceLifetime 1h
ProxyPass /raw/ {url}
<Location /raw/off/>
  WSBalanceIdleTimeout off
</Location>
<Location /raw/zero/>
  ProxyWebsocketIdleTimeout 0
</Location>
<Location /raw/long/>
  WSBalanceIdleTimeout 1200ms
</Location>
<Location /raw/long/off/>
  WSBalanceIdleTimeout off
</Location>
<Location /raw/other/>
  WSBalanceIdleTimeout 300ms
  ProxyWebsocketIdleTimeout 1200ms
</Location>
<Proxy {url}>
  WSBalanceDataTimeout 1300ms
</Proxy>
""")
    pairs = {name: open_pair(server, member, f"/raw/{name}")
             for name in ("off/", "zero/", "long/off/", "outer", "long/", "other/")}
    for name, reason, shortest in (
            ("outer", "idle", 300), ("long/", "idle", 1200), ("other/", "idle", 1200),
            ("off/", "data-idle", 1300), ("zero/", "data-idle", 1300),
            ("long/off/", "data-idle", 1300)):
        check_closes(pairs[name], b"no data" if reason == "data-idle" else b"idle")
        check_line(server, pairs[name], reason, shortest)


# -- Peers that are not ours ----------------------------------------------------------------------

def test_libraries_see_the_code(server, echo_member):
    """python3-websockets as client and as member."""
    for name in ("idle", "life"):
        client = connected(server, f"/echo/{name}/")
        socket = client._socket  # pylint: disable=protected-access
        port = socket.local_address[1]
        wait_until(lambda: len(echo_member.open_sockets) == 1, what="one WebSocket at the member")
        (members_end,) = echo_member.open_sockets
        for end in (socket, members_end):
            event_loop().run(end.wait_closed())
            assert (end.close_code, end.close_reason) == (1001, TIMERS[name][2].decode())
        all_quiet(server)
        end = end_of(server, port)
        assert (end.reason, end.close_code, end.closer) == (TIMERS[name][1], 1001, "proxy")


@event_only
def test_npm_ws_sees_the_code(server, member):
    with npm_client(server, member, "/raw/idle/") as (connection, seen):
        read_close(connection, "member", b"idle")
        answer_close(connection, "member")
        assert connection.is_ended()
        connection.close()
    assert seen["code"] == 1001
    all_quiet(server)
    end, = wait_until(lambda: ended(server), what="the line of its end")
    assert (end.reason, end.closer) == ("idle", "proxy")


@event_only
@pytest.mark.transports("plain")
def test_over_http2(start_h2_once, dial, member):
    """The close frame comes in the stream, behind it END_STREAM."""
    server = start_h2_once(f"""
WSBalanceIdleTimeout 400ms
ProxyPass /raw/ ws://127.0.0.1:{member.port}/
""")
    connection = dial(server)
    stream, raw = open_h2_pair(connection, member)
    read_close(stream, "client", b"idle")
    read_close(raw, "member", b"idle")
    answer_close(stream, "client")
    answer_close(raw, "member")
    assert stream.read_until_eof() == b"" and raw.is_ended()
    raw.close()
    end, = ends_of(server, connection)
    assert (end.reason, end.close_code, end.closer) == ("idle", 1001, "proxy")
    assert end.duration_ms >= 400


# -- WSBalanceCloseTimeout ------------------------------------------------------------------------

@every_transport
@event_only
def test_a_side_that_does_not_answer_is_cut(server, member):
    """After WSBalanceCloseTimeout, also while it goes on sending."""
    stop = threading.Event()
    silent = [(side, open_route(server, member, "cut")) for side in ("client", "member")]
    busy = [(side, open_route(server, member, "cut")) for side in ("client", "member")]

    def speak():
        while not stop.wait(0.05):
            for side, pair in busy:
                with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                    pair.side(side)[0].send(frame_by(side, TEXT, b"I do not listen"))

    with in_thread(speak):
        try:
            for side, pair in silent + busy:
                deaf, proper = pair.side(side)
                assert read_until_close(proper)[1] == close_payload(1001, b"lifetime")
                answer_close(proper, opposite(side))
                read_close(deaf, side, b"lifetime")
            for _, pair in silent + busy:
                assert pair.client.is_ended() and pair.member.is_ended()
        finally:
            stop.set()
    for _, pair in silent + busy:
        pair.close()
        line = check_line(server, pair, "lifetime", 900)
        assert line["duration_ms"] < 900 + 3000 * SLOWNESS


@every_transport
@event_only
def test_a_frame_that_never_ends_is_cut(server, member):
    """Who gets it can get no close frame: the connection ends within the frame. The sender gets
    one, and its answer is of no use."""
    part = {side: frame_by(side, BINARY, bytes(5000))[:4000] for side in ("client", "member")}
    pairs = {side: open_route(server, member, "cut") for side in part}
    for side, pair in pairs.items():
        sender, receiver = pair.side(side)
        sender.send(part[side])
        check_arrives(receiver, part[side])
    for side, pair in pairs.items():
        sender, receiver = pair.side(side)
        read_close(sender, side, b"lifetime")
        assert receiver.is_ended() and sender.is_ended()
        pair.close()
        check_line(server, pair, "lifetime", 900)


@event_only
@each_side
def test_a_close_frame_waits_for_the_end_of_a_frame(server, member, side):
    """Who gets the frame gets all of it, then the close frame, and nothing that comes behind."""
    pair = open_route(server, member, "patient")
    sender, receiver = pair.side(side)
    data = frame_by(side, BINARY, bytes(5000))
    sender.send(data[:4000])
    check_arrives(receiver, data[:4000])
    read_close(sender, side, b"lifetime")
    assert not receiver.has_data(0.05)
    sender.send(data[4000:] + frame_by(side, TEXT, b"nobody gets it"))
    check_arrives(receiver, data[4000:])
    read_close(receiver, opposite(side), b"lifetime")
    answer_close(receiver, opposite(side))
    answer_close(sender, side)
    assert sender.is_ended() and receiver.is_ended()
    pair.close()
    check_line(server, pair, "lifetime", 400)
