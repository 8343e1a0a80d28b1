"""Calls of a server that fail when a test says so, by failing_calls.cpp."""

import atexit
import functools
import mmap
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile

# As in failing_calls.cpp. Only the module's own calls fail, those that members are
# connected to with excepted.
CALLS = ["socket", "dup", "socketpair", "thread", "new", "realloc", "epoll_add", "setrlimit",
         "connect_eacces", "connect_eperm", "connect_eaddrnotavail"]


@functools.lru_cache
def _library():
    directory = pathlib.Path(tempfile.mkdtemp(prefix="wsb-failing-"))
    directory.chmod(0o755)
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    source, library = pathlib.Path(__file__).with_name("failing_calls.cpp"), directory / "calls.so"
    built = subprocess.run(["g++", "-std=c++20", "-O1", "-Wall", "-Werror", "-shared", "-fPIC",
                            "-o", str(library), str(source)],
                           check=False, capture_output=True, text=True, timeout=60)
    assert built.returncode == 0, built.stderr[:2000]
    return str(library)


class FailingCalls:
    """For servers that are started with `options()`; all calls succeed at first."""

    def __init__(self):
        handle, self._path = tempfile.mkstemp(prefix="wsb-calls-")
        os.write(handle, bytes(4096))
        self._memory = mmap.mmap(handle, 4096)
        os.close(handle)

    def options(self):
        return {"preload": _library(), "environment": {"WSB_FAILING_CALLS": self._path}}

    def _put(self, call, count):
        struct.pack_into("i", self._memory, 4 * CALLS.index(call), count)

    def _get(self, at):
        return struct.unpack_from("i", self._memory, 4 * at)[0]

    def fail_one(self, call, number=1):
        """Of the calls that come from now on the one with this number fails."""
        self._put(call, number)

    def fail_all(self, call):
        self._put(call, -1)

    def heal(self, call):
        self._put(call, 0)

    def failed(self, call):
        """How many have failed so far."""
        return self._get(len(CALLS) + CALLS.index(call))

    def close(self):
        self._memory.close()
        os.unlink(self._path)
