"""Asks a server on 127.0.0.1 for tunnels with 10,000 keys; prints each key and its member.

  keys.py <port>
"""

import socket
import sys
from concurrent.futures import ThreadPoolExecutor

KEYS, AT_ONCE = 10_000, 8


def member_of(key):
    request = (f"GET /ws/ HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
               f"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
               f"Sec-WebSocket-Version: 13\r\nX-Key: {key}\r\n\r\n")
    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=20) as connection:
        connection.sendall(request.encode())
        head = b""
        while b"\r\n\r\n" not in head:
            part = connection.recv(65536)
            if not part:
                break
            head += part
    lines = head.decode("latin-1").split("\r\n")
    found = [line.partition(": ")[2] for line in lines if line.lower().startswith("x-member: ")]
    return found[0] if " 101 " in lines[0] and found else f"none({lines[0]!r})".replace(" ", "_")


def main():
    keys = [f"user-{number}" for number in range(KEYS)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for key, member in zip(keys, pool.map(member_of, keys)):
            print(key, member)


main()
