"""HTTP/2 clients by python3-h2, which we did not write: WebSockets by extended CONNECT (RFC 8441)
and ordinary requests, many streams on one connection.

A test plays a connection and all of its streams in one thread, as with raw_peer.py. What the
server sends is taken, and answered as HTTP/2 wants it, while any of these functions waits; between
them nothing moves. A stream has the functions of a RawConnection that make sense for it. Its
window grows by what the test has read, so a stream that is not read stops its sender, and no other.
"""

import select
import socket
import ssl
import struct
import time

import h2.config
import h2.connection
import h2.events
import h2.settings
from h2.settings import SettingCodes

import pytest

import httpd_config
from certificates import certificates
from http_message import Head, Response
from raw_peer import TIMEOUT
from waiting import SLOWNESS

SINCE = "2.4.58"  # httpd has WebSockets over HTTP/2, and the directive for them.
needs_websockets = pytest.mark.httpd_has(SINCE, "H2WebSockets")


def websockets(value):
    """The directive, where httpd knows it."""
    return f"H2WebSockets {value}" if httpd_config.is_at_least(SINCE) else ""


WINDOW = 1 << 24  # Of a stream: what a test asks for fits, also while it is busy with sending.
CONNECTION_WINDOW = 1 << 30  # Never in the way.


class Stream:
    """One stream of a connection: a WebSocket or an ordinary request."""

    def __init__(self, connection, number):
        self._connection, self.number = connection, number
        self.head = None  # Of the final answer.
        self.has_end = False  # END_STREAM came; the data before it may still wait to be read.
        self.reset_code = None  # Of the RST_STREAM that came.
        self.buffer = bytearray()

    def _is_broken(self):
        return self.reset_code is not None or self._connection.is_closed

    def _is_over(self):
        """Nothing more will come."""
        return self.has_end or self._is_broken()

    def _wait(self, condition, seconds=TIMEOUT):
        """Waits for something that the server sends, or for the end of all that it sends; False
        when neither comes in time."""
        return self._connection.run_until(lambda: condition() or self._is_over(), seconds)

    def _state(self):
        return (f"stream {self.number}: {len(self.buffer)} bytes wait, end {self.has_end}, "
                f"reset {self.reset_code}, connection closed {self._connection.is_closed}")

    # -- receiving ----------------------------------------------------------------------------

    def answer(self):
        """The head of the final answer."""
        self._wait(lambda: self.head is not None)
        assert self.head is not None, f"no answer on {self._state()}"
        return self.head

    def response(self):
        """The whole final answer."""
        return Response(self.answer(), self.read_until_eof())

    def read_exactly(self, count):
        """The next bytes; each time that some come the time begins anew."""
        parts, have = [], 0
        while have < count:
            self._wait(lambda: self.buffer)
            assert self.buffer, f"after {have} of {count} bytes: {self._state()}"
            parts.append(self._take(count - have))
            have += len(parts[-1])
        return b"".join(parts)

    def read_until_eof(self):
        """All that still comes before END_STREAM. A reset fails the test."""
        parts = []
        while not (self.has_end and not self.buffer):
            self._wait(lambda: self.buffer)
            assert self.buffer or self.has_end, f"no end of stream: {self._state()}"
            parts.append(self._take(len(self.buffer)))
        return b"".join(parts)

    def _take(self, count):
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        self._connection.acknowledge(self.number, len(data))
        return data

    def wait_for_buffer(self, count):
        """Waits until so many bytes have come, without reading them: the window stays closed."""
        self._wait(lambda: len(self.buffer) >= count)
        assert len(self.buffer) >= count, self._state()

    def is_over_within(self, seconds):
        """True when END_STREAM or RST_STREAM comes in time."""
        return self._wait(lambda: False, seconds * SLOWNESS)

    def has_data(self, within=0.0):
        """True when bytes or an end wait to be read, or come in time."""
        return self._wait(lambda: self.buffer, within)

    # -- sending ------------------------------------------------------------------------------

    def send(self, data):
        """Sends all of it, as fast as the windows let it. Each time that something went out the
        time begins anew."""
        sent = self._send(data, TIMEOUT)
        assert sent == len(data), f"sent {sent} of {len(data)} bytes, {self._state()}"

    def send_until_blocked(self, data, quiet=0.25):
        """Sends until the windows have let nothing through for `quiet` seconds; how much went."""
        return self._send(data, quiet * SLOWNESS)

    def send_body(self, data):
        """Sends all of it and END_STREAM, or less if the server resets the stream: it need not
        read a body to answer (RFC 9113 8.1)."""
        self._send(data, TIMEOUT)
        self.end_sending()

    def _send(self, data, patience):
        sent = 0
        while sent < len(data):
            self._connection.run_until(lambda: self._is_broken() or self._window(), patience)
            if self._is_broken() or not self._window():
                break
            part = data[sent:sent + self._window()]
            self._connection.do("send_data", self.number, part)
            sent += len(part)
        return sent

    def _window(self):
        return self._connection.window(self.number)

    def end_sending(self):
        """END_STREAM: the half-close of HTTP/2. A stream that was reset needs none."""
        if not self._is_broken():
            self._connection.do("end_stream", self.number)

    def reset(self, code=8):
        """RST_STREAM, by default with CANCEL."""
        self._connection.do("reset_stream", self.number, code)


class Connection:
    """One HTTP/2 connection over a connected socket, with TLS or without."""

    def __init__(self, sock, *, scheme="http", window=WINDOW):
        self.sock, self.is_closed = sock, False
        self.port = sock.getsockname()[1]  # The client's, which stands in log lines.
        self._scheme = scheme
        self._streams, self._outgoing = {}, bytearray()
        self._settings = None  # What the server has set.
        self._pings = 0
        sock.setblocking(False)
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="latin-1"))
        _let_streams_go_on(self._h2.state_machine)
        # In effect at once, as the server reads them first.
        self._h2.local_settings = h2.settings.Settings(client=True, initial_values={
            SettingCodes.INITIAL_WINDOW_SIZE: window, SettingCodes.ENABLE_PUSH: 0})
        self._h2.initiate_connection()
        self.do("increment_flow_control_window", CONNECTION_WINDOW)
        assert self.run_until(lambda: self._settings is not None), "no settings of the server"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends the TCP connection, without any word of HTTP/2 or TLS."""
        self.is_closed = True
        self.sock.close()

    def reset(self):
        """Closes with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def go_away(self):
        """Says GOAWAY, and closes."""
        self.do("close_connection")
        self.close()

    @property
    def has_connect_protocol(self):
        """True when the server announces extended CONNECT (RFC 8441 3)."""
        return self._settings.get(SettingCodes.ENABLE_CONNECT_PROTOCOL) == 1

    # -- streams ------------------------------------------------------------------------------

    def request(self, path, *, method="GET", protocol=None, add=(), body=None):
        """Sends a request, and returns its stream without waiting for the answer. With a protocol
        the stream stays open for sending."""
        fields = [(":method", method), (":scheme", self._scheme), (":authority", "localhost"),
                  (":path", path)]
        if protocol:
            fields.insert(1, (":protocol", protocol))
        stream = Stream(self, self._h2.get_next_available_stream_id())
        self._streams[stream.number] = stream
        self.do("send_headers", stream.number, fields + list(add),
                end_stream=body is None and not protocol)
        if body is not None:
            stream.send_body(body)
        return stream

    def get(self, path, *, add=()):
        """The whole answer to an ordinary request."""
        return self.request(path, add=add).response()

    def start_websocket(self, path, *, add=()):
        """Extended CONNECT (RFC 8441 5); returns without waiting for the answer."""
        return self.request(path, method="CONNECT", protocol="websocket",
                            add=[("sec-websocket-version", "13"), *add])

    def websocket(self, path, *, add=()):
        """An open WebSocket; the frames are the test's own business."""
        stream = self.start_websocket(path, add=add)
        head = stream.answer()
        assert head.status == 200, f"refused: {stream.response()}"
        return stream

    def ping(self):
        """Returns when the server has answered a PING: it has read all that was sent before."""
        before = self._pings
        self.do("ping", bytes(8))
        assert self.run_until(lambda: self._pings > before), "no answer to a ping"

    # -- the machine --------------------------------------------------------------------------

    def window(self, number):
        """How much one DATA frame may carry now."""
        return min(self._h2.local_flow_control_window(number), self._h2.max_outbound_frame_size)

    def acknowledge(self, number, count):
        if not self.is_closed:
            self.do("acknowledge_received_data", count, number)

    def do(self, name, *arguments, **options):
        """Something that h2 puts into frames; returns when the kernel has them all."""
        getattr(self._h2, name)(*arguments, **options)
        self._outgoing += self._h2.data_to_send()
        assert self.run_until(lambda: not self._outgoing or self.is_closed), "nobody reads"

    def run_until(self, condition, seconds=TIMEOUT):
        """Sends and receives until the condition holds; False when it does not come to that."""
        end = time.monotonic() + seconds
        while not condition():
            if self.is_closed:
                return False
            moved = self._send() + self._receive()
            left = end - time.monotonic()
            if left <= 0:
                return bool(condition())
            if not moved:
                select.select([self.sock], [self.sock] if self._outgoing else [], [], left)
        return True

    def _send(self):
        """Sends what waits; how much the kernel took."""
        if not self._outgoing:
            return 0
        try:
            sent = self.sock.send(self._outgoing)
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return 0
        except OSError:
            self.is_closed = True
            return 0
        del self._outgoing[:sent]
        return sent

    def _receive(self):
        """Takes what came; how much."""
        try:
            data = self.sock.recv(1 << 18)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0
        except OSError:
            data = b""
        if not data:
            self.is_closed = True
            return 0
        for event in self._h2.receive_data(data):
            self._handle(event)
        self._outgoing += self._h2.data_to_send()
        return len(data)

    def _handle(self, event):
        if isinstance(event, h2.events.RemoteSettingsChanged):
            changed = {code: change.new_value for code, change in event.changed_settings.items()}
            self._settings = {**(self._settings or {}), **changed}
        elif isinstance(event, h2.events.PingAckReceived):
            self._pings += 1
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.is_closed = event.error_code != 0
        elif isinstance(event, h2.events.ResponseReceived):
            fields = list(event.headers)
            status = dict(fields)[":status"]
            self._streams[event.stream_id].head = Head(
                f"HTTP/2 {status}", [pair for pair in fields if not pair[0].startswith(":")])
        elif isinstance(event, h2.events.DataReceived):
            self._streams[event.stream_id].buffer += event.data
            padding = event.flow_controlled_length - len(event.data)
            if padding:
                self._h2.acknowledge_received_data(padding, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self._streams[event.stream_id].has_end = True
        elif isinstance(event, h2.events.StreamReset) and event.remote_reset:
            self._streams[event.stream_id].reset_code = int(event.error_code)


def _let_streams_go_on(machine):
    """After a GOAWAY without an error those that are open go on (RFC 9113 6.8); h2 would take
    nothing more."""
    state, cause = h2.connection.ConnectionState.CLIENT_OPEN, h2.connection.ConnectionInputs
    machine._transitions = {**machine._transitions,  # pylint: disable=protected-access
                            (state, cause.RECV_GOAWAY): (None, state)}


def tls_context(*protocols):
    """For a client that offers these protocols by ALPN."""
    context = ssl.create_default_context(cafile=certificates().authority)
    context.set_alpn_protocols(protocols)
    return context


def connect(port, *, tls=False, **options):
    """An HTTP/2 connection to 127.0.0.1: with TLS by ALPN, without by prior knowledge."""
    sock = socket.create_connection(("127.0.0.1", port), TIMEOUT)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tls:
        sock = tls_context("h2").wrap_socket(sock, server_hostname="localhost")
        assert sock.selected_alpn_protocol() == "h2", sock.selected_alpn_protocol()
    return Connection(sock, scheme="https" if tls else "http", **options)
