"""Tunnels whose both sides a test plays, and what httpd says at their end."""

import contextlib
import fcntl
import hashlib
import os
import re
import selectors
import socket
import struct
import termios
import threading
import time
from dataclasses import dataclass

import processes
from frames import endless_head
from http_message import parse_head, switching, upgrade_request
from raw_peer import TIMEOUT, connect
from waiting import SLOWNESS, wait_until
from ws_peer import start_connecting

# A deadline for what happens at once: below the 5 seconds after which an end on one side ends the
# other, also where deadlines are stretched.
AT_ONCE = 3.0 / SLOWNESS

LINE = re.compile(
    r"\[wsbalance:(?P<level>\w+)\] .*WSB0301: tunnel ended: client=\S+:(?P<port>\d+) "
    r"member=(?P<member>\S+) tunnel=(?P<tunnel>[0-9a-f]{16}) reason=(?P<reason>\S+) "
    r"close_code=(?P<close_code>\d+) closer=(?P<closer>client|member|proxy|-) "
    r"duration_ms=(?P<duration_ms>\d+) "
    r"to_member: bytes=(?P<bytes_to_member>\d+) messages=(?P<messages_to_member>\d+) "
    r"to_client: bytes=(?P<bytes_to_client>\d+) messages=(?P<messages_to_client>\d+)"
    r"( tls=(?P<tls>\S+))?$")


@dataclass(frozen=True)
class Passed:
    """What a tunnel carried in one direction."""

    bytes: int
    messages: int


@dataclass(frozen=True)
class Ended:
    """The line of one tunnel's end."""

    port: int  # The client's.
    tunnel: str
    level: str
    reason: str
    close_code: int
    closer: str  # "-": nobody.
    duration_ms: int
    to_member: Passed
    to_client: Passed
    tls: str | None  # What was wrong about the end of TLS; None if nothing.


def ended(server):
    """The tunnels that ended in this test so far, by their lines in the error log."""
    found = []
    for line in server.log.matching("WSB0301"):
        match = LINE.search(line)
        assert match, f"not the line of a tunnel's end: {line}"
        found.append(Ended(
            int(match["port"]), match["tunnel"], match["level"], match["reason"],
            int(match["close_code"]), match["closer"], int(match["duration_ms"]),
            Passed(int(match["bytes_to_member"]), int(match["messages_to_member"])),
            Passed(int(match["bytes_to_client"]), int(match["messages_to_client"])), match["tls"]))
    return found


def end_of(server, port):
    """The only line of the tunnel whose client has this port; waits for it."""
    found = wait_until(lambda: [end for end in ended(server) if end.port == port],
                       what=f"the line of the tunnel of client port {port}")
    assert len(found) == 1, f"{len(found)} lines for one tunnel: {found}"
    return found[0]


class Pair:
    """A tunnel: the raw connections of its client and its member, and the client's port."""

    def __init__(self, client, member):
        self.client, self.member = client, member
        self.port = client.sock.getsockname()[1]

    def side(self, name):
        """The connections of this side and of the other."""
        return (self.client, self.member) if name == "client" else (self.member, self.client)

    def endless(self, side):
        """The same, behind the head of a frame without end: this side may send any bytes, which
        are payload."""
        sender, receiver = self.side(side)
        head = endless_head(side)
        sender.send(head)
        check_arrives(receiver, head)
        return sender, receiver

    def close(self):
        self.client.close()
        self.member.close()


def open_pair(server, member, path="/raw/", *, early=b"", first=b"", port=None):
    """Opens a tunnel through a route to the raw member. `early` goes out in one write with the
    client's handshake, `first` with the member's 101; both wait to be read."""
    client = connect(port or server.port, server.transport)
    client.send(upgrade_request(path) + early)
    connection = member.accept()
    connection.read_head()
    connection.send(switching() + first)
    assert parse_head(client.read_head()).status == 101
    return Pair(client, connection)


def open_many(server, path, count):
    """WebSockets of a library, opened all at the same time."""
    url, seconds = server.transport.client_url(server.port, path), 60 * SLOWNESS
    futures = [start_connecting(url, server.transport, open_timeout=seconds) for _ in range(count)]
    return [future.result(seconds + 5) for future in futures]


@contextlib.contextmanager
def in_thread(function, *arguments):
    """Runs a function beside the block; waits for its end and passes on what it raises."""
    raised = []

    def run():
        try:
            function(*arguments)
        except Exception as error:  # pylint: disable=broad-except
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield thread
    thread.join(60 * SLOWNESS)
    assert not thread.is_alive(), f"{function} does not end"
    if raised:
        raise raised[0]


def digest(data):
    return len(data), hashlib.sha256(data).hexdigest()


def check_arrives(connection, data):
    """The next that comes is exactly this; compared by hash, which keeps failures readable."""
    assert digest(connection.read_exactly(len(data))) == digest(data)


def check_carries(sender, receiver, data):
    """What one side sends, however much, is what the other gets."""
    with in_thread(sender.send, data):
        check_arrives(receiver, data)


def ends_within(connection, seconds):
    """Waits for an end of file or a reset without a byte before it."""
    assert connection.has_data(seconds * SLOWNESS), "it has not ended"
    return connection.is_ended()


def check_flood_arrives(sender, receiver, count):
    """What was sent until nobody took more of it. With TLS a part of a record may still be with
    the sender."""
    with in_thread(sender.flush):
        check_arrives(receiver, stream(count))


def narrow(connection, size=1 << 16):
    """Makes the kernel keep little for a connection, as far as it can still be told. Much less,
    and the other end would send at the pace of the kernel's timers only."""
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)


def unsent(connection):
    """The bytes that the other end's kernel has not taken yet."""
    answer = fcntl.ioctl(connection.sock.fileno(), termios.TIOCOUTQ, bytes(4))
    return struct.unpack("i", answer)[0]


PATTERN = b"".join(number.to_bytes(4, "big") for number in range(1 << 16))


def stream(size, at=0):
    """A part of an endless stream, the bytes of which tell their place."""
    start = at % len(PATTERN)
    parts, left = [PATTERN[start:start + size]], size - len(PATTERN[start:start + size])
    while left > 0:
        parts.append(PATTERN[:left])
        left -= len(parts[-1])
    return b"".join(parts)


class Flood:
    """Connections that send `stream()` as long as anybody takes it."""

    def __init__(self, connections):
        self._selector = selectors.DefaultSelector()
        self.sent = {connection: 0 for connection in connections}
        for connection in connections:
            connection.sock.setblocking(False)
            self._selector.register(connection.sock, selectors.EVENT_WRITE, connection)

    def until_blocked(self, quiet=1.0):
        """Sends until nobody has taken anything for `quiet` seconds. Much less, and a server that
        only waits for a processor would be taken for one that takes no more."""
        while ready := self._selector.select(quiet):
            for key, _ in ready:
                with contextlib.suppress(BlockingIOError):
                    part = stream(1 << 14, self.sent[key.data])
                    self.sent[key.data] += key.fileobj.send(part)

    def end(self):
        """The connections are as they were before."""
        self._selector.close()
        for connection in self.sent:
            connection.sock.settimeout(TIMEOUT)


def send_until_blocked(connection):
    """Sends `stream()` until nobody takes more of it; how much was sent."""
    flood = Flood([connection])
    flood.until_blocked()
    flood.end()
    return flood.sent[connection]


# -- Processes ------------------------------------------------------------------------------------

def inodes_of_clients(server):
    """{port of a client: inode of httpd's socket to it}."""
    found = {}
    with open("/proc/net/tcp", encoding="ascii") as file:
        for line in list(file)[1:]:
            fields = line.split()
            if int(fields[1].split(":")[1], 16) == server.port:
                found[int(fields[2].split(":")[1], 16)] = fields[9]
    return found


def carriers(server, ports):
    """{pid of a child: the ports of those of these clients whose connection it holds}."""
    inodes = inodes_of_clients(server)
    found = {}
    for pid in server.children():
        with contextlib.suppress(FileNotFoundError):  # It ended meanwhile.
            sockets = processes.sockets(pid)
            held = {port for port in ports if inodes.get(port) in sockets}
            if held:
                found[pid] = held
    return found


def anonymous_kb(pid):
    """The anonymous memory of a process in KiB: its heap and stacks, no files."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        for line in file:
            if line.startswith("Anonymous:"):
                return int(line.split()[1])
    raise AssertionError(f"no Anonymous: in smaps_rollup of {pid}")


def wait_until_steady(question):
    """The answer when it has been the same for a moment: keep-alive connections have gone."""
    last = [None, time.monotonic()]

    def is_steady():
        answer = question()
        if answer != last[0]:
            last[:] = [answer, time.monotonic()]
        return time.monotonic() > last[1] + 1.0

    wait_until(is_steady, 20, "a steady answer")
    return last[0]


def relay_threads(pid):
    """{name: how often it went to sleep} of the relay threads of a child."""
    found = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/comm", encoding="ascii", errors="replace") as file:
                name = file.read().strip()
        except OSError:
            continue  # Threads of httpd's that start others end then.
        if not name.startswith("wsb-relay"):
            continue
        with open(f"/proc/{pid}/task/{task}/status", encoding="ascii", errors="replace") as file:
            switches = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", file.read(), re.MULTILINE)
        found[name] = int(switches[1])
    return found
