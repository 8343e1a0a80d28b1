"""Ends that the module brings about itself: its close frames, and what its logs say of them."""

import json
import struct

from frames import CLOSE, apply_mask, client_frame, close_payload, frame
from http_message import parse_head, switching, upgrade_request
from raw_peer import connect
from tunnels import AT_ONCE, Pair, end_of, ends_within
from waiting import wait_until

LOG_LINE = "WSBalanceLog tunnels.json\n"

# A frame as this side sends it.
BUILD = {"client": client_frame, "member": frame}


def opposite(side):
    return "member" if side == "client" else "client"


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


def check_closed(connection, side, code, text):
    """The next that comes to this side is a close frame of ours: masked for a member, and for a
    member only (RFC 6455 5.1)."""
    first, second = connection.read_exactly(2)
    assert (first, bool(second & 0x80)) == (0x80 | CLOSE, side == "member")
    mask = connection.read_exactly(4) if second & 0x80 else bytes(4)
    payload = apply_mask(connection.read_exactly(second & 0x7F), mask)
    assert (struct.unpack("!H", payload[:2])[0], payload[2:].decode()) == (code, text)


def check_refused(pair, side, code, text):
    """This side sent what may not pass: it gets this code and the end of its stream, the other one
    1001, and nothing comes behind that. Both do then what they should: the tunnel ends at once."""
    offender, bystander = pair.side(side)
    check_closed(bystander, opposite(side), 1001, text)
    check_closed(offender, side, code, text)
    assert ends_within(offender, AT_ONCE)
    bystander.send(BUILD[opposite(side)](CLOSE, close_payload(1001)))
    offender.close()
    assert ends_within(bystander, AT_ONCE)
    bystander.close()


def logged(server, port):
    """WSBalanceLog's object of the tunnel whose client has this port; waits for it. The line in the
    error log says the same."""
    end = end_of(server, port)

    def found():
        *lines, _ = (server.directory / "tunnels.json").read_text(encoding="utf-8").split("\n")
        return [line for line in map(json.loads, lines) if line["tunnel"] == end.tunnel]

    line, = wait_until(found, what="the line in the tunnel log")
    assert (line["reason"], line["close_code"]) == (end.reason, end.close_code)
    assert (line["closer"] or "-") == end.closer
    return line


def check_ended(server, port, reason, code):
    """The tunnel log says that it ended for this reason, by a close frame of ours if there is a
    code; returns the line."""
    line = logged(server, port)
    expected = (reason, code, "proxy" if code else None)
    assert (line["reason"], line["close_code"], line["closer"]) == expected
    return line
