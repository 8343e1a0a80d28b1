"""A TCP socket with TLS on it, for the raw peers.

It looks like a socket, as far as tests use one. What an ssl.SSLSocket cannot do, and what tests
are about: it ends one direction and reads on, it tells a close_notify from a bare FIN, and it
never waits for a handshake unless somebody reads or writes. One thread may read while another
writes; the handshake is done before that.
"""

import contextlib
import select
import socket
import ssl
import threading
import time

RECORD = 1 << 14  # The most that a record can carry.


class TlsSocket:
    """`hostname` makes it a client, which expects a certificate for that name."""

    def __init__(self, sock, context, hostname=None):
        self._sock, self._timeout = sock, sock.gettimeout()
        sock.setblocking(False)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, hostname is None, hostname)
        self._lock = threading.Lock()  # For these three and what is decrypted; nobody waits in it.
        self._plain = b""  # Decrypted, and not yet read.
        self._sending = threading.RLock()  # Held by who sends, also while waiting.
        self._encrypted = b""  # Not yet taken by the kernel.
        self._first = b""  # What goes out as soon as the handshake is done.
        self._is_open = self._is_ended = self._said_goodbye = False
        self._error = None  # What recv() has to raise, once.
        self.record_size = RECORD  # The most that a record of ours carries.
        self.was_truncated = False  # The other side ended without a close_notify.
        if hostname:
            self._advance()

    # -- As of any socket -------------------------------------------------------------------------

    def fileno(self):
        return self._sock.fileno()

    def getsockname(self):
        return self._sock.getsockname()

    def getpeername(self):
        return self._sock.getpeername()

    def setsockopt(self, *arguments):
        self._sock.setsockopt(*arguments)

    def settimeout(self, seconds):
        self._timeout = seconds

    def setblocking(self, blocking):
        self._timeout = None if blocking else 0

    # -- Waiting ----------------------------------------------------------------------------------

    def _deadline(self):
        return None if self._timeout is None else time.monotonic() + self._timeout

    def _wait(self, event, deadline):
        """Waits for the kernel; fails as a socket does when there is no time left."""
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if self._timeout == 0:
            raise BlockingIOError
        poll = select.poll()
        poll.register(self._sock, event)
        if not poll.poll(None if left is None else left * 1000):
            raise TimeoutError("timed out")

    # -- Handshake --------------------------------------------------------------------------------

    def _advance(self):
        """Takes the next step of the handshake, if its turn is ours."""
        with self._sending:
            with self._lock:
                with contextlib.suppress(ssl.SSLWantReadError):
                    self._tls.do_handshake()
                    self._is_open = True
                if self._is_open and self._first:
                    self._tls.write(self._first)
                    self._first = b""
            self._push()

    def handshake(self):
        """Waits until the handshake is done."""
        deadline = self._deadline()
        while not self._is_open:
            if not self._take(RECORD):
                self._wait(select.POLLIN, deadline)
            if self._is_ended:
                raise self._error or ConnectionResetError("end of file in the handshake")

    def send_first(self, data):
        """Sends up to a record when the handshake is done, which nobody waits for here."""
        self._first = data
        self._advance()

    def has_sent_first(self):
        """False while the handshake goes on; asking takes it further."""
        self.is_readable()
        return self._is_open or self._is_ended

    # -- Reading ----------------------------------------------------------------------------------

    def _take(self, size):
        """Takes from the kernel what is there; False when that is nothing."""
        with self._lock:
            if self._plain or self._is_ended:
                return True
            try:
                data = self._sock.recv(size)
            except BlockingIOError:
                return False
            except OSError as error:
                self._error, self._is_ended = error, True
                return True
            self._in.write(data)
            if self._is_open:
                self._decrypt()
            if not data and not self._is_ended:
                self._is_ended = self.was_truncated = True
        if not self._is_open and not self._is_ended:
            self._advance()
            with self._lock:
                if self._is_open:
                    self._decrypt()
        return True

    def _decrypt(self):
        parts = [self._plain]
        with contextlib.suppress(ssl.SSLWantReadError):
            while not self._is_ended:
                try:
                    parts.append(self._tls.read(RECORD))
                    self._is_ended = not parts[-1]
                except ssl.SSLZeroReturnError:
                    self._is_ended = True
        self._plain = b"".join(parts)

    def recv(self, size):
        """b"" at the end of file, whichever; see `was_truncated`."""
        deadline = self._deadline()
        while True:
            with self._lock:
                if self._error and not self._plain:
                    error, self._error = self._error, None
                    raise error
                if self._plain or self._is_ended:
                    data, self._plain = self._plain[:size], self._plain[size:]
                    return data
            # Not much more than was asked for: slow readers shall be slow.
            if not self._take(max(size, 1 << 12)):
                self._wait(select.POLLIN, deadline)

    def is_readable(self, within=0.0):
        """True when decrypted bytes or an end wait to be read: other records do not count."""
        end = time.monotonic() + within
        while True:
            while self._take(1 << 12):
                if self._plain or self._is_ended:
                    return True
            left = end - time.monotonic()
            if not select.select([self._sock], [], [], max(0.0, left))[0]:
                return False

    # -- Writing ----------------------------------------------------------------------------------

    def _push(self):
        """Gives the kernel what it takes; True when it has taken everything."""
        with self._lock:
            self._encrypted += self._out.read()
        with contextlib.suppress(BlockingIOError):
            while self._encrypted:
                sent = self._sock.send(self._encrypted)
                self._encrypted = self._encrypted[sent:]
        return not self._encrypted

    def flush(self):
        """Waits until the kernel has all that was sent; the deadline is for the next part of it."""
        with self._sending:
            while not self._push():
                self._wait(select.POLLOUT, self._deadline())

    def sendall(self, data):
        view = memoryview(data)
        with self._sending:
            self.handshake()
            while view:
                batch, view = view[:16 * RECORD], view[16 * RECORD:]
                with self._lock:
                    for at in range(0, len(batch), self.record_size):
                        self._tls.write(batch[at:at + self.record_size])
                self.flush()

    def send(self, data):
        """Sends a record at most, a part of which may wait for the next call; how much it was."""
        with self._sending:
            self.handshake()
            self.flush()
            data = data[:self.record_size]
            with self._lock:
                self._tls.write(data)
            self._push()
        return len(data)

    # -- Ends -------------------------------------------------------------------------------------

    def _say_goodbye(self):
        """Sends a close_notify, if the handshake came so far."""
        with self._sending:
            if self._is_open and not self._said_goodbye:
                self._said_goodbye = True
                with self._lock:
                    self._decrypt()  # Or the shutdown would stumble over data.
                    with contextlib.suppress(ssl.SSLWantReadError):
                        self._tls.unwrap()
                self.flush()

    def shutdown(self, how):
        """SHUT_WR: a close_notify and a FIN; reading goes on."""
        assert how == socket.SHUT_WR
        self._say_goodbye()
        self._sock.shutdown(how)

    def close_notify(self):
        """A close_notify without a FIN; reading goes on."""
        self._say_goodbye()

    def cut(self):
        """A FIN without a close_notify; reading goes on."""
        self._sock.shutdown(socket.SHUT_WR)

    def send_raw(self, data):
        """Bytes as they are, between two records."""
        self._sock.sendall(data)

    def encrypted(self, data):
        """The record of this data, for send_raw()."""
        with self._lock:
            self._tls.write(data)
            return self._out.read()

    def close(self):
        """A close_notify and a FIN, not for a peer that has gone. Session tickets that nobody has
        read are, or the kernel would send a RST."""
        with contextlib.suppress(OSError):
            self._say_goodbye()
            self._take(RECORD)
        self._sock.close()

    def abandon(self):
        """No close_notify; a RST, when SO_LINGER says so."""
        self._sock.close()


def is_readable(sock, within=0.0):
    """True when bytes or an end wait to be read from a socket, with TLS or without."""
    if isinstance(sock, TlsSocket):
        return sock.is_readable(within)
    return bool(select.select([sock], [], [], within)[0])


def send_first(sock, data):
    """Sends the first bytes of a client, with TLS or without, and does not wait for a handshake."""
    if isinstance(sock, TlsSocket):
        sock.send_first(data)
    else:
        sock.sendall(data)


def has_sent_first(sock):
    """False while a handshake goes on; asking takes it further."""
    return not isinstance(sock, TlsSocket) or sock.has_sent_first()
