"""WSBalanceEject: a member that fails its clients is taken out for a while (S1-30)."""

import os
import re
import signal
import socket

import pytest

from carrying import event_only
from counters import is_failed, name_of, text_of
from http_message import upgrade_request
from raw_peer import RawConnection
from waiting import SLOWNESS, wait_until

pytestmark = [pytest.mark.transports("plain"), event_only]

CLOSE = b"\x88"

CLIENTS = [f"127.0.0.{number}" for number in range(2, 8)]


def balancer(name, *members, options="WSBalanceEject 3 in 1min for 5min"):
    lines = "\n".join(f"BalancerMember {name_of(member)} retry=0" for member in members)
    return f"""
<Proxy balancer://{name}>
{lines}
{options}
</Proxy>
ProxyPass /{name}/ balancer://{name}/
"""


def conf_of(*parts):
    return "ProxyStatus On\n" + "".join(parts)


def ask(server, name, address):
    """A handshake of a client with this address; the status of its answer. A tunnel lasts until the
    member says something or ends it; behind a close frame, until it ends it."""
    sock = socket.create_connection(("127.0.0.1", server.port), source_address=(address, 0))
    with RawConnection(sock) as client:
        client.send(upgrade_request(f"/{name}/"))
        status = int(client.read_head().split(b" ")[1])
        if status == 101 and client.peek().startswith(CLOSE):
            client.read_until_eof()
        return status


def ask_often(server, name, clients=CLIENTS, times=8):
    """One after the other, so that each member of two or three gets some of each client."""
    return [ask(server, name, clients[number // 2 % len(clients)]) for number in range(times)]


def ejections(server, member):
    return int(text_of(server, name_of(member), "Ejections"))


def wait_for_ejection(server, *members):
    """One of these is taken out; which one."""
    def found():
        return [member for member in members if ejections(server, member)]

    return wait_until(found, 10, "a member to be taken out")[0]


# Ways to fail, and what httpd logs of them beside ours.
FAILURES = {"cut": [], "hang": ["WSB0222"], "wrong": ["WSB0145"], "gone": ["AH00957", "AH00959"]}


def test_ways_to_fail(new_member, start_once):
    """Connections that are refused, answers that come too late or are wrong, tunnels that are cut at
    once: the member is out, for mod_proxy too, and clients get the others."""
    pairs = {way: [new_member(client=mode) for mode in (way, "greet")] for way in FAILURES}
    server = start_once(conf_of(*(balancer(way, *pair) for way, pair in pairs.items()),
                                "<Location /hang/>\nWSBalanceHandshakeTimeout "
                                f"{int(800 * SLOWNESS)}ms\n</Location>\n"))
    server.allow_log(*(number for numbers in FAILURES.values() for number in numbers), "AH01114")
    pairs["gone"][0].stop()
    for way, (bad, good) in pairs.items():
        ask_often(server, way)
        wait_for_ejection(server, bad)
        server.expect_log(rf"WSB0535: member {name_of(bad)} of balancer://{way} is taken out "
                          r"for 300000 ms: it failed \d+ times, for [34] clients", level="warn")
        assert is_failed(server, name_of(bad))
        assert 0 < int(text_of(server, name_of(bad), "EjectedFor")) <= 300
        assert ejections(server, good) == 0
        before = bad.connections
        assert ask_often(server, way, times=4) == [101] * 4
        assert bad.connections == before


def test_what_is_no_failure(new_member, start_once):
    """A close frame at once, also where nobody follows frames; a status; one client alone, or two;
    and a member without anybody beside it."""
    off = "<Location /off/>\nWSBalanceFrames off\n</Location>\n"
    def member(mode):
        return new_member(client=mode)

    ways = {"close": "leave", "off": "leave", "status": 401, "fails": 503, "two": "cut",
            "last": "cut"}
    members = {way: member(mode) for way, mode in ways.items()}
    beside = {way: [] if way == "last" else [member("greet")] for way in ways}
    marker = [member("cut"), member("greet")]
    server = start_once(conf_of(
        *(balancer(way, members[way], *beside[way],
                   options="WSBalanceEject 3 in 1min for 5min\nWSBalanceEjectMax 100%")
          for way in ways), balancer("marker", *marker), off))
    for way in ways:
        ask_often(server, way, clients=CLIENTS[:2] if way == "two" else CLIENTS)
    # When that one is out all of the others have been looked at.
    ask_often(server, "marker")
    wait_for_ejection(server, marker[0])
    server.expect_log("WSB0535", rf"WSB0537: member {name_of(members['last'])} ")
    for way in ways:
        assert ejections(server, members[way]) == 0, way
        assert not is_failed(server, name_of(members[way])), way


def test_never_all_of_them(new_member, start_once):
    """Of two that both fail one stays, whatever WSBalanceEjectMax says; of four at most so many as it
    says."""
    two, four = ([new_member(client="cut") for _ in range(count)] for count in (2, 4))
    rule = "WSBalanceEject 3 in 1min for 5min\n"
    server = start_once(conf_of(
        balancer("two", *two, options=rule + "WSBalanceEjectMax 100%"),
        balancer("four", *four, options=rule)))
    server.expect_log("WSB0535", "WSB0537")
    for name, members, most in (("two", two, 1), ("four", four, 2)):
        ask_often(server, name, times=32)
        stays = re.compile(rf"WSB0537: .*balancer://{name} ")
        wait_until(lambda: server.log.matching(stays.pattern), what=f"a member of {name} to stay")
        wait_until(lambda: sum(ejections(server, member) for member in members) == most,
                   what=f"{most} of {name} to be out")
        assert sum(is_failed(server, name_of(member)) for member in members) == most


def test_the_end_of_an_ejection(new_member, start_once):
    """Good checks do not end it, time does; it lives over a reload, and over the process that
    began it."""
    options = "WSBalanceHealthCheck interval=100ms\nWSBalanceEject 3 in 1min for {}"
    bad = new_member(client="cut")
    good = new_member(client="greet")

    def conf(time):
        return conf_of(balancer("app", bad, good, options=options.format(time)))

    url = name_of(bad)
    server = start_once(conf("5min"), workers=4, children=2)
    server.expect_log("WSB0535")
    ask_often(server, "app")
    wait_for_ejection(server, bad)
    checks = int(text_of(server, url, "Checks"))
    wait_until(lambda: int(text_of(server, url, "Checks")) > checks + 5, what="more checks")
    assert is_failed(server, url) and text_of(server, url, "Health") == "up"
    server.graceful(conf("1s"))
    assert is_failed(server, url)  # What was said when it was taken out holds.

    # Nothing asks for it any more, then again: it is forgotten.
    server.graceful(conf_of(balancer("app", bad, good, options="WSBalanceEject off")))
    assert not is_failed(server, url)
    server.graceful(conf("1s"))
    before = ejections(server, bad)
    ask_often(server, "app")
    wait_until(lambda: ejections(server, bad) > before, what="the member to be out again")
    line = server.log.matching("WSB0539")[-1]
    server.log.allow_exit_signal("AH00052")
    os.kill(int(re.search(r"child (\d+)", line)[1]), signal.SIGKILL)
    server.expect_log(rf"WSB0536: member {url} of balancer://app may be used again")
    wait_until(lambda: not is_failed(server, url), what="the member to be back")
    assert text_of(server, url, "EjectedFor") == "0"
