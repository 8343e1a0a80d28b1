"""Clients and members that send and see exactly the bytes that a test says.

A test plays both sides in one thread, line by line: the kernel keeps what the other side has not
taken yet, and every wait has a deadline. `RawMember.serve()` plays one in a thread of its own.
"""

import contextlib
import os
import select
import socket
import struct
import threading
import time

from tls_socket import TlsSocket, is_readable
from transport import PLAIN
from waiting import SLOWNESS

TIMEOUT = 5.0 * SLOWNESS
PART = 1 << 18


class RawConnection:
    """One connection whose bytes the test writes and reads itself."""

    def __init__(self, sock):
        sock.settimeout(TIMEOUT)
        self.sock = sock
        self._buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        """Sends all of it. The time that sendall() has begins anew with each part."""
        for at in range(0, len(data), PART):
            self.sock.sendall(data[at:at + PART])

    def send_pieces(self, pieces):
        """Sends each piece in a packet of its own (as far as TCP_NODELAY makes it so)."""
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            self.sock.sendall(piece)

    def _fill(self):
        """Reads more into the buffer; False at the end of file."""
        data = self.sock.recv(65536)
        self._buffer += data
        return bool(data)

    def _take(self, count):
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def read_head(self):
        """The bytes up to the empty line and with it; what follows stays."""
        while b"\r\n\r\n" not in self._buffer:
            assert self._fill(), f"end of file in a head: {self._buffer!r}"
        return self._take(self._buffer.index(b"\r\n\r\n") + 4)

    def read_line(self):
        while b"\r\n" not in self._buffer:
            assert self._fill(), f"end of file in a line: {self._buffer!r}"
        return self._take(self._buffer.index(b"\r\n") + 2)[:-2]

    def read_exactly(self, count):
        parts, have = [self._buffer[:count]], min(len(self._buffer), count)
        self._buffer = self._buffer[count:]
        while have < count:
            data = self.sock.recv(min(count - have, 1 << 20))
            assert data, f"end of file after {have} of {count} bytes"
            parts.append(data)
            have += len(data)
        return b"".join(parts)

    def read_until_eof(self):
        """All that still comes; a reset counts as the end."""
        try:
            while self._fill():
                pass
        except ConnectionResetError:
            pass
        return self._take(len(self._buffer))

    def is_ended(self):
        """Waits for the other side to close or to reset; True when no byte came before that."""
        return self.read_until_eof() == b""

    def answers(self, request):
        """Sends a request; False when the other side closes instead of answering."""
        try:
            self.send(request)
            while b"\r\n\r\n" not in self._buffer:
                if not self._fill():
                    return False
        except (ConnectionResetError, BrokenPipeError):
            return False
        return True

    def has_data(self, within=0.0):
        """True when bytes or an end wait to be read."""
        return bool(self._buffer) or is_readable(self.sock, within)

    def peek(self):
        """What waits to be read, and stays."""
        if not self._buffer:
            self._fill()
        return self._buffer

    def end_sending(self):
        """Where the other end has closed already there is nothing to end any more."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    @property
    def was_truncated(self):
        """True when TLS ended without a close_notify."""
        return isinstance(self.sock, TlsSocket) and self.sock.was_truncated

    def flush(self):
        """Waits until the kernel has all that a non-blocking write has taken."""
        if isinstance(self.sock, TlsSocket):
            self.sock.flush()

    def close(self):
        self.sock.close()

    def reset(self):
        """Closes with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if isinstance(self.sock, TlsSocket):
            self.sock.abandon()
        else:
            self.sock.close()


def listener(path=None, backlog=512):
    """A socket that listens on a free port, or there in the file system."""
    if path:
        path.unlink(missing_ok=True)  # Of an earlier one.
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(path))
        os.chmod(path, 0o777)
    else:
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
    sock.listen(backlog)
    return sock


class RawMember:
    """A member that listens; the test accepts each connection and plays it."""

    def __init__(self, transport=None, *, path=None, backlog=512):
        self._transport = PLAIN if path else transport or PLAIN
        self._listener = listener(path, backlog)
        if not path:
            self.port = self._listener.getsockname()[1]
        self._accepted = []
        self._thread = None
        self._stopping = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def accept(self, timeout=TIMEOUT, client=None):
        """The next connection. With `client`: fails at once when that one is answered instead."""
        end = time.monotonic() + timeout
        waiting = [self._listener] + ([client.sock] if client else [])
        while not self.is_called():
            assert not (client and client.has_data()), f"answered instead: {client.peek()!r}"
            left = end - time.monotonic()
            assert left > 0, "the member was not asked"
            select.select(waiting, [], [], left)
        connection = RawConnection(self._transport.accepted(self._listener.accept()[0]))
        self._accepted.append(connection)
        return connection

    def refuse(self):
        """From now on nobody can connect. Connections stay."""
        self._listener.close()

    def is_called(self, within=0.0):
        """True when a connection waits to be accepted."""
        if self._listener.fileno() < 0:
            return False
        return bool(select.select([self._listener], [], [], within)[0])

    def forget(self):
        """Closes every connection, also those that nobody has accepted."""
        while self.is_called():
            self.accept()
        while self._accepted:
            self._accepted.pop().close()

    def serve(self, script):
        """From now on a thread accepts, and plays `script(connection)` for one after the other."""
        self._thread = threading.Thread(target=self._serve, args=(script,), daemon=True)
        self._thread.start()
        return self

    def _serve(self, script):
        while not self._stopping:
            if not self.is_called(0.05):
                continue
            connection = self.accept()
            try:
                script(connection)
            except (OSError, AssertionError):
                pass  # The other side went away; what the test sees decides.

    def stop(self):
        self._stopping = True
        if self._thread:
            self._thread.join(TIMEOUT)
        self.forget()
        self._listener.close()


def answering(data):
    """A script for `serve()`: reads a head, sends `data`, closes."""
    def script(connection):
        connection.read_head()
        connection.send(data)
        connection.close()
    return script


def connect(port, transport=None):
    """A raw client."""
    return RawConnection((transport or PLAIN).connect(port))
