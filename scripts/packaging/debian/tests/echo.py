"""One WebSocket through a server, with nothing but Python's own library.

    echo.py member            listens on a free port of 127.0.0.1, prints it, echoes what it is sent
    echo.py client PORT PATH  a handshake with 127.0.0.1:PORT, one message, its echo; exits 1 if not
"""
import base64
import hashlib
import os
import socket
import sys
import threading

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 1.3
TEXT, CLOSE = 1, 8


def accept_of(key):
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


def read_head(stream):
    """The first line, and the fields by their names in lower case."""
    lines = []
    while (line := stream.readline().decode().rstrip("\r\n")) or not lines:
        if not line:
            raise ConnectionError("the connection ended before a head")
        lines.append(line)
    fields = (line.partition(":") for line in lines[1:])
    return lines[0], {name.lower(): value.strip() for name, _, value in fields}


def read_frame(stream):
    """Opcode and payload; (None, b"") at the end. Short frames only: nobody here sends others."""
    first = stream.read(2)
    if len(first) < 2:
        return None, b""
    size = first[1] & 127
    if size > 125:
        raise ValueError("a frame longer than any that was sent")
    mask = stream.read(4) if first[1] & 128 else bytes(4)
    payload = stream.read(size)
    return first[0] & 15, bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def frame(opcode, payload, mask=b""):
    if mask:
        payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    return bytes([128 | opcode, len(payload) | (128 if mask else 0)]) + mask + payload


def serve(connection):
    with connection, connection.makefile("rb") as stream:
        try:
            _, fields = read_head(stream)
            connection.sendall(("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                "Connection: Upgrade\r\nSec-WebSocket-Accept: "
                                f"{accept_of(fields['sec-websocket-key'])}\r\n\r\n").encode())
            while True:
                opcode, payload = read_frame(stream)
                if opcode is None:
                    return
                connection.sendall(frame(opcode, payload))
                if opcode == CLOSE:
                    return
        except (OSError, KeyError):
            pass  # Somebody who only looked whether the port is open.


def member():
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


def client(port, path):
    key = base64.b64encode(os.urandom(16)).decode()
    message = b"through mod_wsbalance"
    with socket.create_connection(("127.0.0.1", port), 20) as connection:
        stream = connection.makefile("rb")
        connection.sendall((f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
                            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
                            "Sec-WebSocket-Version: 13\r\n\r\n").encode())
        first, fields = read_head(stream)
        if " 101 " not in first or fields.get("sec-websocket-accept") != accept_of(key):
            sys.exit(f"no valid handshake: {first} {fields}")
        connection.sendall(frame(TEXT, message, os.urandom(4)))
        if (got := read_frame(stream)) != (TEXT, message):
            sys.exit(f"not echoed: {got}")
        code = (1000).to_bytes(2, "big")
        connection.sendall(frame(CLOSE, code, os.urandom(4)))
        if (got := read_frame(stream)) != (CLOSE, code):
            sys.exit(f"no answer to the close frame: {got}")


if __name__ == "__main__":
    if sys.argv[1:] == ["member"]:
        member()
    elif len(sys.argv) == 4 and sys.argv[1] == "client":
        client(int(sys.argv[2]), sys.argv[3])
    else:
        sys.exit(__doc__)
