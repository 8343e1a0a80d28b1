"""How a client reaches httpd, and httpd its members.

Every test takes its URLs, its sockets and the lines for httpd from here, so that the same test
runs over another transport when one is added to TRANSPORTS.
"""

import socket


class PlainTransport:
    """TCP on 127.0.0.1, without TLS on either side."""

    name = "plain"
    modules = ()  # Modules of httpd that this transport needs beside the usual ones.
    client_ssl = None  # An SSLContext for clients.
    member_ssl = None  # An SSLContext for members.

    def server_config(self):
        """Lines for the server config of httpd, which its virtual hosts inherit."""
        return ""

    def client_url(self, port, path):
        return f"ws://127.0.0.1:{port}{path}"

    def member_url(self, scheme, port, path="/"):
        """The member's URL for ProxyPass; `scheme` is ws or http."""
        return f"{scheme}://127.0.0.1:{port}{path}"

    def connect(self, port, timeout=10.0):
        """A connected client socket."""
        sock = socket.create_connection(("127.0.0.1", port), timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def accepted(self, sock):
        """What a raw member makes of a socket that it has accepted."""
        return sock


TRANSPORTS = [PlainTransport()]
