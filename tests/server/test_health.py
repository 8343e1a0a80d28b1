"""WSBalanceHealthCheck: checks of members, by handshakes of the server's own (S1-29)."""

import os
import re
import signal
import time

import pytest

from carrying import event_only, wait_for_carried
from certificates import certificates
from counters import is_failed, name_of, text_of
from http_message import upgrade_request
from httpd_config import default_modules
from issued_certificates import issued
from raw_peer import connect
from waiting import SLOWNESS, stays, wait_until

pytestmark = pytest.mark.transports("plain")

# No good member is as slow as that. Where one hangs on purpose it is left at that sooner.
FAST = "interval=100ms timeout=10s rise=2 fall=3"
HANGS = f"interval=100ms timeout={int(500 * SLOWNESS)}ms"


def balancer(name, *urls, options=FAST):
    lines = "\n".join(f"BalancerMember {url} retry=0" for url in urls)
    check = "" if options is None else f"WSBalanceHealthCheck {options}"
    return f"""
<Proxy balancer://{name}>
{lines}
{check}
</Proxy>
ProxyPass /{name}/ balancer://{name}/
"""


def conf_of(*parts):
    return "ProxyStatus On\n" + "".join(parts)


def wait_for(server, url, health, seconds=10):
    """Our state of the member, and mod_proxy's of the same."""
    wait_until(lambda: text_of(server, url, "Health") == health, seconds, f"{url} to be {health}")
    wait_until(lambda: is_failed(server, url) == (health == "down"), 3, f"{url} in mod_proxy")


# What makes a member bad for a check, and what the log says then.
WAYS = {
    "hangs": (HANGS, "hang", "no answer in time"),
    "wrong": (FAST, "wrong", "Sec-WebSocket-Accept"),
    "refuses": (FAST, 503, "status 503 instead of 101"),
    "mute": (HANGS + " method=ping", "mute", "no pong in time"),
    "closes": (FAST + " method=ping", "close", r"a close frame \(1008\) instead of the pong"),
    "cuts": (FAST + " method=ping", "cut", "(it closed the connection: no pong|the connection broke|"
             "it does not take)"),
    "expects": (FAST + " expect=400,403", "good", "status 101 instead of 400 or 403"),
}


@event_only
def test_members_go_and_come_back(new_member, start_once):
    """Each way of being bad takes a member out, each with a line that says why; a close frame 1000
    ends a handshake; no check becomes a tunnel."""
    members = {way: new_member(403 if way == "expects" else "good")
               for way in WAYS}
    urls = {way: name_of(member) for way, member in members.items()}
    server = start_once(conf_of(*(balancer(way, urls[way], options=WAYS[way][0])
                                  for way in WAYS)))
    for url in urls.values():
        wait_for(server, url, "up")
    wait_until(lambda: members["hangs"].close_codes and members["mute"].close_codes)
    for way, member in members.items():
        member.check = WAYS[way][1]
    for way, url in urls.items():
        wait_for(server, url, "down")
        server.expect_log(rf"WSB0531: member {url} of balancer://{way} is down: 3 checks in a "
                          rf"row failed, the last one: .*{WAYS[way][2]}", level="warn")
    for way, member in members.items():
        member.check = 403 if way == "expects" else "good"
    for url in urls.values():
        wait_for(server, url, "up")
    server.expect_log("WSB0532")
    for way, member in members.items():
        assert set(member.close_codes) <= {1000}, way
    assert server.tunnels() == 0
    assert all(int(text_of(server, url, "Opened")) == 0 for url in urls.values())


@event_only
def test_how_many_checks_it_takes(new_member, start_once):
    """A port that is open, and a handshake that hangs: out after `fall` checks, one an interval, and
    back after `rise`; clients do not meet it meanwhile (S1-18)."""
    interval, timeout = 0.5, 0.4
    member, other = new_member(), new_member()
    url = name_of(member)
    server = start_once(conf_of(balancer(
        "app", url, name_of(other), options="interval=500ms timeout=400ms rise=2 fall=3")))
    wait_for(server, url, "up")

    def change(mode, is_good):
        """How many checks it takes, one more if one was under way; and the time."""
        first, began = len(member.times), time.monotonic()
        member.check = member.client = mode
        wait_until(lambda: is_failed(server, url) != is_good, 30, f"{url} to change")
        return len(member.times) - first, time.monotonic() - began

    server.expect_log("WSB0531: .*: 3 checks in a row failed", "WSB0532")
    checks, seconds = change("hang", False)
    assert checks >= 3 and seconds < 3 * interval + timeout + 5 * SLOWNESS
    for _ in range(4):
        with connect(server.port) as client:
            client.send(upgrade_request("/app/"))
            assert b" 101 " in client.read_head()
    checks, seconds = change("good", True)
    assert checks >= 2 and seconds < 2 * interval + timeout + 5 * SLOWNESS


@event_only
def test_what_is_asked(new_member, start_once):
    """The request of a check, and a fresh key each time."""
    options = FAST + " path=/ws?x=1 host=app.example origin=https://app.example subprotocol=a,b"
    member = new_member()
    other = new_member()
    start_once(conf_of(balancer("app", name_of(member, "/chat"), options=options),
                       balancer("other", name_of(other, "/chat"))))
    wait_until(lambda: len(member.heads) > 2 and other.heads, what="three checks")
    head = member.heads[0]
    assert head.start_line == "GET /ws?x=1 HTTP/1.1"
    assert head.get("Host") == "app.example" and head.get("Origin") == "https://app.example"
    assert head.get("Sec-WebSocket-Protocol") == "a,b"
    assert head.get("Sec-WebSocket-Version") == "13"
    keys = [head.get("Sec-WebSocket-Key") for head in list(member.heads)]
    assert len(set(keys)) == len(keys)
    head = other.heads[0]
    assert head.start_line == "GET / HTTP/1.1"
    assert head.get("Host") == f"127.0.0.1:{other.port}"
    assert head.get("Origin") is None and head.get("Sec-WebSocket-Protocol") is None


@event_only
def test_tcp_and_unix_sockets(new_member, start_once, public_dir):
    """method=tcp sees a port that is closed, and only that; a member on a unix socket."""
    path = public_dir / "health.sock"
    member = new_member("hang")
    local = new_member(path=path)
    url, local_url = name_of(member), "ws://unix.invalid"
    server = start_once(conf_of(
        balancer("tcp", url, options=FAST + " method=tcp"),
        balancer("unix", f"unix:{path}|{local_url}/", options=HANGS)))
    name = f"unix:{path}|{local_url}/"
    wait_until(lambda: text_of(server, url, "Health") == "up", what="a good check by TCP")
    wait_until(lambda: text_of(server, name, "Health") == "up", what="a good check")
    assert local.heads[0].get("Host") == "unix.invalid"
    local.check = "hang"
    wait_until(lambda: text_of(server, name, "Health") == "down", what="the member to be down")
    server.expect_log(rf"WSB0531: member {local_url}/ .*no answer in time")
    member.stop()
    wait_for(server, url, "down")
    server.expect_log(rf"WSB0531: member {url} .*no connection", level="warn")


@event_only
@pytest.mark.transports("tls-member")
def test_tls(new_member, start_once):
    """wss members by the rules of SSLProxy*: one whose certificate is refused is down."""
    alien = issued("alien", by_authority=False)
    good = new_member(context=certificates().server_context)
    bad = new_member(context=alien.server_context())
    hanging = new_member("hang", context=certificates().server_context)
    urls = [f"wss://127.0.0.1:{member.port}" for member in (good, bad, hanging)]
    server = start_once(conf_of(balancer("app", *urls[:2], options=FAST + " method=ping"),
                                balancer("hangs", urls[2], options=HANGS)))
    wait_for(server, urls[0], "up")
    wait_for(server, urls[1], "down")
    wait_for(server, urls[2], "down")
    server.expect_log(rf"WSB0531: member {urls[1]} .*its certificate was refused",
                      rf"WSB0531: member {urls[2]} .*no TLS in time", level="warn")
    wait_until(lambda: 1000 in good.close_codes, what="a close frame")
    hanging.check = "good"
    wait_for(server, urls[2], "up")
    assert text_of(server, urls[0], "ChecksFailed") == "0"


@event_only
def test_one_process_checks(new_member, start_once):
    """However many children there are, a member is asked once in an interval; and one that is
    switched off not at all."""
    member = new_member()
    disabled = new_member()
    options = "interval=400ms timeout=1s"
    conf = conf_of(balancer("app", name_of(member), name_of(disabled) + " status=+D",
                            options=options))
    server = start_once(conf, workers=8, children=4)
    wait_until(lambda: member.times, what="a check")
    begin = time.monotonic()
    first = len(member.times)
    assert stays(lambda: True, 2.4)
    seconds = time.monotonic() - begin
    checks = len(member.times) - first
    assert 1 <= checks <= seconds / 0.4 + 2
    assert disabled.connections == 0


def checker_of(server, but=None):
    """The pid of the child that looks after members; waits for one that is not `but`."""
    def found():
        pids = [int(re.search(r"child (\d+)", line)[1]) for line in server.log.matching("WSB0539")]
        return pids and pids[-1] != but and pids[-1]

    return wait_until(found, 10, "a child to check members")


@event_only
def test_another_process_takes_over(new_member, start_once):
    """The child that checks is killed: the next one goes on with what was known."""
    member = new_member("hang")
    url = name_of(member)
    server = start_once(conf_of(balancer("app", url, options=HANGS)), workers=4, children=2)
    wait_for(server, url, "down")
    server.expect_log("WSB0531")
    server.log.allow_exit_signal("AH00052")
    first = checker_of(server)
    os.kill(first, signal.SIGKILL)
    checker_of(server, but=first)
    before = member.connections
    wait_until(lambda: member.connections > before, what="checks to go on")
    assert text_of(server, url, "Health") == "down" and is_failed(server, url)
    member.check = "good"
    wait_for(server, url, "up")


@event_only
def test_reloads(new_member, start_once):
    """A member that is down stays so over a reload, without a check that says it anew; where nothing
    asks for checks any more it is like any other."""
    member = new_member("hang")
    url = name_of(member)
    server = start_once(conf_of(balancer("app", url, options=HANGS)))
    wait_for(server, url, "down")
    server.expect_log("WSB0531")
    server.graceful(conf_of(balancer("app", url, options="interval=1h")))
    assert is_failed(server, url) and text_of(server, url, "Health") == "down"
    server.graceful(conf_of(balancer("app", url, options=None)))
    assert not is_failed(server, url)
    assert text_of(server, url, "Health") == "-"


@event_only
@pytest.mark.transports("tls-member")
def test_a_check_that_hangs_holds_up_nothing(new_member, start_once):
    """Neither a carrier at a reload nor a stop: TCP, and TLS that comes to no end."""
    context = certificates().server_context
    tls = new_member("hang", context=context)
    plain = new_member("hang")
    urls = [f"wss://127.0.0.1:{tls.port}", name_of(plain)]
    server = start_once(conf_of(balancer("app", *urls, options="interval=100ms timeout=5min")))
    wait_until(lambda: tls.connections and plain.heads, what="checks")
    tls.check = "good"  # The check that has begun goes on to hang, and so does `plain`.
    with connect(server.port) as client:
        client.send(upgrade_request("/app/"))
        assert b" 101 " in client.read_head()
        wait_until(lambda: server.tunnels() == 1, what="a tunnel")
        tls.check = "hang"
        before = plain.connections, tls.connections
        server.graceful()
        wait_for_carried(server, 1)
    wait_until(lambda: not server.carriers(), what="the carrier to end")
    wait_until(lambda: plain.connections > before[0] and tls.connections > before[1],
               what="checks by the new child")
    server.stop()
    assert server.stop_seconds < 4 * SLOWNESS


@pytest.mark.parametrize("mpm", ["prefork"], indirect=True)
def test_prefork(new_member, start_once):
    """Checks are made, and one that hangs does not delay a stop."""
    member = new_member()
    hanging = new_member("hang")
    server = start_once(conf_of(
        balancer("app", name_of(member)),
        balancer("hang", name_of(hanging), options="interval=100ms timeout=5min")), workers=4)
    wait_for(server, name_of(member), "up")
    wait_until(lambda: hanging.heads, what="a check")
    server.stop()
    assert server.stop_seconds < 4 * SLOWNESS


@event_only
def test_mod_proxy_hcheck(new_member, start_once):
    """What mod_proxy_hcheck checks is its own, and said once."""
    member = new_member()
    other = new_member()
    conf = conf_of(balancer("app", f"{name_of(member)} hcmethod=TCP hcinterval=1",
                            name_of(other)))
    server = start_once(conf, modules=default_modules(add=("proxy_hcheck",)))
    server.expect_log(rf"WSB0534: member {name_of(member)} of balancer://app is not checked")
    wait_until(lambda: len(other.heads) > 3, what="checks of the other one")
    assert not member.heads
    assert text_of(server, name_of(member), "Health") == "-"
    assert len(server.log.matching("WSB0534")) == 1


@event_only
def test_no_tls_for_a_member(new_member, start_once):
    """Without SSLProxyEngine nobody knows, and the member is not blamed."""
    member = new_member()
    url = f"wss://127.0.0.1:{member.port}"
    server = start_once(conf_of(balancer("app", url)))
    server.allow_log("WSB0015", "AH01961")
    server.expect_log("WSB0538", level="warn")
    wait_until(lambda: member.connections > 5, what="checks")
    assert text_of(server, url, "Checks") == "0" and not is_failed(server, url)
