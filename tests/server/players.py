"""Members that do the same with every handshake, and keep what they were asked."""

import contextlib

from http_message import answer, parse_head, switching
from issued_certificates import issued
from raw_peer import RawMember

REFUSAL = answer(503, b"come back later", add=[("X-Member", "it"), ("Retry-After", "77")])


class Player:
    """Plays `act(connection, head)` for each handshake; `asked` are the heads that came."""

    def __init__(self, act):
        self._act = act
        self.asked = []
        self._member = RawMember()
        self.port = self._member.port
        self._member.serve(self._play)

    def _play(self, connection):
        head = parse_head(connection.read_head())
        self.asked.append(head)
        self._act(connection, head)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._member.stop()


def saying(data):
    """Answers with these bytes and closes."""
    def act(connection, _):
        connection.send(data)
        connection.close()
    return act


def switch(connection, head):
    """Takes the handshake and says nothing more."""
    connection.send(switching(head.get("Sec-WebSocket-Key")))


def close(connection, _):
    connection.close()


def hang(*_):
    """Answers nothing; the connection stays open."""


def refusing_urls(connection, head):
    """503 for each URL with "bad" in it, a tunnel for the others."""
    if "bad" in head.start_line:
        saying(REFUSAL)(connection, head)
    else:
        switch(connection, head)


@contextlib.contextmanager
def wrongly_certified():
    """The port of a member with TLS whose certificate nobody should accept."""
    context = issued("self-signed-player", by_authority=False).server_context()

    def script(connection):
        with contextlib.suppress(OSError), context.wrap_socket(connection.sock, server_side=True):
            pass

    with RawMember() as member:
        member.serve(script)
        yield member.port
