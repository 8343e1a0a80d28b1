"""HTTP/1.1 heads and answers as bytes, for peers that see what really goes over the wire."""

import base64
import hashlib
from dataclasses import dataclass, field

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # The example of RFC 6455 1.3.
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_for(key):
    digest = hashlib.sha1((key + GUID).encode()).digest()
    return base64.b64encode(digest).decode()


@dataclass
class Head:
    """A start line and its fields, in the order in which they came."""

    start_line: str
    fields: list = field(default_factory=list)

    def all(self, name):
        """The values of every field line of this name."""
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name):
        """The value of the only field line of this name, None without one."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} stands {len(values)} times: {values}"
        return values[0] if values else None

    def tokens(self, name):
        """The elements of the lists in the fields of this name, in lower case."""
        joined = ",".join(self.all(name))
        return [token.strip().lower() for token in joined.split(",") if token.strip()]

    @property
    def status(self):
        return int(self.start_line.split(" ")[1])


def parse_head(data):
    """Parses the bytes of a head strictly; anything odd fails the test."""
    text = data.decode("latin-1")
    assert text.endswith("\r\n\r\n"), f"no whole head: {data!r}"
    start_line, *lines = text[:-4].split("\r\n")
    head = Head(start_line)
    for line in lines:
        name, colon, value = line.partition(":")
        assert colon and name and name == name.strip(), f"no field line: {line!r}"
        assert "\r" not in line and "\n" not in line, f"bare line end in {line!r}"
        head.fields.append((name, value.strip(" \t")))
    return head


@dataclass
class Response:
    head: Head
    body: bytes

    @property
    def status(self):
        return self.head.status


def read_response(connection, method="GET"):
    """Reads one final answer as RFC 9112 6.3 frames it; interim answers are skipped."""
    head = parse_head(connection.read_head())
    while 100 <= head.status < 200 and head.status != 101:
        head = parse_head(connection.read_head())
    if method == "HEAD" or head.status in (101, 204, 304):
        return Response(head, b"")
    if "chunked" in head.tokens("Transfer-Encoding"):
        return Response(head, _read_chunks(connection))
    if head.get("Content-Length") is not None:
        return Response(head, connection.read_exactly(int(head.get("Content-Length"))))
    return Response(head, connection.read_until_eof())


def _read_chunks(connection):
    body = b""
    while True:
        size = int(connection.read_line().split(b";")[0], 16)
        if size == 0:
            while connection.read_line():
                pass  # Trailer fields.
            return body
        body += connection.read_exactly(size)
        assert connection.read_exactly(2) == b"\r\n"


def build(start_line, fields):
    lines = [start_line] + [f"{name}: {value}" for name, value in fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _changed(fields, change, drop, add):
    dropped = {name.lower() for name in drop}
    changed = {name.lower(): value for name, value in (change or {}).items()}
    kept = [(name, changed.pop(name.lower(), value)) for name, value in fields
            if name.lower() not in dropped]
    assert not changed, f"no such field to change: {changed}"
    return kept + list(add)


def upgrade_request(path="/", *, method="GET", version="HTTP/1.1", host="localhost", key=KEY,
                    change=None, drop=(), add=()):
    """A right opening handshake (RFC 6455 4.1), with fields changed, dropped or added."""
    fields = [("Host", host), ("Upgrade", "websocket"), ("Connection", "Upgrade"),
              ("Sec-WebSocket-Key", key), ("Sec-WebSocket-Version", "13")]
    return build(f"{method} {path} {version}", _changed(fields, change, drop, add))


def get_request(path="/", *, method="GET", host="localhost", add=()):
    """An ordinary request that keeps its connection alive."""
    return build(f"{method} {path} HTTP/1.1", [("Host", host)] + list(add))


def switching(key=KEY, *, start_line="HTTP/1.1 101 Switching Protocols", change=None, drop=(),
              add=()):
    """A right answer of a member to the handshake with this key."""
    fields = [("Upgrade", "websocket"), ("Connection", "Upgrade"),
              ("Sec-WebSocket-Accept", accept_for(key))]
    return build(start_line, _changed(fields, change, drop, add))


def answer(status, body=b"", *, reason="Some Reason", add=(), length=True):
    """An ordinary answer of a member."""
    fields = list(add)
    if length:
        fields.append(("Content-Length", str(len(body))))
    return build(f"HTTP/1.1 {status} {reason}", fields) + body
