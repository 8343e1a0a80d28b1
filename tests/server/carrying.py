"""What the tests of carriers share: tunnels that a carrier has, and how they end."""

import contextlib
import re
import signal
import time

import pytest

import processes
from frames import TEXT, client_frame, frame, read_frame
from proxy_frames import answer_close, read_close
from tunnels import AT_ONCE, ends_within, open_pair
from waiting import SLOWNESS, wait_until

event_only = pytest.mark.parametrize("mpm", ["event"], indirect=True)
plain_only = pytest.mark.transports("plain")

# How soon a carrier ends behind its last tunnel.
ENDS_SECONDS = 1.0 / SLOWNESS + 1.0  # wait_until() stretches the whole; a look may come late.

TITLE = re.compile(r"(?:apache2|httpd): wsbalance carrier \(gen (\d+), (\d+) tunnels\)")

# For the children of a new generation: httpd looks for a free place once a second.
ROOM = "<IfModule !mpm_prefork_module>\nServerLimit 4\n</IfModule>\n"

LOG = "WSBalanceLog tunnels.json\n"

STOP_SIGNALS = {"stop": signal.SIGTERM, "graceful-stop": signal.SIGWINCH, "restart": signal.SIGHUP}


def check_echo(pair):
    """The tunnel carries messages both ways."""
    pair.client.send(client_frame(TEXT, b"question"))
    assert read_frame(pair.member) == (TEXT, b"question", True)
    pair.member.send(frame(TEXT, b"answer"))
    assert read_frame(pair.client) == (TEXT, b"answer", True)


def check_echoes(pairs):
    for pair in pairs:
        check_echo(pair)


def close_all(pairs):
    for pair in pairs:
        pair.close()


def end_by_client(pair):
    """The client ends the tunnel, and the member only when it has seen that."""
    pair.client.close()
    assert ends_within(pair.member, AT_ONCE)
    pair.member.close()


def number(server, key):
    """A figure of server-status."""
    return int(server.status()[key])


def titles(server):
    """{pid of a carrier: (generation, tunnels)}, as ps shows it."""
    found = {}
    for pid in server.carriers():
        with contextlib.suppress(FileNotFoundError):
            if match := TITLE.fullmatch(processes.title(pid)):
                found[pid] = int(match[1]), int(match[2])
    return found


def wait_for_carried(server, count):
    """Carriers have so many tunnels; returns their pids."""
    def has_all():
        found = titles(server)
        return sum(tunnels for _, tunnels in found.values()) == count and sorted(found)

    return wait_until(has_all, 20, f"{count} tunnels of carriers")


def begin_graceful(server):
    """A graceful restart that nobody waits for. httpd may say that old children have all places."""
    server.allow_log("AH00288", "AH03490")
    server.signal(signal.SIGUSR1)


def move(server, count):
    """The first half of a graceful restart: so many tunnels go to carriers. The new children take
    a second more; where no test needs them, nobody waits for them."""
    begin_graceful(server)
    return wait_for_carried(server, count)


def wait_for_no_carrier(server, seconds=10):
    wait_until(lambda: not server.carriers(), seconds, "the carriers to end")
    wait_until(lambda: server.status()["WSBalanceCarriers"] == "0", 5, "WSBalanceCarriers: 0")


def carried_pairs(server, member, count=3, path="/raw/"):
    """Tunnels that went to a carrier by a graceful restart."""
    before = sum(tunnels for _, tunnels in titles(server).values())
    pairs = [open_pair(server, member, path) for _ in range(count)]
    server.graceful()
    wait_for_carried(server, before + count)
    return pairs


def pairs_in_carrier_and_child(server, member, count=3):
    """Tunnels that a carrier has, and tunnels that a child has; all of them work."""
    in_carrier = carried_pairs(server, member, count)
    in_child = [open_pair(server, member) for _ in range(count)]
    check_echoes(in_carrier + in_child)
    return in_carrier, in_child


def check_told(pair, text=b"going away"):
    """Both sides get 1001. They do not answer."""
    for side in ("client", "member"):
        read_close(pair.side(side)[0], side, text)


def check_going_away(pair, text=b"going away"):
    """Both sides get 1001, and the end of their stream when they have answered."""
    check_told(pair, text)
    for side in ("client", "member"):
        answer_close(pair.side(side)[0], side)
    assert ends_within(pair.client, AT_ONCE) and ends_within(pair.member, AT_ONCE)
    pair.close()


def check_all_going_away(pairs, text=b"going away"):
    for pair in pairs:
        check_going_away(pair, text)


def take_closes(pairs, text, meanwhile):
    """Answers the close frames of httpd, which come when they like, with `meanwhile(pair)` at the
    last tunnel while its turn is far away. Returns when each tunnel was told, in seconds from
    now."""
    began, times, left = time.monotonic(), {}, list(pairs)
    while left and time.monotonic() < began + 20 * SLOWNESS:
        for pair in [pair for pair in left if pair.client.has_data()]:
            times[pair] = time.monotonic() - began
            check_told(pair, text)
            for side in ("client", "member"):
                answer_close(pair.side(side)[0], side)
            assert ends_within(pair.client, AT_ONCE) and ends_within(pair.member, AT_ONCE)
            left.remove(pair)
        if len(left) > len(pairs) // 2:
            meanwhile(left[-1])
        time.sleep(0.01)
    assert not left, f"{len(left)} tunnels were not told"
    return [times[pair] for pair in pairs]


def check_spread(times, seconds):
    """Not all at once and not all at the end. (A slow machine makes all of them later.)"""
    times = sorted(times)
    width = times[-1] - times[0]
    assert width > 0.4 * seconds, times
    assert 0.15 * width < times[len(times) // 2] - times[0] < 0.85 * width, times


def check_cut(pair):
    """The end without a word."""
    assert ends_within(pair.client, AT_ONCE) and ends_within(pair.member, AT_ONCE)
    pair.close()
