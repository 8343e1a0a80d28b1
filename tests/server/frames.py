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


def client_frame(opcode, payload=b"", **options):
    """A frame as clients send it: masked."""
    return frame(opcode, payload, mask=os.urandom(4), **options)


def apply_mask(payload, mask):
    repeated = (mask * (len(payload) // 4 + 1))[:len(payload)]
    number = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return number.to_bytes(len(payload), "big")


def close_payload(code, reason=b""):
    return struct.pack("!H", code) + reason


def read_frame(connection):
    """Reads one frame from a raw connection: (opcode, payload, fin), unmasked."""
    first, second = connection.read_exactly(2)
    length = second & 0x7F
    if length == 126:
        length = struct.unpack("!H", connection.read_exactly(2))[0]
    elif length == 127:
        length = struct.unpack("!Q", connection.read_exactly(8))[0]
    mask = connection.read_exactly(4) if second & 0x80 else None
    payload = connection.read_exactly(length)
    return first & 0x0F, apply_mask(payload, mask) if mask else payload, bool(first & 0x80)
