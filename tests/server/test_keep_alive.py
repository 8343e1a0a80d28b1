"""WSBalanceKeepAlive: an end of a TCP connection that is gone without a word is noticed in time,
with and without unsent data; one that is only silent stays."""

import contextlib
import ctypes
import os
import socket
import struct
import time

import pytest

from frames import BINARY, TEXT, client_frame, frame, frame_by, opposite, read_frame
from ours import all_quiet
from transport import every_transport
from tunnels import end_of, open_pair, unsent
from waiting import SLOWNESS, wait_until

pytestmark = pytest.mark.parametrize("mpm", ["event"], indirect=True)

SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27  # asm-generic/socket.h; socket(7).

# idle + interval * probes is 3 seconds.
LINES = {"short": "WSBalanceKeepAlive 1s 1s 2", "default": "", "off": "WSBalanceKeepAlive off"}


@pytest.fixture(scope="module")
def server(start_httpd, transport, shared_member):
    return start_httpd("\n".join(f"""
ProxyPass /{name}/ {transport.member_url("ws", shared_member.port)}
<Location /{name}/>
{text}
</Location>""" for name, text in LINES.items()))


@contextlib.contextmanager
def vanished(connection):
    """The kernel drops whatever comes for this connection, without an acknowledgement, as if its
    machine or the way to it were gone: a socket filter that accepts no packet."""
    reject = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF_RET | BPF_K, 0
    program = struct.pack("@HP", 1, ctypes.addressof(reject))
    connection.sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
    yield
    connection.sock.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)


def keep_alive_in(local, remote):
    """In how many seconds the kernel asks the other end of the connection between these ports
    whether it is there; None: it never will. From /proc/net/tcp, where timer 2 is keep-alive."""
    with open("/proc/net/tcp", encoding="ascii") as file:
        rows = [line.split() for line in list(file)[1:]]
    row, = [row for row in rows if [int(row[n].split(":")[1], 16) for n in (1, 2)]
            == [local, remote]]
    kind, ticks = (int(part, 16) for part in row[5].split(":"))
    return ticks / os.sysconf("SC_CLK_TCK") if kind == 2 else None


def both_keep_alives(server, member, pair):
    """Those of httpd's connections to the client and to the member."""
    return (keep_alive_in(server.port, pair.port),
            keep_alive_in(pair.member.sock.getpeername()[1], member.port))


@every_transport
def test_an_end_that_vanished_is_noticed(server, member):
    """On either side, after idle + interval * probes, whether or not something waits for it.
    The other side is told by the end of its connection; a silent tunnel beside them stays."""
    beside = open_pair(server, member, "/short/")
    pairs = [(side, has_unsent, open_pair(server, member, "/short/"))
             for side in ("client", "member") for has_unsent in (False, True)]
    waiting, seconds = {}, {}
    with contextlib.ExitStack() as stack:
        for side, has_unsent, pair in pairs:
            gone, other = pair.side(side)
            since = time.monotonic()
            gone.send(frame_by(side, TEXT, b"I was here"))
            assert read_frame(other) == (TEXT, b"I was here", True)
            # Or its kernel would send it again and again, and not be gone.
            wait_until(lambda c=gone: unsent(c) == 0, what="the bytes to be acknowledged")
            stack.enter_context(vanished(gone))
            if has_unsent:
                since = time.monotonic()
                other.send(frame_by(opposite(side), BINARY, bytes(1000)))
            waiting[side, has_unsent] = (other, since)
        began = time.monotonic()
        while waiting:
            assert time.monotonic() < began + 20 * SLOWNESS, f"still open: {list(waiting)}"
            for name, (other, since) in list(waiting.items()):
                if other.has_data(0.01):
                    seconds[name] = time.monotonic() - since
                    del waiting[name]
        wait_until(lambda: server.tunnels() == 1, what="four tunnels to end")
    # The kernel counts in ticks of up to 10 ms.
    assert all(2.9 < found < 3 + 5 * SLOWNESS for found in seconds.values()), seconds
    for side, _, pair in pairs:
        assert pair.side(side)[1].is_ended()
        pair.close()
        assert end_of(server, pair.port).reason == f"{side}-error"
    beside.client.send(client_frame(TEXT, b"still here"))
    assert read_frame(beside.member) == (TEXT, b"still here", True)
    beside.member.send(frame(TEXT, b"here too"))
    assert read_frame(beside.client) == (TEXT, b"here too", True)
    beside.close()
    all_quiet(server)


def test_timers_of_the_kernel(server, member):
    """It is on for both connections by default. With `off` they are as httpd opened them: the
    member's without, the client's at the pace of the system (listen.c), not at ours."""
    for name, longest in (("default", 60), ("short", 1)):
        pair = open_pair(server, member, f"/{name}/")
        def both_set(pair=pair, longest=longest):
            """The relay sets them when it takes the tunnel in, maybe after the 101. And while
            something waits for its acknowledgement another timer runs."""
            both = both_keep_alives(server, member, pair)
            are_set = all(seconds is not None and seconds <= longest + 0.1 for seconds in both)
            return both if are_set else None

        found = wait_until(both_set, what="two timers for keep-alive")
        assert name == "short" or min(found) > 60 - 20 * SLOWNESS
        pair.close()
    pair = open_pair(server, member, "/off/")
    to_client, to_member = both_keep_alives(server, member, pair)
    assert to_member is None and (to_client is None or to_client > 100)
    pair.close()
    all_quiet(server)
