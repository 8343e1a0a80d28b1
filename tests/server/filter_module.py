"""Builds filter_module.c, and speaks as its clients have to."""

import atexit
import functools
import pathlib
import shutil
import subprocess
import tempfile

MASK = 0x20
_TABLE = bytes(byte ^ MASK for byte in range(256))


@functools.lru_cache
def load_line():
    """Its LoadModule line; builds it when it is first asked for."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="wsb-filter-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    source = pathlib.Path(__file__).with_name("filter_module.c")
    shutil.copy(source, directory)
    built = subprocess.run(["apxs", "-c", "-Wc,-Wall", "-Wc,-Werror", source.name], cwd=directory,
                           check=False, capture_output=True, text=True, timeout=60)
    assert built.returncode == 0, built.stderr[:2000]
    return f"LoadModule test_filter_module {directory}/.libs/filter_module.so"


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
