"""WebSocket frames for the raw peers (RFC 6455 5.2)."""

import os
import struct

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def frame(opcode, payload=b"", *, fin=True, mask=None, rsv=0):
    """One frame as bytes. `mask` is four bytes; None leaves the frame unmasked."""
    head = bytes([(0x80 if fin else 0) | (rsv << 4) | opcode])
    mask_bit = 0x80 if mask is not None else 0
    if len(payload) < 126:
        head += bytes([mask_bit | len(payload)])
    elif len(payload) < 1 << 16:
        head += bytes([mask_bit | 126]) + struct.pack("!H", len(payload))
    else:
        head += bytes([mask_bit | 127]) + struct.pack("!Q", len(payload))
    if mask is None:
        return head + payload
    return head + mask + apply_mask(payload, mask)


def opposite(side):
    return "member" if side == "client" else "client"


def builder(side):
    """What makes a frame as this side sends it, "client" or "member"."""
    return client_frame if side == "client" else frame


def frame_by(side, opcode, payload=b"", **options):
    return builder(side)(opcode, payload, **options)


def endless_head(side):
    """The head of a frame that no test ends: whatever bytes this side sends behind it are payload.
    Its mask leaves them as they are."""
    size = 1 << 62
    if side == "client":
        return struct.pack("!BBQ4x", 0x80 | BINARY, 0x80 | 127, size)
    return struct.pack("!BBQ", 0x80 | BINARY, 127, size)


def client_frame(opcode, payload=b"", **options):
    """A frame as clients send it: masked."""
    return frame(opcode, payload, mask=os.urandom(4), **options)


def apply_mask(payload, mask):
    repeated = (mask * (len(payload) // 4 + 1))[:len(payload)]
    number = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return number.to_bytes(len(payload), "big")


def close_payload(code, reason=b""):
    return struct.pack("!H", code) + reason


def deliverable(data):
    """How much of these bytes, which begin with a frame, can be passed on before more come: a head
    is held back until it is whole, that of a close frame with the close code behind it."""
    at = 0
    while len(data) - at >= 2:
        opcode, second = data[at] & 0x0F, data[at + 1]
        length, head = second & 0x7F, 2
        if length == 126:
            length, head = int.from_bytes(data[at + 2:at + 4], "big"), 4
        elif length == 127:
            length, head = int.from_bytes(data[at + 2:at + 10], "big"), 10
        head += 4 if second & 0x80 else 0
        if len(data) - at < head + (min(length, 2) if opcode == CLOSE else 0):
            break
        at = min(at + head + length, len(data))
    return at


def read_frame(connection):
    """Reads one frame from a raw connection: (opcode, payload, fin), unmasked."""
    return read_frame_and_mask(connection)[:3]


def read_frame_and_mask(connection):
    """The same and its mask, or None: (opcode, payload, fin, mask)."""
    first, second = connection.read_exactly(2)
    length = second & 0x7F
    if length == 126:
        length = struct.unpack("!H", connection.read_exactly(2))[0]
    elif length == 127:
        length = struct.unpack("!Q", connection.read_exactly(8))[0]
    mask = connection.read_exactly(4) if second & 0x80 else None
    payload = connection.read_exactly(length)
    return first & 0x0F, apply_mask(payload, mask) if mask else payload, bool(first & 0x80), mask
