"""A member whose behaviour a test changes while it runs, for checks and for clients apart."""

import contextlib
import socket
import threading
import time

import frames
from http_message import answer, parse_head, switching
from raw_peer import RawConnection, listener

CHECK = "mod_wsbalance health check"


class CheckedMember:
    """Plays each connection in a thread of its own.

    `check` and `client` say how it answers: "good" (a 101, pongs, close frames), "hang" (nothing),
    "wrong" (a 101 with the accept of another key), "mute" (a 101, and not a word after it), "cut"
    (a 101 and the end), "close" (a 101 and a close frame), "leave" (and the end at once), "greet" (a
    101 and a message), or a status.
    """

    def __init__(self, check="good", client="good", *, path=None, context=None):
        self.check, self.client = check, client
        self.heads = []  # Of checks.
        self.times = []  # When each connection of a check came.
        self.close_codes = []  # That checks sent.
        self.connections = 0
        self._context = context
        self._listener = listener(path)
        if not path:
            self.port = self._listener.getsockname()[1]
        self._open = set()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._listener.close()
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        while True:
            try:
                sock = self._listener.accept()[0]
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._play, args=(sock, time.monotonic()), daemon=True).start()

    def _play(self, sock, came):
        self._open.add(sock)
        # The other side may go away at any moment; what the test sees decides.
        with contextlib.suppress(OSError, AssertionError), sock:
            if self._context and self.check == "hang":
                while sock.recv(4096):
                    pass
                return
            plain = self._context.wrap_socket(sock, server_side=True) if self._context else sock
            with plain:
                self._answer(RawConnection(plain), came)
        self._open.discard(sock)

    def _answer(self, connection, came):
        connection.sock.settimeout(None)
        head = parse_head(connection.read_head())
        is_check = head.get("User-Agent") == CHECK
        if is_check:
            self.heads.append(head)
            self.times.append(came)
        mode = self.check if is_check else self.client
        key = head.get("Sec-WebSocket-Key")
        if isinstance(mode, int):
            connection.send(answer(mode, b"no"))
        elif mode == "wrong":
            connection.send(switching("x" * 22 + "=="))
        elif mode != "hang":
            connection.send(switching(key))
        if mode == "greet":
            connection.send(frames.frame(frames.TEXT, b"hello"))
        if mode in ("close", "leave"):
            connection.send(frames.frame(frames.CLOSE, frames.close_payload(1008)))
        if mode == "good":
            self._talk(connection, is_check)
        elif mode not in ("cut", "leave"):
            connection.read_until_eof()

    def _talk(self, connection, is_check):
        while True:
            opcode, payload, _, mask = frames.read_frame_and_mask(connection)
            assert mask is not None
            if opcode == frames.PING:
                connection.send(frames.frame(frames.PONG, payload))
            if opcode == frames.CLOSE:
                if is_check:
                    self.close_codes.append(int.from_bytes(payload[:2], "big"))
                connection.send(frames.frame(frames.CLOSE, payload))
                return
