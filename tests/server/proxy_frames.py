"""Frames that httpd itself sends into a tunnel: its pings, and the close frames that end it. And
the lines of such ends."""

import contextlib
import json

import node_peer
from frames import (CLOSE, PING, PONG, TEXT, close_payload, frame_by, opposite, read_frame,
                    read_frame_and_mask)
from http_message import parse_head, switching, upgrade_request
from raw_peer import connect
from tail import Tail
from tunnels import AT_ONCE, Pair, end_of, ends_within, in_thread
from waiting import SLOWNESS, wait_until

LOG_LINE = "WSBalanceLog tunnels.json\n"


def header(side, first_byte, length, width):
    """A header as this side sends it, whose length stands in so many bytes: 0 (7 bits), 2 or 8. The
    mask is zero, so that a payload stands behind it as it is."""
    mask_bit, mask = (0x80, bytes(4)) if side == "client" else (0, b"")
    code = {0: length, 2: 126, 8: 127}[width]
    written = length.to_bytes(width, "big") if width else b""
    return bytes([first_byte, mask_bit | code]) + written + mask


def open_agreed(server, member, path, extensions, *, offered=None):
    """Opens a tunnel in whose handshake the member agrees to these extensions (None: to none)."""
    def field(value):
        return [("Sec-WebSocket-Extensions", value)] if value else []

    client = connect(server.port, server.transport)
    client.send(upgrade_request(path, add=field(offered or extensions)))
    connection = member.accept(client=client)
    connection.read_head()
    connection.send(switching(add=field(extensions)))
    assert parse_head(client.read_head()).status == 101
    return Pair(client, connection)


def read_own(connection, side):
    """The opcode and the payload of the next frame to this side: whole, and masked to the member
    only (RFC 6455 5.1)."""
    opcode, payload, fin, mask = read_frame_and_mask(connection)
    assert fin and (mask is not None) == (side == "member"), (opcode, payload, fin, mask)
    return opcode, payload


def read_ping(connection, side):
    """The next frame is a ping; its payload."""
    opcode, payload = read_own(connection, side)
    assert opcode == PING, (opcode, payload)
    return payload


def answer_ping(connection, side):
    """Reads a ping and sends its pong; the payload."""
    payload = read_ping(connection, side)
    connection.send(frame_by(side, PONG, payload))
    return payload


def read_close(connection, side, text, code=1001):
    """The next frame is a close frame of httpd."""
    assert read_own(connection, side) == (CLOSE, close_payload(code, text))


def read_until_close(connection):
    """How many frames come before the close frame, and its payload."""
    count = 0
    while (found := read_frame(connection))[0] != CLOSE:
        count += 1
    return count, found[1]


def answer_close(connection, side, code=1001):
    connection.send(frame_by(side, CLOSE, close_payload(code)))


def check_closes(pair, text):
    """httpd closes both sides; they answer, and both connections end."""
    for side in ("client", "member"):
        read_close(pair.side(side)[0], side, text)
    for side in ("client", "member"):
        answer_close(pair.side(side)[0], side)
    assert pair.client.is_ended() and pair.member.is_ended()
    pair.close()


def check_refused(pair, side, code, text):
    """This side sent what may not pass: it gets this code and the end of its stream, the other one
    1001, and nothing comes behind that. Both do then what they should: the tunnel ends at once."""
    offender, bystander = pair.side(side)
    read_close(bystander, opposite(side), text.encode())
    read_close(offender, side, text.encode(), code)
    assert ends_within(offender, AT_ONCE)
    bystander.send(frame_by(opposite(side), CLOSE, close_payload(1001)))
    offender.close()
    assert ends_within(bystander, AT_ONCE)
    bystander.close()


@contextlib.contextmanager
def npm_client(server, member, path):
    """npm ws as the client of a tunnel, which has said hello: the member's connection, and a dict
    of what the client saw, filled behind the block."""
    seen = {}

    def run():
        url = server.transport.client_url(server.port, path)
        seen.update(node_peer.run_client(url, server.transport, messages=["hello"]))

    node_peer.install()
    with in_thread(run):
        connection = member.accept(60 * SLOWNESS)
        connection.send(switching(parse_head(connection.read_head()).get("Sec-WebSocket-Key")))
        assert read_frame(connection) == (TEXT, b"hello", True)
        yield connection, seen


def line_of(server, port):
    """The JSON object of the tunnel whose client has this port, after a look at what the error log
    says about it."""
    tail = Tail.whole(server.directory / "tunnels.json")

    def lines():
        whole = tail.text().rpartition("\n")[0].splitlines()
        return [line for line in map(json.loads, whole) if line["client_port"] == port]

    end = end_of(server, port)
    found = wait_until(lambda: [line for line in lines() if line["tunnel"] == end.tunnel],
                       what=f"the JSON line of the tunnel of client port {port}")
    assert len(found) == 1
    line = found[0]
    assert (line["reason"], line["close_code"], line["closer"] or "-", line["duration_ms"]) == (
        end.reason, end.close_code, end.closer, end.duration_ms)
    return line


def check_ended(server, port, reason, code):
    """The tunnel log says that it ended for this reason, by a close frame of ours if there is a
    code; returns the line."""
    line = line_of(server, port)
    expected = (reason, code, "proxy" if code else None)
    assert (line["reason"], line["close_code"], line["closer"]) == expected
    return line


def check_line(server, pair, reason, shortest_ms, close_code=1001):
    """The same, and not too early."""
    line = check_ended(server, pair.port, reason, close_code)
    assert line["duration_ms"] >= shortest_ms
    return line
