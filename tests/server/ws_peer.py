"""WebSocket clients and members by python3-websockets, which we did not write.

Its asyncio loop runs in a thread of its own; what is here is called from tests, without asyncio.
"""

import asyncio
import http
import json
import threading

import websockets

from transport import PLAIN
from waiting import SLOWNESS

TIMEOUT = 20.0 * SLOWNESS


class _Loop:
    """One event loop in one thread for all peers of this process."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def start(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def run(self, coroutine, timeout=TIMEOUT):
        return self.start(asyncio.wait_for(coroutine, timeout)).result(timeout + 5)


_LOOP = None


def event_loop():
    global _LOOP  # pylint: disable=global-statement
    if _LOOP is None:
        _LOOP = _Loop()
    return _LOOP


class Client:
    """An open WebSocket."""

    def __init__(self, socket):
        self._socket = socket
        self.headers = socket.response_headers
        self.subprotocol = socket.subprotocol

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, message):
        event_loop().run(self._socket.send(message))

    def receive(self):
        return event_loop().run(self._socket.recv())

    def ask(self, message):
        """Sends a message and returns the next one that comes."""
        self.send(message)
        return self.receive()

    def close(self, code=1000, reason=""):
        event_loop().run(self._socket.close(code, reason))

    @property
    def close_code(self):
        return self._socket.close_code


def start_connecting(url, transport=None, **options):
    """Begins to open a WebSocket; the future's result is a Client."""
    options = dict({"ping_interval": None, "compression": None, "max_size": None,
                    "open_timeout": TIMEOUT}, **options)
    context = (transport or PLAIN).client_ssl
    if context:
        options["ssl"] = context

    async def opening():
        return Client(await websockets.connect(url, **options))

    return event_loop().start(opening())


def connect(url, transport=None, **options):
    """Opens a WebSocket. A refusal raises websockets.InvalidStatusCode with `status_code`."""
    return start_connecting(url, transport, **options).result(TIMEOUT + 5)


def connected(server, path, *, port=None, **options):
    """Opens a WebSocket through a server of ours, on its first port unless one is named."""
    transport = server.transport
    return connect(transport.client_url(port or server.port, path), transport, **options)


class EchoMember:
    """A member that sends back every message, but answers three of them itself:

    "who" with its name, "path" with the path of its handshake, and "headers" with the fields of
    its handshake as JSON pairs. A request that is no handshake gets a 200 with "name path".
    """

    def __init__(self, name="member", transport=None, *, path=None, **options):
        self.name = name
        self.open_sockets = set()
        options = dict({"ping_interval": None, "compression": None, "max_size": None,
                        "process_request": self._process_request}, **options)
        context = None if path else (transport or PLAIN).member_ssl
        if context:
            options["ssl"] = context

        async def start():
            if path:
                return await websockets.unix_serve(self._handle, str(path), **options)
            return await websockets.serve(self._handle, "127.0.0.1", 0, **options)

        self._server = event_loop().run(start())
        if not path:
            self.port = self._server.sockets[0].getsockname()[1]

    async def _process_request(self, path, headers):
        if headers.get("Upgrade", "").lower() == "websocket":
            return None
        body = f"{self.name} {path}".encode()
        fields = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
        return http.HTTPStatus.OK, fields, body

    async def _handle(self, socket):
        self.open_sockets.add(socket)
        try:
            async for message in socket:
                await socket.send(self._reply(socket, message))
        except websockets.ConnectionClosed:
            pass
        finally:
            self.open_sockets.discard(socket)

    def _reply(self, socket, message):
        if message == "who":
            return self.name
        if message == "path":
            return socket.path
        if message == "headers":
            return json.dumps(list(socket.request_headers.raw_items()))
        return message

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        async def stop():
            self._server.close()
            await self._server.wait_closed()

        event_loop().run(stop())
