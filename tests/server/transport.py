"""How a client reaches httpd, and httpd its members.

Every test takes its URLs, its sockets and the lines for httpd from here, so that the same test
runs over each of TRANSPORTS. `pytest.mark.transports(...)` names those of a file or of a test,
where they are not USUAL.
"""

import socket

import pytest

from certificates import certificates
from tls_socket import TlsSocket

# mod_ssl warns when it is loaded without.
SESSION_CACHE = "SSLSessionCache shmcb:ssl_sessions(512000)"

# TLS with clients.
CLIENT_LINES = """
SSLEngine on
SSLCertificateFile {certificate}
SSLCertificateKeyFile {key}
"""

# TLS with members, with every check that mod_ssl has.
MEMBER_LINES = """
SSLProxyEngine on
SSLProxyVerify require
SSLProxyCheckPeerName on
SSLProxyCheckPeerExpire on
SSLProxyCACertificateFile {authority}
"""


class Transport:
    """TCP on 127.0.0.1, with TLS on neither, either or both sides."""

    def __init__(self, name, *, client_tls=False, member_tls=False):
        self.name = name
        self.client_tls, self.member_tls = client_tls, member_tls
        # Modules of httpd that this transport needs beside the usual ones.
        self.modules = ("socache_shmcb", "ssl") if client_tls or member_tls else ()

    @property
    def client_ssl(self):
        """An SSLContext for clients."""
        return certificates().client_context if self.client_tls else None

    @property
    def member_ssl(self):
        """An SSLContext for members."""
        return certificates().server_context if self.member_tls else None

    def has_tls(self, side):
        """If there is TLS between httpd and this side, "client" or "member"."""
        return self.client_tls if side == "client" else self.member_tls

    def server_config(self):
        """Lines for the server config of httpd, which its virtual hosts inherit."""
        if not self.modules:
            return ""
        lines = [SESSION_CACHE]
        lines += [CLIENT_LINES] * self.client_tls + [MEMBER_LINES] * self.member_tls
        files = certificates()
        return "\n".join(lines).format(
            authority=files.authority, certificate=files.certificate, key=files.key)

    def client_scheme(self, scheme="ws"):
        """ws or http, as a client has to write it."""
        return scheme + "s" if self.client_tls else scheme

    def client_url(self, port, path, scheme="ws"):
        return f"{self.client_scheme(scheme)}://127.0.0.1:{port}{path}"

    def member_scheme(self, scheme):
        return scheme + "s" if self.member_tls else scheme

    def member_url(self, scheme, port, path="/"):
        """The member's URL for ProxyPass; `scheme` is ws or http. Members on unix sockets are not
        meant: they are without TLS in each transport."""
        return f"{self.member_scheme(scheme)}://127.0.0.1:{port}{path}"

    def connect(self, port, timeout=10.0, handshake=True):
        """A connected client socket. Without `handshake` it is left to the first who reads or
        writes."""
        sock = socket.create_connection(("127.0.0.1", port), timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self.client_tls:
            return sock
        sock = TlsSocket(sock, self.client_ssl, "127.0.0.1")
        if handshake:
            sock.handshake()
        return sock

    def accepted(self, sock):
        """What a raw member makes of a socket that it has accepted; it does not wait for the
        handshake, as httpd begins that when it has something to send."""
        return TlsSocket(sock, self.member_ssl) if self.member_tls else sock


PLAIN = Transport("plain")

TRANSPORTS = {transport.name: transport for transport in [
    PLAIN, Transport("tls", client_tls=True, member_tls=True),
    Transport("tls-client", client_tls=True), Transport("tls-member", member_tls=True)]}

USUAL = ("plain", "tls")

# For tests of what goes through a tunnel, which has two sides.
every_transport = pytest.mark.transports(*TRANSPORTS)


def under(*names):
    """Only these pairs, as "event-tls", where all combinations would take too long."""
    pairs = [name.split("-", 1) for name in names]
    return pytest.mark.parametrize("mpm, transport",
                                   [(mpm, TRANSPORTS[transport]) for mpm, transport in pairs],
                                   ids=names, indirect=True)
