"""WSBalanceFrames: what is done about frames that break a rule of RFC 6455 5, of clients and of
members; and what right frames, however they come, have to fear from it (nothing)."""

import os
import random
import re
import select
import socket
import threading
from dataclasses import dataclass
from typing import Callable

import pytest

import node_peer
from frames import (BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, builder, close_payload,
                    frame_by, opposite, read_frame)
from proxy_frames import (LOG_LINE, check_ended, check_refused, header, line_of, open_agreed,
                          read_close)
from tunnels import AT_ONCE, check_arrives, ends_within, in_thread, open_pair
from waiting import SLOWNESS, wait_until
from ws_peer import EchoMember, connect, connected

event_only = pytest.mark.parametrize("mpm", ["event"], indirect=True)
plain_only = pytest.mark.transports("plain")
each_side = pytest.mark.parametrize("side", ["client", "member"])

KB, MB = 1024, 1024 * 1024
FIN, RSV1, RSV2, RSV3 = 0x80, 4, 2, 1

# Long enough for a test to say what it has to before its tunnel is ended.
IDLE_MS = int(1500 * SLOWNESS)
LIFETIME_MS = int(2000 * SLOWNESS)


# -- The rules ------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Broken:
    """A frame that breaks a rule, and how the error log names that. `begun`: it stands inside a
    fragmented message."""

    name: str
    rule: str
    build: Callable  # The side -> bytes.
    begun: bool = False


def broken(name, rule, opcode, payload=b"secret", **options):
    begun = options.pop("begun", False)
    return Broken(name, rule, lambda side: frame_by(side, opcode, payload, **options), begun)


def broken_header(name, rule, first_byte, length, width, payload=b"secret"):
    return Broken(name, rule, lambda side: header(side, first_byte, length, width) + payload)


MASKING = "RFC 6455 5.1: a frame is not masked as it must be"
OPCODE = "RFC 6455 5.2: a frame has a reserved opcode"
RESERVED = "RFC 6455 5.2, RFC 7692 6: a frame has a reserved bit that no extension allows"
LENGTH = "RFC 6455 5.2: a frame's length takes more bytes than it needs"
TOO_LARGE = "RFC 6455 5.2: a frame's length is 2^63 or above"
CONTROL_LENGTH = "RFC 6455 5.5: a control frame has more than 125 bytes"
CONTROL_FRAGMENTED = "RFC 6455 5.5: a control frame is fragmented"
ORDER = "RFC 6455 5.4: a frame continues no message, or begins one inside another"
CLOSE_PAYLOAD = "RFC 6455 5.5.1: a close frame has one byte, which is no status code"
CLOSE_CODE = "RFC 6455 7.4: a close frame has a status code that may not be sent"

BAD_CODES = [0, 999, 1004, 1005, 1006, 1015, 1016, 1999, 2999, 5000, 65535]
GOOD_CODES = [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999]

# Behind the header of one of these nobody knows where the next frame begins.
LOST = [
    broken_header("2^63", TOO_LARGE, FIN | BINARY, 1 << 63, 8),
    broken_header("2^64-1", TOO_LARGE, FIN | BINARY, (1 << 64) - 1, 8),
]
FOLLOWED = [
    Broken("masking", MASKING, lambda side: frame_by(opposite(side), TEXT, b"secret")),
    Broken("masking of a ping", MASKING, lambda side: frame_by(opposite(side), PING, b"secret")),
    *[broken(f"opcode {opcode}", OPCODE, opcode) for opcode in (3, 7, 11, 15)],
    broken("rsv1", RESERVED, TEXT, rsv=RSV1),
    broken("rsv2", RESERVED, BINARY, rsv=RSV2),
    broken("rsv3", RESERVED, TEXT, b"", rsv=RSV3),
    broken("rsv1 of a ping", RESERVED, PING, rsv=RSV1),
    broken_header("125 in 16 bits", LENGTH, FIN | TEXT, 125, 2, b"x" * 125),
    broken_header("0 in 16 bits", LENGTH, FIN | TEXT, 0, 2, b""),
    broken_header("65535 in 64 bits", LENGTH, FIN | TEXT, 65535, 8, b"x" * 65535),
    broken_header("5 in 64 bits", LENGTH, FIN | TEXT, 5, 8, b"x" * 5),
    broken("ping of 126", CONTROL_LENGTH, PING, b"x" * 126),
    broken("close of 126", CONTROL_LENGTH, CLOSE, close_payload(1000, b"x" * 124)),
    broken("fragmented ping", CONTROL_FRAGMENTED, PING, fin=False),
    broken("fragmented close", CONTROL_FRAGMENTED, CLOSE, close_payload(1000), fin=False),
    broken("continuation of nothing", ORDER, CONTINUATION),
    broken("message in a message", ORDER, TEXT, begun=True),
    broken("fragment of nothing", ORDER, CONTINUATION, fin=False),
    broken("first fragment in a message", ORDER, BINARY, fin=False, begun=True),
    broken("close of one byte", CLOSE_PAYLOAD, CLOSE, b"s"),
    *[broken(f"close {code}", CLOSE_CODE, CLOSE, close_payload(code, b"secret"))
      for code in BAD_CODES],
]

each_broken = pytest.mark.parametrize("case", FOLLOWED + LOST, ids=lambda case: case.name)
MASKING_CASE, LOST_CASE = FOLLOWED[0], LOST[0]


def good_before(case, side):
    """Right frames, behind which the broken one stands."""
    build = builder(side)
    data = build(TEXT, b"good") + build(PING, b"x" * 125) + build(BINARY, os.urandom(126))
    return data + (build(TEXT, b"begun", fin=False) if case.begun else b"")


@pytest.fixture(scope="module")
def deflate_member(transport):
    with FragmentingMember(transport=transport, compression="deflate") as member:
        yield member


@pytest.fixture(scope="module")
def node_member(transport):
    with node_peer.NodeMember(transport, deflate=True, pieces=3) as member:
        yield member


@pytest.fixture(scope="module")
def conf(transport, shared_member):
    raw = transport.member_url("ws", shared_member.port)
    sections = {
        "strict": "WSBalanceFrames strict",
        "default": "",
        "strict-member": "WSBalanceFrames off client\nWSBalanceFrames strict member",
        "lenient": "WSBalanceFrames lenient",
        "off": "WSBalanceFrames off",
        "off-client": "WSBalanceFrames lenient\nWSBalanceFrames off client",
        "off-member": "WSBalanceFrames lenient\nWSBalanceFrames off member",
    }
    return LOG_LINE + "".join(f"""
ProxyPass /{name}{suffix}/ {raw}
<Location /{name}{suffix}/>
  {lines}
  {more}
</Location>
""" for name, lines in sections.items() for suffix, more in {
        "": "", "-idle": f"WSBalanceIdleTimeout {IDLE_MS}ms",
        "-lifetime": f"WSBalanceLifetime {LIFETIME_MS}ms"}.items())


@pytest.fixture(scope="module")
def server(start_httpd, conf):
    return start_httpd(conf)


def allow_told(server):
    """Broken rules of members are warned of, each once: by whichever test comes first."""
    server.allow_log("WSB0302")


# -- strict ---------------------------------------------------------------------------------------

@event_only
@each_side
@each_broken
@pytest.mark.parametrize("way", ["one write", "byte by byte"])
def test_strict(server, member, side, case, way):
    """RFC 6455 5.1 to 5.5, 7.4: the frames before it arrive, of the broken one and of those behind
    it nothing; 1002 for who sent it, 1001 for the other."""
    allow_told(server)
    pair = open_pair(server, member, "/strict/")
    offender, bystander = pair.side(side)
    good, bad = good_before(case, side), case.build(side)
    if way == "one write":
        offender.send(good + bad + frame_by(side, TEXT, b"behind"))
    else:
        offender.send_pieces(bytes([byte]) for byte in good + bad[:200])
    check_arrives(bystander, good)
    check_refused(pair, side, 1002, "protocol error")
    line = check_ended(server, pair.port, f"protocol-{side}", 1002)
    violations = line[f"violations_by_{side}"], line[f"violations_by_{opposite(side)}"]
    assert violations == (1, 0)
    assert (line[f"messages_from_{side}"], line[f"frames_from_{side}"]) == (2, 3 + case.begun)


@pytest.mark.transports("plain", "tls")
@each_side
def test_strict_under_each_mpm(server, member, side):
    allow_told(server)
    pair = open_pair(server, member, "/strict/")
    pair.side(side)[0].send(frame_by(side, TEXT, b"good") + MASKING_CASE.build(side))
    assert read_frame(pair.side(side)[1]) == (TEXT, b"good", True)
    check_refused(pair, side, 1002, "protocol error")
    check_ended(server, pair.port, f"protocol-{side}", 1002)


@event_only
@each_side
@pytest.mark.parametrize("code", GOOD_CODES)
@plain_only
def test_close_codes_for_the_wire_pass(server, member, side, code):
    """RFC 6455 7.4 and IANA's registry."""
    pair = open_pair(server, member, "/strict/")
    first, second = pair.side(side)
    first.send(frame_by(side, CLOSE, close_payload(code, b"bye")))
    assert read_frame(second) == (CLOSE, close_payload(code, b"bye"), True)
    pair.close()
    line = line_of(server, pair.port)
    assert (line["reason"], line["close_code"]) == (f"{side}-close", code)
    assert line[f"violations_by_{side}"] == 0


@event_only
@each_side
def test_strict_right_behind_the_handshake(server, member, side):
    """What comes in one write with the handshake, or with its answer, is held to the rules too."""
    allow_told(server)
    data = frame_by(side, TEXT, b"good") + MASKING_CASE.build(side)
    pair = open_pair(server, member, "/strict/",
                     **{"early" if side == "client" else "first": data})
    assert read_frame(pair.side(side)[1]) == (TEXT, b"good", True)
    check_refused(pair, side, 1002, "protocol error")
    check_ended(server, pair.port, f"protocol-{side}", 1002)


@event_only
@each_side
def test_strict_behind_much_that_a_slow_reader_has_not_read(server, member, side):
    """All of what was right arrives, and then the close frame."""
    allow_told(server)
    pair = open_pair(server, member, "/strict/")
    offender, bystander = pair.side(side)
    good = frame_by(side, BINARY, os.urandom(8 * MB))
    with in_thread(offender.send, good + MASKING_CASE.build(side)):
        assert bystander.has_data(20 * SLOWNESS)
        check_arrives(bystander, good)
    check_refused(pair, side, 1002, "protocol error")
    check_ended(server, pair.port, f"protocol-{side}", 1002)


@event_only
@each_side
def test_the_offender_is_inside_a_frame_of_the_other_side(server, member, side):
    """A close frame of ours stands between two frames: the offender gets the rest of the one that
    it is in, then 1002; nothing that the other sends behind it."""
    allow_told(server)
    pair = open_pair(server, member, "/strict/")
    offender, bystander = pair.side(side)
    data = frame_by(opposite(side), BINARY, os.urandom(1000))
    bystander.send(data[:500])
    check_arrives(offender, data[:500])
    offender.send(MASKING_CASE.build(side))
    read_close(bystander, opposite(side), b"protocol error")
    bystander.send(data[500:] + frame_by(opposite(side), TEXT, b"too late")
                   + frame_by(opposite(side), CLOSE, close_payload(1001)))
    check_arrives(offender, data[500:])
    read_close(offender, side, b"protocol error", 1002)
    assert ends_within(offender, AT_ONCE)
    offender.close()
    assert ends_within(bystander, AT_ONCE)
    pair.close()
    check_ended(server, pair.port, f"protocol-{side}", 1002)


@event_only
@plain_only
def test_by_default_strict_for_clients_and_lenient_for_members(server, member):
    allow_told(server)
    pair = open_pair(server, member, "/default/")
    wrong = MASKING_CASE.build("member")
    pair.member.send(wrong)
    check_arrives(pair.client, wrong)
    pair.client.send(MASKING_CASE.build("client"))
    check_refused(pair, "client", 1002, "protocol error")
    line = check_ended(server, pair.port, "protocol-client", 1002)
    assert (line["violations_by_client"], line["violations_by_member"]) == (1, 1)


@event_only
@plain_only
def test_strict_for_members_and_off_for_clients(server, member):
    """Nobody knows where a close frame to the member could stand: it gets the end of its stream,
    also who broke the rule. The client's close frame stands between two frames of the member."""
    allow_told(server)
    pair = open_pair(server, member, "/strict-member/")
    pair.client.send(b"no frame")
    check_arrives(pair.member, b"no frame")
    pair.member.send(MASKING_CASE.build("member"))
    read_close(pair.client, "client", b"protocol error")
    assert ends_within(pair.member, AT_ONCE)
    pair.close()
    assert line_of(server, pair.port)["reason"] == "protocol-member"


# -- lenient --------------------------------------------------------------------------------------

@event_only
@each_side
def test_lenient(start_once, conf, member, transport, side):
    """All of it passes, and so does what stands behind it. The tunnel log counts the frame, the
    error log tells of each rule once, however many tunnels break it."""
    url = transport.member_url("ws", member.port)
    server = start_once(conf)
    number, level = ("WSB0303", "info") if side == "client" else ("WSB0302", "warn")
    server.expect_log(number, level=level)
    for case in (FOLLOWED + LOST) * 2:
        pair = open_pair(server, member, "/lenient/")
        sender, receiver = pair.side(side)
        data = good_before(case, side) + case.build(side) + frame_by(side, PING, b"behind")
        sender.send(data)
        check_arrives(receiver, data)
        pair.close()
        line = line_of(server, pair.port)
        counted = line[f"violations_by_{side}"], line[f"violations_by_{opposite(side)}"]
        assert (case.name, *counted) == (case.name, 1, 0)
        assert not line["reason"].startswith("protocol")
    rules = {case.rule for case in FOLLOWED + LOST}
    told = wait_until(lambda: len(lines := server.log.matching(number)) >= len(rules) and lines,
                      what="a line of each rule")
    found = [re.search(rf"member {re.escape(url)} broke (.*); further cases are counted",
                       line)[1] for line in told]
    assert sorted(found) == sorted(rules)
    assert not server.log.matching("WSB0302" if side == "client" else "WSB0303")


@event_only
@each_side
@plain_only
def test_lenient_byte_by_byte(server, member, side):
    """However it is cut, it passes as it is, and counts once. What leaves a message open would make
    a fault of what follows it."""
    allow_told(server)
    pair = open_pair(server, member, "/lenient/")
    sender, receiver = pair.side(side)
    cases = [case for case in FOLLOWED
             if len(case.build(side)) < 200 and (case.rule != ORDER or "fragment" not in case.name)]
    data = b"".join(good_before(case, side) + case.build(side) for case in cases)
    with in_thread(sender.send_pieces, (bytes([byte]) for byte in data)):
        check_arrives(receiver, data)
    pair.close()
    assert line_of(server, pair.port)[f"violations_by_{side}"] == len(cases) > 20


@event_only
@plain_only
@pytest.mark.parametrize("reason", ["idle", "lifetime"])
def test_lost_boundaries(server, member, reason):
    """RFC 6455 5.2, lenient: behind a length of 2^63 all passes and nobody knows where a frame
    begins. The end of the tunnel puts nothing in there, that stream just ends; the other direction
    is followed and has its close frame."""
    allow_told(server)
    pairs = {side: open_pair(server, member, f"/lenient-{reason}/")
             for side in ("client", "member")}
    for side, pair in pairs.items():
        sender, receiver = pair.side(side)
        data = frame_by(side, TEXT, b"good") + LOST_CASE.build(side) + os.urandom(10 * KB)
        sender.send(data)
        check_arrives(receiver, data)
        data = frame_by(side, CLOSE, close_payload(1000)) + MASKING_CASE.build(side)
        sender.send_pieces(bytes([byte]) for byte in data)
        check_arrives(receiver, data)
        receiver.send(frame_by(opposite(side), TEXT, b"answer"))
        assert read_frame(sender) == (TEXT, b"answer", True)
    for side, pair in pairs.items():
        check_silent_end(pair, side, reason)
        line = check_ended(server, pair.port, reason, 1001)
        assert line[f"violations_by_{side}"] == 1
        assert line[f"frames_from_{side}"] == line[f"messages_from_{side}"] == 1


def check_silent_end(pair, side, text):
    """The tunnel is ended by us, and what this side sends is not followed: this side gets a close
    frame of ours, the other one's stream just ends, without waiting for anything."""
    sender, receiver = pair.side(side)
    assert sender.has_data(10 * SLOWNESS)
    read_close(sender, side, text.encode())
    assert ends_within(receiver, AT_ONCE)
    sender.send(frame_by(side, CLOSE, close_payload(1001)))
    pair.close()


# -- off ------------------------------------------------------------------------------------------

@event_only
@each_side
def test_off(server, member, side):
    """Bytes pass, whatever they are; nothing of them is counted but how many there are."""
    pair = open_pair(server, member, "/off/")
    sender, receiver = pair.side(side)
    data = b"".join(good_before(case, side) + case.build(side) for case in FOLLOWED + LOST)
    sender.send(data)
    check_arrives(receiver, data)
    pieces = data[:2000] + os.urandom(1000)
    sender.send_pieces(bytes([byte]) for byte in pieces)
    check_arrives(receiver, pieces)
    pair.close()
    line = line_of(server, pair.port)
    assert line[f"bytes_from_{side}"] == len(data) + len(pieces)
    assert line[f"frames_from_{side}"] == line[f"violations_by_{side}"] == 0
    assert not server.log.matching("WSB030[23]:")


@event_only
@plain_only
def test_an_end_of_ours_with_off(server, member):
    """Off for one side: what it sends is not followed, so the *other* side's stream just ends, and
    it gets the close frame itself. Off for both: both just end."""
    pairs = {name: open_pair(server, member, f"/off{name}-idle/")
             for name in ("-client", "-member", "")}
    for name in ("-client", "-member"):
        check_silent_end(pairs[name], name[1:], "idle")
        check_ended(server, pairs[name].port, "idle", 1001)
    assert ends_within(pairs[""].client, 10) and ends_within(pairs[""].member, AT_ONCE)
    pairs[""].close()
    check_ended(server, pairs[""].port, "idle", 0)


# -- Extensions -----------------------------------------------------------------------------------

DEFLATE = "permessage-deflate"
AGREED = [DEFLATE, "Permessage-Deflate; server_no_context_takeover; client_max_window_bits=10"]


@event_only
@each_side
@pytest.mark.parametrize("agreed", AGREED)
def test_rsv1_with_permessage_deflate(server, member, side, agreed):
    """RFC 7692 6: on the first frame of a message."""
    pair = open_agreed(server, member, "/strict/", agreed)
    sender, receiver = pair.side(side)
    build = builder(side)
    data = (build(TEXT, b"whole", rsv=RSV1) + build(BINARY, os.urandom(70000), rsv=RSV1)
            + build(TEXT, b"", rsv=RSV1) + build(TEXT, b"plain")
            + build(TEXT, b"first", fin=False, rsv=RSV1) + build(PING, b"between")
            + build(CONTINUATION, b"second", fin=False) + build(CONTINUATION, b"last"))
    with in_thread(sender.send, data):
        check_arrives(receiver, data)
    data = build(TEXT, b"in pieces", rsv=RSV1) + build(TEXT, b"again", rsv=RSV1)
    sender.send_pieces(bytes([byte]) for byte in data)
    check_arrives(receiver, data)
    pair.close()
    line = line_of(server, pair.port)
    assert (line[f"violations_by_{side}"], line[f"messages_from_{side}"]) == (0, 7)


@event_only
@each_side
@plain_only
@pytest.mark.parametrize("agreed,offered,build", [
    (None, None, lambda build: build(TEXT, b"secret", rsv=RSV1)),
    (None, DEFLATE, lambda build: build(TEXT, b"secret", rsv=RSV1)),
    (DEFLATE, None, lambda build: build(PING, b"secret", rsv=RSV1)),
    (DEFLATE, None, lambda build: build(CLOSE, close_payload(1000), rsv=RSV1)),
    (DEFLATE, None, lambda build: build(TEXT, b"secret", rsv=RSV2)),
    (DEFLATE, None, lambda build: build(TEXT, b"secret", rsv=RSV1 | RSV3)),
], ids=["nothing offered", "not agreed", "ping", "close", "rsv2", "rsv3 too"])
def test_rsv_that_permessage_deflate_does_not_allow(server, member, side, agreed, offered, build):
    allow_told(server)
    pair = open_agreed(server, member, "/strict/", agreed, offered=offered)
    pair.side(side)[0].send(build(builder(side)))
    check_refused(pair, side, 1002, "protocol error")
    check_ended(server, pair.port, f"protocol-{side}", 1002)


@event_only
@each_side
@plain_only
def test_rsv1_on_a_continuation(server, member, side):
    """RFC 7692 6.1: also inside a message that is compressed."""
    allow_told(server)
    pair = open_agreed(server, member, "/strict/", DEFLATE)
    offender, bystander = pair.side(side)
    begin = frame_by(side, TEXT, b"begin", fin=False, rsv=RSV1)
    offender.send(begin + frame_by(side, CONTINUATION, b"secret", rsv=RSV1))
    check_arrives(bystander, begin)
    check_refused(pair, side, 1002, "protocol error")
    check_ended(server, pair.port, f"protocol-{side}", 1002)


@event_only
@each_side
@plain_only
def test_an_extension_that_is_not_known(server, member, side):
    """Which bits and opcodes it uses nobody knows here, so it has them all; other rules stay."""
    allow_told(server)
    pair = open_agreed(server, member, "/strict/", "x-of-our-own; level=3")
    offender, bystander = pair.side(side)
    good = b"".join(frame_by(side, opcode, b"x", rsv=7) for opcode in (TEXT, 3, PONG, 11))
    offender.send(good + MASKING_CASE.build(side))
    check_arrives(bystander, good)
    check_refused(pair, side, 1002, "protocol error")
    check_ended(server, pair.port, f"protocol-{side}", 1002)


# -- Real libraries -------------------------------------------------------------------------------

def cut(message, pieces):
    """The message in about so many parts; one that is empty stays whole."""
    size = max(1, -(-len(message) // pieces))
    return [message[at:at + size] for at in range(0, len(message), size)] or message


class FragmentingMember(EchoMember):
    """Sends back every message in three frames."""

    def _reply(self, socket, message):
        return cut(message, 3)


class Chopper:
    """Between a client and a port: what comes goes on in pieces of a few bytes, both ways."""

    def __init__(self, port):
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        near, far = self._listener.accept()[0], socket.create_connection(
            ("127.0.0.1", self._target))
        with near, far:
            for sock in (near, far):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                for sock in select.select([near, far], [], [])[0]:
                    data = sock.recv(4 * KB)
                    if not data:
                        return
                    self._pass(data, far if sock is near else near)

    @staticmethod
    def _pass(data, sock):
        at = 0
        while at < len(data):
            size = random.choice([1, 1, 1, 2, 3, 50])
            sock.sendall(data[at:at + size])
            at += size

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()
        self._thread.join(20 * SLOWNESS)
        assert not self._thread.is_alive()


def messages(sizes):
    """Text and binary messages of these sizes, some of which can be compressed, some not."""
    for size in sizes:
        yield "".join(random.choices("aäz€ 𝄞", k=size))
        yield os.urandom(size)
        yield bytes(size)


def check_echo(client, sizes):
    """Each comes back, sent whole, in some frames, and if it is short in frames of one byte."""
    for message in messages(sizes):
        assert client.ask(message) == message
        assert client.ask(cut(message, 4)) == message
        if len(message) < 200:
            assert client.ask(cut(message, len(message) or 1)) == message


SIZES = [0, 1, 2, 125, 126, 127, 1000, 65535, 65536, 300 * KB]


@pytest.fixture(scope="module")
def library_server(start_httpd, transport, deflate_member, node_member):
    return start_httpd(LOG_LINE + f"""
WSBalanceFrames strict
ProxyPass /python/ {transport.member_url("ws", deflate_member.port)}
ProxyPass /node/ {transport.member_url("ws", node_member.port)}
""")


def check_clean(server):
    """There was one tunnel, which had no fault."""
    end, = wait_until(lambda: server.log.matching("WSB0301"), what="the end of the tunnel")
    line = line_of(server, int(re.search(r"client=\S+:(\d+)", end)[1]))
    assert line["violations_by_client"] == line["violations_by_member"] == 0
    assert (line["reason"], line["close_code"]) == ("client-close", 1000)


@event_only
@pytest.mark.parametrize("compression", ["deflate", None])
@pytest.mark.parametrize("path", ["/python/", "/node/"])
def test_python_websockets_passes(library_server, path, compression):
    """python3-websockets as client, and as member or npm ws: whole, fragmented, compressed."""
    with connected(library_server, path, compression=compression) as client:
        agreed = client.headers.get("Sec-WebSocket-Extensions", "")
        assert (DEFLATE in agreed) == bool(compression)
        check_echo(client, SIZES)
    check_clean(library_server)


@event_only
@plain_only
@pytest.mark.parametrize("path", ["/python/", "/node/"])
def test_python_websockets_in_pieces(library_server, path):
    """The same through a network that carries a few bytes at a time."""
    with Chopper(library_server.port) as chopper:
        with connect(f"ws://127.0.0.1:{chopper.port}{path}", compression="deflate") as client:
            check_echo(client, [0, 1, 125, 126, 5000])
    check_clean(library_server)


@event_only
@pytest.mark.parametrize("path", ["/python/", "/node/"])
def test_node_ws_passes(library_server, path):
    """npm ws as client: each message compressed and in three frames."""
    for count, size in ((20, 50 * KB), (1, 3 * MB)):
        url = library_server.transport.client_url(library_server.port, path)
        seen = node_peer.run_client(url, library_server.transport, messages=["a", "bb" * 1000],
                                    count=count, size=size, pieces=3)
        assert seen["received"] == ["a", "bb" * 1000] and seen["bulkInOrder"] == count
        assert seen["code"] == 1000 and any(DEFLATE in value for value in seen["headers"])
        wait_until(lambda: library_server.tunnels() == 0, what="the tunnel to end")
    assert not library_server.log.matching("WSB030[23]:")
