"""Loads filter_module.c, and speaks as its clients have to."""

import extra_module

MASK = 0x20
_TABLE = bytes(byte ^ MASK for byte in range(256))


def load_line():
    return extra_module.load_line("filter_module.c", "test_filter_module")


class XoredSocket:
    """A socket below a peer whose connection has the filter with MASK."""

    def __init__(self, sock):
        self._sock = sock

    def __getattr__(self, name):
        return getattr(self._sock, name)

    def recv(self, size):
        return self._sock.recv(size).translate(_TABLE)

    def send(self, data):
        return self._sock.send(bytes(data).translate(_TABLE))

    def sendall(self, data):
        data = bytes(data).translate(_TABLE)
        for at in range(0, len(data), 1 << 16):  # Each part has the socket's whole time.
            self._sock.sendall(data[at:at + (1 << 16)])
