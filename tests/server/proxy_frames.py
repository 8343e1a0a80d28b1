"""Frames that httpd itself sends into a tunnel: its pings, and the close frames that end it. And
the lines of such ends."""

import json

from frames import (CLOSE, PING, PONG, client_frame, close_payload, frame, read_frame,
                    read_frame_and_mask)
from tail import Tail
from tunnels import end_of
from waiting import wait_until

BUILD = {"client": client_frame, "member": frame}  # A frame as this side sends it.


def opposite(side):
    return "member" if side == "client" else "client"


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
    connection.send(BUILD[side](PONG, payload))
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
    connection.send(BUILD[side](CLOSE, close_payload(code)))


def check_closes(pair, text):
    """httpd closes both sides; they answer, and both connections end."""
    for side in ("client", "member"):
        read_close(pair.side(side)[0], side, text)
    for side in ("client", "member"):
        answer_close(pair.side(side)[0], side)
    assert pair.client.is_ended() and pair.member.is_ended()
    pair.close()


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


def check_line(server, pair, reason, shortest_ms, close_code=1001):
    """Both logs have this end of the tunnel, by httpd and not too early; the JSON object."""
    line = line_of(server, pair.port)
    assert (line["reason"], line["close_code"], line["closer"]) == (reason, close_code, "proxy")
    assert line["duration_ms"] >= shortest_ms
    return line
