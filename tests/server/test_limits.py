"""WSBalanceMaxFrame, WSBalanceMaxMessage, WSBalanceMessageRate, WSBalanceByteRate, and the limit of
pings that each side has: what they stop, what they slow down, and what they leave alone.

Rates are tested by lower bounds of time, which no slow machine breaks. They count from before the
handshake: the clock of the tunnel may be a moment behind that of the test, but never behind that.
"""

import contextlib
import os
import time

import pytest

from frames import (BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, builder, client_frame,
                    close_payload, frame, frame_by, opposite, read_frame)
from h2_tunnels import check_ends_at_once, dial, start_h2, start_h2_once
from h2_tunnels import open_pair as open_h2_pair
from proxy_frames import LOG_LINE, check_ended, check_refused, header, line_of, read_close
from raw_peer import RawMember
from tunnels import (AT_ONCE, check_arrives, check_flood_arrives, ends_within, in_thread, narrow,
                     open_pair, send_until_blocked)
from waiting import SLOWNESS
from ws_peer import EchoMember, connected

event_only = pytest.mark.parametrize("mpm", ["event"], indirect=True)
plain_only = pytest.mark.transports("plain")
each_side = pytest.mark.parametrize("side", ["client", "member"])

KB, MB = 1024, 1024 * 1024
FIN = 0x80

# The most that a rate sees at once (docs/directives.md).
READ = 128 * KB
READ_OF_MESSAGES = 4 * KB

PINGS_PER_SECOND = 100

CLOSE_TIMEOUT_MS = int(1000 * SLOWNESS)

SECTIONS = {
    "frame": "WSBalanceMaxFrame 1000",
    "message": "WSBalanceMaxMessage 1000",
    "both": "WSBalanceMaxFrame 1000\nWSBalanceMaxMessage 1500",
    "frame-lenient": "WSBalanceFrames lenient\nWSBalanceMaxFrame 1000",
    "message-lenient": "WSBalanceFrames lenient\nWSBalanceMaxMessage 1000",
    "message-10k": "WSBalanceMaxMessage 10k",
    "messages": "WSBalanceMessageRate 50 burst=10",
    "one-message": "WSBalanceMessageRate 1",
    "bytes": "WSBalanceByteRate 128k burst=16k",
    "bytes-off": "WSBalanceByteRate 128k burst=16k\nWSBalanceFrames off",
    "one-byte": "WSBalanceByteRate 1",
    "slow-end": "WSBalanceByteRate 64k burst=1k\n"
                f"WSBalanceCloseTimeout {CLOSE_TIMEOUT_MS}ms",
    "messages-close": "WSBalanceMessageRate 10 burst=20 action=close",
    "bytes-close": "WSBalanceByteRate 1k burst=100k action=close",
    "bytes-close-off": "WSBalanceByteRate 1k burst=100k action=close\nWSBalanceFrames off",
    "no-limits": "",
    "outer": "",
    "outer/none": "WSBalanceMaxFrame 0\nWSBalanceMaxMessage 0\n"
                  "WSBalanceMessageRate 0\nWSBalanceByteRate 0",
    "outer/other": "WSBalanceMaxFrame 20\nWSBalanceMaxMessage 0\n"
                   "WSBalanceMessageRate 0\nWSBalanceByteRate 0",
}
OUTER = """WSBalanceMaxFrame 10
WSBalanceMaxMessage 15
WSBalanceMessageRate 1 action=close
WSBalanceByteRate 100 action=close"""


@pytest.fixture(scope="module")
def compressing_member(transport):
    with EchoMember(transport=transport, compression="deflate") as member:
        yield member


@pytest.fixture(scope="module")
def server(start_httpd, transport, shared_member, compressing_member):
    sections = "".join(f"<Location /{name}/>\n{lines}\n</Location>\n"
                       for name, lines in SECTIONS.items() if name != "outer")
    return start_httpd(LOG_LINE + f"""
ProxyPass /message-10k/echo/ {transport.member_url("ws", compressing_member.port)}
ProxyPass / {transport.member_url("ws", shared_member.port)}
<Location /outer/>
{OUTER}
</Location>
{sections}""")


def fragments(*sizes):
    """A client's message in frames of these sizes, all but the last of which have no FIN."""
    return b"".join(client_frame(CONTINUATION if number else BINARY, os.urandom(size),
                                 fin=number == len(sizes) - 1)
                    for number, size in enumerate(sizes))


def check_passes(pair, data, side="client"):
    sender, receiver = pair.side(side)
    with in_thread(sender.send, data):
        check_arrives(receiver, data)


def check_too_big(server, pair, reason):
    check_refused(pair, "client", 1009, "message too big")
    line = check_ended(server, pair.port, reason, 1009)
    assert line["violations_by_client"] == 1
    return line


# -- WSBalanceMaxFrame, WSBalanceMaxMessage -------------------------------------------------------

# The frame, or the last frame of the message, that goes beyond 1000 bytes: its header and a part of
# its payload.
TOO_LONG = {
    "1001": client_frame(TEXT, b"x" * 1001),
    "header of 1001": header("client", FIN | BINARY, 1001, 2),
    "header of 65536": header("client", FIN | BINARY, 65536, 8),
    "header of 2^62": header("client", BINARY, 1 << 62, 8),
}
each_too_long = pytest.mark.parametrize("too_long", TOO_LONG.values(), ids=list(TOO_LONG))


@pytest.mark.parametrize("path", ["frame", "message", "frame-lenient", "message-lenient"])
def test_too_long(server, member, path):
    """Exactly at the limit it passes. Above it nothing of it does, nor of what is behind it: 1009
    for the client, 1001 for the member; in lenient too, this is no rule of the protocol."""
    pair = open_pair(server, member, f"/{path}/")
    check_passes(pair, fragments(1000) + client_frame(TEXT, b"x" * 1000) + client_frame(TEXT))
    good = client_frame(TEXT, b"good")
    pair.client.send(good + TOO_LONG["1001"] + client_frame(TEXT, b"behind"))
    check_arrives(pair.member, good)
    line = check_too_big(server, pair, f"limit-{path.split('-')[0]}")
    assert line["messages_from_client"] == 4


@event_only
@each_too_long
@pytest.mark.parametrize("path", ["frame", "message", "frame-lenient", "message-lenient"])
def test_too_long_by_its_header(server, member, path, too_long):
    """It is refused when its header is there, however that comes, without any of its payload."""
    pair = open_pair(server, member, f"/{path}/")
    good = client_frame(TEXT, b"good")
    pair.client.send_pieces(bytes([byte]) for byte in good + too_long[:100])
    check_arrives(pair.member, good)
    check_too_big(server, pair, f"limit-{path.split('-')[0]}")


@event_only
@plain_only
def test_too_long_in_the_same_write_as_the_handshake(server, member):
    good = client_frame(TEXT, b"good")
    pair = open_pair(server, member, "/frame/", early=good + TOO_LONG["1001"])
    check_arrives(pair.member, good)
    check_too_big(server, pair, "limit-frame")


@event_only
@plain_only
@pytest.mark.parametrize("path", ["frame", "message"])
def test_a_length_that_is_none(server, member, path):
    """RFC 6455 5.2: 2^63. Behind it no limit could be kept, so that lenient refuses it too; strict
    has its own word for it."""
    beyond = header("client", FIN | BINARY, 1 << 63, 8)
    pair = open_pair(server, member, f"/{path}-lenient/")
    pair.client.send(beyond)
    check_too_big(server, pair, f"limit-{path}")
    pair = open_pair(server, member, f"/{path}/")
    pair.client.send(beyond)
    check_refused(pair, "client", 1002, "protocol error")
    check_ended(server, pair.port, "protocol-client", 1002)


@event_only
@pytest.mark.parametrize("path", ["message", "message-lenient"])
def test_fragments_are_summed(server, member, path):
    """The frames of a message together, and nothing else: no ping between them, no message before.
    It is stopped at the header of the frame that goes beyond; those before it have passed."""
    pair = open_pair(server, member, f"/{path}/")
    check_passes(pair, fragments(600, 400) + fragments(*[1] * 1000) + fragments(0, 1000, 0))
    begun = (client_frame(BINARY, os.urandom(600), fin=False) + client_frame(PING, b"x" * 125) * 4
             + client_frame(CONTINUATION, os.urandom(400), fin=False))
    check_passes(pair, begun + client_frame(CONTINUATION, b"", fin=False))
    pair.client.send(client_frame(CONTINUATION, b"x"))
    line = check_too_big(server, pair, "limit-message")
    assert line["messages_from_client"] == 3


@event_only
@plain_only
def test_both_limits(server, member):
    """Each for itself."""
    pair = open_pair(server, member, "/both/")
    check_passes(pair, fragments(1000, 500) * 2)
    check_passes(pair, client_frame(TEXT, b"x" * 1000, fin=False))
    pair.client.send(client_frame(CONTINUATION, b"x" * 501))
    assert check_too_big(server, pair, "limit-message")["frames_from_client"] == 5
    pair = open_pair(server, member, "/both/")
    pair.client.send(fragments(1001, 0))
    check_too_big(server, pair, "limit-frame")


@event_only
@plain_only
def test_control_frames_and_members_have_no_limit(server, member):
    pair = open_pair(server, member, "/outer/other/")
    check_passes(pair, client_frame(PING, b"x" * 125) + client_frame(PONG, b"x" * 125))
    data = frame(BINARY, os.urandom(MB)) + frame(TEXT, b"x" * 5000, fin=False)
    check_passes(pair, data, "member")
    check_passes(pair, client_frame(CLOSE, close_payload(1000, b"x" * 123)))
    pair.close()
    assert line_of(server, pair.port)["reason"] == "client-close"


@event_only
@plain_only
def test_the_size_is_that_on_the_wire(server):
    """A megabyte that permessage-deflate makes a kilobyte of is no long message."""
    with connected(server, "/message-10k/echo/", compression="deflate") as client:
        assert client.ask(bytes(MB)) == bytes(MB)


@event_only
@plain_only
def test_no_limit_with_frames_off(start_once, member, transport):
    """httpd says so."""
    server = start_once(LOG_LINE + f"""
WSBalanceFrames off
WSBalanceMaxFrame 10
WSBalanceMaxMessage 10
WSBalanceMessageRate 1
ProxyPass / {transport.member_url("ws", member.port)}
""")
    server.expect_log("WSB0016", level="warn")
    pair = open_pair(server, member, "/")
    check_passes(pair, TOO_LONG["1001"] * 300)
    pair.close()
    assert line_of(server, pair.port)["throttled"] == 0


@event_only
@plain_only
def test_over_http2(start_h2_once, dial, shared_member):
    """The close frame and END_STREAM for the stream; the connection serves the next one."""
    shared_member.forget()
    server = start_h2_once(LOG_LINE + f"""
WSBalanceMaxMessage 1000
ProxyPass /raw/ ws://127.0.0.1:{shared_member.port}/
""")
    connection = dial(server)
    stream, raw = open_h2_pair(connection, shared_member)
    good = fragments(600, 400) + client_frame(BINARY, os.urandom(600), fin=False)
    stream.send(good + client_frame(CONTINUATION, b"x" * 401))
    check_arrives(raw, good)
    read_close(raw, "member", b"message too big")
    read_close(stream, "client", b"message too big", 1009)
    check_ends_at_once(stream)
    raw.send(frame(CLOSE, close_payload(1001)))
    stream.end_sending()
    assert ends_within(raw, AT_ONCE)
    raw.close()
    check_ended(server, connection.port, "limit-message", 1009)
    stream, raw = open_h2_pair(connection, shared_member)
    stream.send(client_frame(TEXT, b"next"))
    assert read_frame(raw) == (TEXT, b"next", True)


# -- Rates: throttle ------------------------------------------------------------------------------

def check_throttled(server, pair):
    """The tunnel ended as its sides wished, and a limit made one of them wait."""
    pair.close()
    line = line_of(server, pair.port)
    assert line["throttled"] > 0 and line["reason"].endswith(("-eof", "-error"))
    return line


@event_only
def test_message_rate(server, member):
    """Nothing is lost, and no message comes before its time: all but the burst, and but those of
    the last read, have been waited for."""
    began = time.monotonic()
    pair = open_pair(server, member, "/messages/")
    count, size = 110, 1000
    check_passes(pair, b"".join(client_frame(TEXT, os.urandom(size)) for _ in range(count)))
    waited_for = count - (READ_OF_MESSAGES // size + 1) - 10
    assert time.monotonic() - began >= waited_for / 50
    pair.client.end_sending()
    assert ends_within(pair.member, AT_ONCE)
    assert check_throttled(server, pair)["messages_from_client"] == count


@event_only
def test_message_rate_counts_messages(server, member):
    """Not their frames, nor control frames."""
    pair = open_pair(server, member, "/messages/")
    for _ in range(2):
        check_passes(pair, fragments(*[1] * 500) + client_frame(PONG) * 500
                     + client_frame(PING) * 20)
    pair.close()
    assert line_of(server, pair.port)["throttled"] == 0


@event_only
def test_byte_rate(server, member):
    """As above, for bytes."""
    check_byte_rate(server, member, "bytes", client_frame(BINARY, os.urandom(384 * KB)))


@event_only
@plain_only
def test_byte_rate_with_frames_off(server, member):
    check_byte_rate(server, member, "bytes-off", os.urandom(384 * KB))


def check_byte_rate(server, member, path, data):
    began = time.monotonic()
    pair = open_pair(server, member, f"/{path}/")
    check_passes(pair, data)
    waited_for = len(data) - READ - 16 * KB
    assert time.monotonic() - began >= waited_for / (128 * KB)
    pair.client.end_sending()
    assert ends_within(pair.member, AT_ONCE)
    check_throttled(server, pair)


@event_only
@pytest.mark.parametrize("path", ["one-message", "one-byte"])
def test_the_other_direction_is_not_slowed(server, member, path):
    """While the client waits for its next second the member's megabytes pass, and the pings of
    both."""
    pair = open_pair(server, member, f"/{path}/")
    message = client_frame(BINARY, os.urandom(64 * KB))

    def send():
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            pair.client.send(message * 30)

    with in_thread(send):
        assert pair.member.has_data(10 * SLOWNESS)
        check_passes(pair, frame(BINARY, os.urandom(5 * MB)) + frame(PING, b"x"), "member")
        check_passes(pair, frame(BINARY, os.urandom(64)) * 5000, "member")
        pair.member.reset()
    pair.close()
    line = line_of(server, pair.port)
    assert line["throttled"] > 0 and line["bytes_from_client"] < 20 * len(message)


@event_only
@plain_only
def test_an_end_while_a_client_waits(server, member):
    """A client that sends and ends loses nothing, although it has to wait for longer than
    WSBalanceCloseTimeout."""
    pair = open_pair(server, member, "/slow-end/")
    data = b"".join(client_frame(BINARY, os.urandom(16 * KB)) for _ in range(14))

    def send():
        pair.client.send(data)
        pair.client.end_sending()

    with in_thread(send):
        check_arrives(pair.member, data)
    assert ends_within(pair.member, AT_ONCE)
    check_throttled(server, pair)


@event_only
@plain_only
def test_a_client_that_is_throttled_can_be_closed(start_once, member, transport):
    """By what ends it: its lifetime. The wait does not hold that up."""
    server = start_once(LOG_LINE + f"""
WSBalanceMessageRate 1
WSBalanceLifetime {int(1000 * SLOWNESS)}ms
ProxyPass / {transport.member_url("ws", member.port)}
""")
    pair = open_pair(server, member, "/")
    pair.client.send(client_frame(TEXT, b"x") * 600)
    read_close(pair.client, "client", b"lifetime")
    pair.client.send(client_frame(CLOSE, close_payload(1001)))
    pair.member.send(frame(CLOSE, close_payload(1001)))
    assert ends_within(pair.client, AT_ONCE)
    pair.close()
    assert check_ended(server, pair.port, "lifetime", 1001)["throttled"] == 1


# -- Rates: action=close --------------------------------------------------------------------------

def read_to_close(connection, count_max):
    """Skips the frames before a close frame, which stays; fails if there are more than so many."""
    for _ in range(count_max + 1):
        if connection.peek()[0] == FIN | CLOSE:
            return
        read_frame(connection)
    raise AssertionError(f"more than {count_max} frames")


@pytest.mark.parametrize("kind", ["messages", "bytes"])
def test_action_close(server, member, kind):
    """Up to the burst nothing happens. Above it 1008 for the client and 1001 for the member, which
    end with their answers; what was read at once has passed, and nothing that comes later."""
    pair = open_pair(server, member, f"/{kind}-close/")
    if kind == "messages":
        check_passes(pair, client_frame(TEXT, b"x") * 20)
        pair.client.send(client_frame(TEXT, b"x") * 500)
    else:
        check_passes(pair, client_frame(BINARY, os.urandom(99 * KB)))
        pair.client.send(client_frame(BINARY, os.urandom(KB)) * 20)
    read_close(pair.client, "client", b"rate limit", 1008)
    pair.client.send(client_frame(TEXT, b"too late") + client_frame(CLOSE, close_payload(1008)))
    read_to_close(pair.member, 500)
    read_close(pair.member, "member", b"rate limit")
    pair.member.send(frame(CLOSE, close_payload(1001)))
    assert ends_within(pair.client, AT_ONCE) and ends_within(pair.member, AT_ONCE)
    pair.close()
    reason = {"messages": "limit-message-rate", "bytes": "limit-byte-rate"}[kind]
    line = check_ended(server, pair.port, reason, 1008)
    assert (line["throttled"], line["violations_by_client"]) == (0, 0)


@event_only
@plain_only
def test_what_came_with_the_handshake_counts(server, member):
    """In one write with it."""
    pair = open_pair(server, member, "/messages-close/", early=client_frame(TEXT, b"x") * 100)
    read_close(pair.client, "client", b"rate limit", 1008)
    pair.close()
    check_ended(server, pair.port, "limit-message-rate", 1008)


@event_only
@plain_only
def test_action_close_with_frames_off(server, member):
    """Nobody knows where a close frame could stand: both sides just end."""
    pair = open_pair(server, member, "/bytes-close-off/")
    check_passes(pair, os.urandom(90 * KB))
    pair.client.send(os.urandom(50 * KB))
    pair.member.read_until_eof()
    assert ends_within(pair.client, AT_ONCE)
    pair.close()
    check_ended(server, pair.port, "limit-byte-rate", 0)


# -- Pings ----------------------------------------------------------------------------------------

@event_only
@each_side
def test_a_flood_of_pings_is_throttled(server, member, side):
    """Of either side, without any directive: what it sends behind it has to wait. The other side is
    not slowed."""
    began = time.monotonic()
    pair = open_pair(server, member, "/no-limits/")
    sender, receiver = pair.side(side)
    count = 250
    check_passes(pair, frame_by(side, PING, b"x") * count, side)
    sender.send(frame_by(side, TEXT, b"behind"))
    check_passes(pair, frame_by(opposite(side), BINARY, os.urandom(MB)), opposite(side))
    assert read_frame(receiver) == (TEXT, b"behind", True)
    assert time.monotonic() - began >= (count - 100 + 1) / PINGS_PER_SECOND
    sender.end_sending()
    assert ends_within(receiver, AT_ONCE)
    assert check_throttled(server, pair)["reason"] == f"{side}-eof"


@event_only
@each_side
def test_usual_pings_are_not(server, member, side):
    """A hundred at once are none; nor are pongs and messages, however many."""
    pair = open_pair(server, member, "/no-limits/")
    build = builder(side)
    check_passes(pair, build(PING, b"x") * 100 + build(PONG, b"x") * 2000, side)
    check_passes(pair, build(TEXT, b"x") * 20000, side)
    pair.close()
    assert line_of(server, pair.port)["throttled"] == 0


# -- Sections -------------------------------------------------------------------------------------

@event_only
@plain_only
def test_sections_merge(server, member):
    """The innermost value wins, and 0 is none."""
    pair = open_pair(server, member, "/outer/none/")
    check_passes(pair, fragments(2000, 2000) * 50)
    pair.close()
    line = line_of(server, pair.port)
    assert line["throttled"] == 0 and line["reason"].endswith(("-eof", "-error"))

    pair = open_pair(server, member, "/outer/other/")
    check_passes(pair, fragments(20, 20))
    pair.client.send(fragments(21))
    check_too_big(server, pair, "limit-frame")

    pair = open_pair(server, member, "/outer/")
    pair.client.send(fragments(11))
    check_too_big(server, pair, "limit-frame")
    pair = open_pair(server, member, "/outer/")
    pair.client.send(fragments(10, 6))
    assert read_frame(pair.member)[2] is False
    check_too_big(server, pair, "limit-message")
    for data, reason in ((fragments(1) * 10, "limit-message-rate"),
                         (client_frame(PONG, b"x" * 125), "limit-byte-rate")):
        pair = open_pair(server, member, "/outer/")
        check_passes(pair, data)
        read_close(pair.client, "client", b"rate limit", 1008)
        pair.close()
        check_ended(server, pair.port, reason, 1008)


# -- Memory ---------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def memory_server(start_httpd, transport, public_dir):
    """The kernel's buffers are small, as far as httpd can say so: towards a unix socket it can."""
    with RawMember(transport, path=public_dir / "limits.sock") as member:
        sections = "".join(f"""
<Location /{name}/>
  WSBalanceBuffer {size}
  WSBalanceByteRate 4m burst=64k
  WSBalanceMessageRate 1000
  WSBalanceMaxMessage 1024g
</Location>
ProxyPass /{name}/ unix:{public_dir}/limits.sock|ws://localhost/
""" for name, size in (("small", "16k"), ("large", "1m")))
        server = start_httpd(f"""
SendBufferSize 16384
ReceiveBufferSize 16384
ProxyReceiveBufferSize 16384
{sections}""")
        yield server, member


@event_only
@plain_only
def test_a_slow_reader_costs_its_buffer(memory_server):
    """With rates as without them: a member that does not read costs WSBalanceBuffer, and nothing of
    what the client could send is lost."""
    server, member = memory_server
    taken = {}
    for name in ("small", "large"):
        pair = open_pair(server, member, f"/{name}/")
        begin = header("client", FIN | BINARY, 1 << 39, 8)
        check_passes(pair, begin)
        narrow(pair.member)
        narrow(pair.client)
        taken[name] = send_until_blocked(pair.client)
        check_flood_arrives(pair.client, pair.member, taken[name])
        pair.close()
    assert taken["small"] < 16 * KB + 512 * KB
    difference = taken["large"] - taken["small"]
    assert (512 - 64) * KB < difference < (1024 + 64) * KB, taken
