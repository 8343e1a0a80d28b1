"""WSBalanceSlowStart: a member that comes back gets its share gradually (S1-18).

Where counts have to agree with a time, they are held against what the test knows of that: when the
member was still down, and when it was seen to be up. So it does not matter how fast the machine is.
"""

import contextlib
import time

import pytest

from carrying import event_only
from counters import members, name_of
from http_message import parse_head, upgrade_request
from methods import TELLS
from ours import all_quiet
from players import Player, close, switch
from raw_peer import connect
from waiting import SLOWNESS, wait_until

pytestmark = [pytest.mark.transports("plain"), event_only]

CHECKS = "WSBalanceHealthCheck interval=100ms timeout=10s rise=2 fall=3"
OF_PROXY = ("AH00957", "AH00959", "AH01114")


def balancer(name, choices, slow_start, *lines, options=""):
    added = [f"BalancerMember {name_of(member)} {options}" for member in choices]
    return "\n".join([TELLS + "ProxyStatus On", f"<Proxy balancer://{name}>", *added,
                      "ProxySet lbmethod=bytunnels", f"WSBalanceSlowStart {slow_start}", *lines,
                      "</Proxy>", f"ProxyPass /{name}/ balancer://{name}/", ""])


def figures(server, member, name="cluster"):
    found = [found for found in members(server).values()
             if (found["Name"], found["Balancer"]) == (name_of(member), f"balancer://{name}")]
    assert len(found) == 1, found
    return found[0]


def wait_for_down(server, member, name="cluster"):
    wait_until(lambda: figures(server, member, name)["State"] == "down", what=f"{name} to see it")


def wait_for_up(server, member, name="cluster"):
    """It is up, and since when has been written down."""
    wait_until(lambda: "UpFor" in figures(server, member, name), what=f"{name} to see it")


class Tunnels:
    """Open ones, and how many each of these members has."""

    def __init__(self, server, choices, name="cluster"):
        self._server, self._choices, self._path = server, choices, f"/{name}/"
        self._name = name
        self._stack = contextlib.ExitStack()
        self.counts = [0] * len(choices)

    def open(self):
        """Which member has the next one. Nothing of the request is under way any more."""
        client = self._stack.enter_context(connect(self._server.port))
        client.send(upgrade_request(self._path))
        head = parse_head(client.read_head())
        assert head.status == 101, head
        chosen = [name_of(member) for member in self._choices].index(head.get("X-Member"))
        self.counts[chosen] += 1
        return chosen

    def open_many(self, count):
        chosen = [self.open() for _ in range(count)]
        return [chosen.count(number) for number in range(len(self._choices))]

    def are_counted(self):
        return [int(figures(self._server, member, self._name)["Tunnels"])
                for member in self._choices] == self.counts

    def close(self):
        self._stack.close()


def test_after_failed_checks(new_member, start_once):
    """A member that is good again gets one tunnel in the place of all of them, where its ramp has
    hardly begun; a reload does not begin it anew, and one that is over is of no importance."""
    choices = [new_member(), new_member()]

    def conf(slow_start):
        return balancer("ramp", choices, slow_start, CHECKS) + balancer(
            "off", choices, "off", CHECKS)

    server = start_once(conf("24h"))
    choices[1].check = 503
    ramp, off = (Tunnels(server, choices, name) for name in ("ramp", "off"))
    for name in ("ramp", "off"):
        wait_for_down(server, choices[1], name)
    server.expect_log("WSB0531")
    for tunnels in (ramp, off):
        assert tunnels.open_many(12) == [12, 0]
    choices[1].check = "good"
    for name in ("ramp", "off"):
        wait_for_up(server, choices[1], name)
    server.expect_log("WSB0532")
    assert off.open_many(12) == [0, 12]
    assert ramp.open_many(12) == [11, 1]
    server.graceful(conf("24h"))
    assert ramp.open_many(2) == [2, 0]
    server.graceful(conf("100ms"))
    assert ramp.open_many(24) == [0, 24]
    ramp.close()
    off.close()
    all_quiet(server)


def test_after_an_error(start_once):
    """The same for one that is tried again after its `retry=`."""
    acts = [close]
    with Player(switch) as well, Player(lambda *args: acts[-1](*args)) as other:
        choices = [well, other]
        server = start_once("".join(balancer(name, choices, ramp, options="retry=1")
                                    for name, ramp in (("ramp", "24h"), ("off", "off"))))
        server.allow_log(*OF_PROXY)
        found = []
        for name in ("ramp", "off"):
            tunnels = Tunnels(server, choices, name)
            # In turn, so the second one is asked.
            assert tunnels.open_many(12) == [12, 0]
            wait_for_down(server, other, name)
            found.append(tunnels)
        acts.append(switch)
        for tunnels in found:
            deadline = time.monotonic() + 10 * SLOWNESS
            while tunnels.open() == 0:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        ramp, off = found
        assert off.open_many(8) == [0, 8]
        assert ramp.open_many(8) == [8, 0]
        ramp.close()
        off.close()
        all_quiet(server)


def test_its_share_grows(new_member, start_once):
    """At each moment what it has is what the ramp says, no more and no less; in the end, an equal
    part."""
    seconds = 5
    choices = [new_member(), new_member()]
    server = start_once(balancer("cluster", choices, f"{seconds}s", CHECKS))
    choices[1].check = 503
    wait_for_down(server, choices[1])
    server.expect_log("WSB0531")
    tunnels = Tunnels(server, choices)
    assert tunnels.open_many(30) == [30, 0]
    still_down = time.monotonic()
    choices[1].check = "good"
    wait_for_up(server, choices[1])
    server.expect_log("WSB0532")
    was_up = time.monotonic()

    def hundredths(since):
        """What it counts with, where the others count with a hundred."""
        return min(100, 100 * (time.monotonic() - since) / seconds)

    in_the_ramp = 0
    while tunnels.counts[0] != tunnels.counts[1] or hundredths(was_up) < 100:
        few, counts = hundredths(was_up), list(tunnels.counts)
        chosen = tunnels.open()
        many = hundredths(still_down)
        if chosen == 1:
            assert counts[1] * 100 <= counts[0] * max(1, many + 1), (counts, many)
            in_the_ramp += many < 100
        else:
            assert counts[1] * 100 >= counts[0] * (few - 1), (counts, few)
        assert sum(counts) < 1000
        time.sleep(0.04)
    assert in_the_ramp or hundredths(still_down) > 500
    wait_until(tunnels.are_counted, what="all to be counted")
    assert tunnels.open_many(8) == [4, 4]
    tunnels.close()
    all_quiet(server)
