"""Many handshakes at once, by raw sockets in one thread."""

import selectors
import time

from http_message import parse_head, upgrade_request
from raw_peer import RawConnection
from tls_socket import has_sent_first, is_readable, send_first
from waiting import SLOWNESS, wait_until


class Storm:
    """`count` clients that all send a handshake before any answer is read. What goes beyond
    WSBalanceMaxHandshakes may be refused: also when the member answers at once."""

    def __init__(self, server, path, count):
        self._server, self._path = server, path
        self._selector = selectors.DefaultSelector()
        self._waiting = {}
        self.answered = []  # The heads of answers, in the order in which they came.
        self.open = []  # The connections of clients that got a 101.
        self.add(count)

    def add(self, count):
        """More of them: all connect, then all send."""
        transport, request = self._server.transport, upgrade_request(self._path)
        # No worker may have time for them all.
        sockets = [transport.connect(self._server.port, handshake=False) for _ in range(count)]
        for sock in sockets:
            send_first(sock, request)
            self._waiting[sock] = b""
            self._selector.register(sock, selectors.EVENT_READ)
        wait_until(lambda: all([self._has_sent(sock) for sock in sockets]), 30, "TLS handshakes")

    def _has_sent(self, sock):
        """Takes an answer, too: a worker may wait for its client to close."""
        if sock not in self._waiting:
            return True
        has_sent = has_sent_first(sock)
        self._take(sock)
        return has_sent

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def waiting(self):
        return len(self._waiting)

    def statuses(self):
        return sorted(head.status for head in self.answered)

    def read(self, until, seconds):
        """Takes answers until so many have come, or fails after `seconds`."""
        end = time.monotonic() + seconds * SLOWNESS
        while len(self.answered) < until:
            ready = self._selector.select(max(0.0, end - time.monotonic()))
            assert ready, f"{len(self.answered)} of {until} answers in time: {self.statuses()}"
            for key, _ in ready:
                self._take(key.fileobj)

    def _take(self, sock):
        if not is_readable(sock):
            return
        data = sock.recv(65536)
        self._waiting[sock] += data
        head, found, _ = self._waiting[sock].partition(b"\r\n\r\n")
        if not found:
            assert data, f"closed without an answer: {self._waiting[sock]!r}"
            return
        self.answered.append(parse_head(head + found))
        self._selector.unregister(sock)
        del self._waiting[sock]
        if self.answered[-1].status == 101:
            self.open.append(RawConnection(sock))
        else:
            sock.close()

    def close(self):
        for sock in list(self._waiting):
            sock.close()
        for connection in self.open:
            connection.close()
        self._waiting.clear()
        self._selector.close()
