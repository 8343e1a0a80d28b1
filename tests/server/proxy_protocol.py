"""Raw clients behind a proxy that says who they are before their first byte (PROXY protocol)."""

import socket
import struct

from raw_peer import TIMEOUT, RawConnection
from tls_socket import TlsSocket
from transport import PLAIN


def version_1(address, port):
    return f"PROXY TCP4 {address} 127.0.0.1 {port} 80\r\n".encode()


def version_2(address, port):
    addresses = socket.inet_aton(address) + socket.inet_aton("127.0.0.1")
    return (b"\r\n\r\n\0\r\nQUIT\n" + b"\x21\x11" + struct.pack("!H", 12) + addresses +
            struct.pack("!HH", port, 80))


def connect_through(proxy_header, port, transport=None):
    """A raw client, with TLS behind the header if the transport has that."""
    sock = socket.create_connection(("127.0.0.1", port), TIMEOUT)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(proxy_header)
    context = (transport or PLAIN).client_ssl
    if context:
        sock = TlsSocket(sock, context, "127.0.0.1")
    return RawConnection(sock)
