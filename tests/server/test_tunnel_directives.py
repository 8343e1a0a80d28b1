"""What the directives for tunnels take, and WSB0016: what `httpd -t` says about those that stand
together and cannot work together.

What they do to a tunnel is proved elsewhere.
"""

import re

import pytest

import httpd_config
from httpd_env import Httpd

# What httpd makes of its configuration is the same over each transport and under each MPM.
pytestmark = [pytest.mark.transports("plain"),
              pytest.mark.parametrize("mpm", ["event"], indirect=True)]

MODULES = ("authz_core", "proxy", "wsbalance")


def checked(mpm, conf, modules=MODULES):
    """`httpd -t`: (exit code, all that it said)."""
    httpd = Httpd(mpm, conf, modules=modules)
    result = httpd.check_config()
    httpd.remove()
    return result


# -- Values ---------------------------------------------------------------------------------------

TIMERS = "off OFF 0 100ms 1 90 90s 10min 8h 87600h".split()
BAD_TIMES = ["soon", "-1", "10x", "1.5s", "s", "10s,5", "99999999999999999999"]
BAD_TIMERS = BAD_TIMES + ["on", "99ms", "87601h"]

GOOD = {
    "WSBalanceIdleTimeout": TIMERS,
    "ProxyWebsocketIdleTimeout": TIMERS,
    "WSBalanceDataTimeout": TIMERS,
    "WSBalancePing": [
        "off", "0", "30s", "100ms", "24h", "30s 10s", "30 1h", "30s 100ms client", "30s 10s member",
        "30s 10s both", "30s client", "30s Member", "30s both"],
    "WSBalanceLifetime": [*TIMERS, "1h 10%", "1h 0%", "1h 100%"],
    "WSBalanceCloseTimeout": ["100ms", "5", "5s", "1min", "1h"],
    "WSBalanceKeepAlive": ["on", "off", "On", "60 10 6", "1 1 1", "9h 1h 100", "1min 10000ms 3"],
    "WSBalanceFrames": [f"{word}{side}" for word in ("strict", "lenient", "off", "Off")
                        for side in ("", " client", " member")],
    "WSBalanceMaxFrame": ["0", "1", "64k", "1024g"],
    "WSBalanceMaxMessage": ["0", "1", "1M", "1024g"],
    "WSBalanceMessageRate": [
        "0", "1", "1000000", "50 burst=200", "50 action=close", "50 action=throttle burst=1",
        "50 burst=1000000 action=close", "50 Burst=2 Action=Close"],
    "WSBalanceByteRate": [
        "0", "1", "2g", "64k burst=1m", "64k action=close", "64k action=throttle burst=1k"],
}

# What has to stand in the sentence about a bad value, and bad values.
BAD = {
    "WSBalanceIdleTimeout": ("off or a time from 100ms to 87600h", BAD_TIMERS),
    "ProxyWebsocketIdleTimeout": ("off or a time from 100ms to 87600h", BAD_TIMERS),
    "WSBalanceDataTimeout": ("off or a time from 100ms to 87600h", ["on", "99ms", "87601h"]),
    "WSBalancePing": ("(e.g. 30s 10s client)", [
        "on", "99ms", "25h", "30s 99ms", "30s 61min", "30s server", "30s client 10s", "30s off",
        "30s 10s server", "30s client client", "off 10s", "off client", "client"]),
    "WSBalanceLifetime": ("(e.g. 1h 10%)", [
        "on", "99ms", "87601h", "1h 10", "1h 101%", "1h %", "1h -1%", "off 10%", "10% 1h"]),
    "WSBalanceCloseTimeout": ("a time from 100ms to 1h", ["off", "0", "99ms", "61min", "soon"]),
    "WSBalanceKeepAlive": ("(e.g. 60s 10s 6)", [
        "maybe", "60", "60 10", "on 10", "off 10 6", "0 10 6", "60 0 6", "60 10 0", "60 10 101",
        "1500ms 10 6", "60 500ms 6", "10h 10 6", "60 61min 6", "60 10 6s"]),
    "WSBalanceFrames": ("(e.g. strict client)", [
        "on", "loose", "client", "client strict", "strict server", "strict both"]),
    "WSBalanceMaxFrame": ("a size from 1 to 1024g (e.g. 64k), or 0", [
        "off", "-1", "64kb", "1.5m", "1025g", "64t"]),
    "WSBalanceMaxMessage": ("a size from 1 to 1024g (e.g. 64k), or 0", ["off", "1025g"]),
    "WSBalanceMessageRate": ("(e.g. 50 burst=200 action=close)", [
        "off", "-1", "50k", "1000001", "50 200", "50 burst=0", "50 burst=", "50 burst=1000001",
        "50 burst=1k", "50 action=drop", "50 action=", "0 burst=5", "burst=5"]),
    "WSBalanceByteRate": ("(e.g. 64k burst=1m action=close)", [
        "off", "64kb", "2049m", "64k 1m", "64k burst=0", "64k burst=2049m", "64k action=drop",
        "0 action=close"]),
}


@pytest.mark.parametrize("place", ["server", "VirtualHost", "Location", "Proxy", "If"])
def test_good_values(mpm, place):
    """S2-38: ProxyWebsocketIdleTimeout too."""
    around = {"server": "{}", "VirtualHost": "<VirtualHost *:8001>\n{}\n</VirtualHost>",
              "Location": "<Location /ws>\n{}\n</Location>",
              "Proxy": "<Proxy ws://localhost:3000/>\n{}\n</Proxy>",
              "If": "<If \"%{{HTTP_HOST}} == 'x'\">\n{}\n</If>"}[place]
    # At the end, what contradicts nothing.
    lines = [f"{name} {value}" for name, values in GOOD.items() for value in values]
    code, text = checked(mpm, around.format("\n".join(lines + ["WSBalanceFrames strict"])))
    assert (code, text) == (0, "Syntax OK\n")


@pytest.mark.parametrize("name,value", [(name, value) for name, (_, values) in BAD.items()
                                        for value in values])
def test_bad_values(mpm, name, value):
    """One sentence: the directive, what it wants, and what it got."""
    code, text = checked(mpm, f"{name} {value}")
    assert code == 1
    sentence = text.splitlines()[1]
    assert sentence.startswith(f"{name} must be ") and BAD[name][0] in sentence, text
    assert sentence.endswith(f", not '{value}'"), text


@pytest.mark.parametrize("name", GOOD)
def test_no_value_and_too_many(mpm, name):
    for values in ("", "1 2 3 4"):
        code, text = checked(mpm, f"{name} {values}")
        assert code == 1 and text.splitlines()[1].startswith(f"{name} takes "), text


# -- WSB0016 --------------------------------------------------------------------------------------

OFF = "WSBalanceFrames off\n"
CLIENT_OFF, MEMBER_OFF = "WSBalanceFrames off client\n", "WSBalanceFrames off member\n"
PING = "WSBalancePing 30s\n"
PING_CLIENT, PING_MEMBER = "WSBalancePing 30s client\n", "WSBalancePing 30s member\n"
MAX_FRAME = "WSBalanceMaxFrame 64k\n"

NO_PING_TO_CLIENT, NO_PING_TO_MEMBER = "cannot ping the client", "cannot ping the member"
NO_PONG_OF_CLIENT, NO_PONG_OF_MEMBER = "a pong of the client could", "a pong of the member could"


def section(kind, lines):
    return f"<{kind}>\n{lines}</{kind.split()[0]}>\n"


def host(lines, name="one.example"):
    return section("VirtualHost *:8001", f"ServerName {name}\n{lines}")


def warnings(mpm, conf):
    """What WSB0016 says, as pairs of text and place, in order."""
    code, text = checked(mpm, conf)
    assert (code, text.splitlines()[-1]) == (0, "Syntax OK"), text
    lines = text.splitlines()[:-1]
    found = [re.search(r"\[wsbalance:warn\] .*WSB0016: (.*) \(server (.*)\)$", line)
             for line in lines]
    assert all(found), text
    return [match.groups() for match in found]


@pytest.mark.parametrize("lines,expected", [
    (CLIENT_OFF + PING_CLIENT, [NO_PONG_OF_CLIENT]),
    (MEMBER_OFF + PING_CLIENT, [NO_PING_TO_CLIENT]),
    (OFF + PING_CLIENT, [NO_PING_TO_CLIENT]),
    (CLIENT_OFF + PING_MEMBER, [NO_PING_TO_MEMBER]),
    (MEMBER_OFF + PING_MEMBER, [NO_PONG_OF_MEMBER]),
    (OFF + PING_MEMBER, [NO_PING_TO_MEMBER]),
    (CLIENT_OFF + PING, [NO_PONG_OF_CLIENT, NO_PING_TO_MEMBER]),
    (MEMBER_OFF + PING, [NO_PING_TO_CLIENT, NO_PONG_OF_MEMBER]),
    (OFF + PING, [NO_PING_TO_CLIENT, NO_PING_TO_MEMBER]),
    (CLIENT_OFF + MAX_FRAME, ["WSBalanceMaxFrame limits nothing"]),
    (CLIENT_OFF + "WSBalanceMaxMessage 1m\n", ["WSBalanceMaxMessage limits nothing"]),
    (OFF + "WSBalanceMessageRate 50\n", ["WSBalanceMessageRate limits nothing"]),
])
def test_what_cannot_work(mpm, lines, expected):
    found = warnings(mpm, lines)
    assert [place for _, place in found] == ["localhost"] * len(expected)
    for (text, _), wanted in zip(found, expected, strict=True):
        assert wanted in text and "WSBalanceFrames is off for" in text


@pytest.mark.parametrize("lines", [
    OFF, PING, "WSBalanceFrames lenient\n" + PING + MAX_FRAME, OFF + "WSBalancePing off\n",
    MEMBER_OFF + MAX_FRAME, CLIENT_OFF + "WSBalanceMaxFrame 0\nWSBalanceMessageRate 0\n",
    OFF + "WSBalanceByteRate 64k\nWSBalanceIdleTimeout 10min\n", "WSBalance Off\n" + OFF + PING,
    OFF + "WSBalanceFrames strict\n" + PING,
    OFF + section("Location /ws", "WSBalance Off\n" + PING),
])
def test_what_works(mpm, lines):
    assert not warnings(mpm, lines)


@pytest.mark.parametrize("conf,place", [
    (PING_CLIENT + host(MEMBER_OFF), "one.example"),
    (host(PING_CLIENT + MEMBER_OFF) + host(PING_CLIENT, "two.example"), "one.example"),
    (PING_CLIENT + MEMBER_OFF + host(""), "localhost"),
    (PING_CLIENT + section("Location /ws", MEMBER_OFF) + host("") + host("", "two.example"),
     "localhost, <Location /ws>"),
    (section("LocationMatch ^/ws", PING_CLIENT + MEMBER_OFF), "localhost, <LocationMatch ^/ws>"),
    (host(MEMBER_OFF + section("Proxy ws://a:1/", PING_CLIENT)),
     "one.example, <Proxy ws://a:1/>"),
    (section("ProxyMatch ^ws:", PING_CLIENT + MEMBER_OFF), "localhost, <ProxyMatch ^ws:>"),
    (section("Location /ws", MEMBER_OFF + section("If true", PING_CLIENT)),
     "localhost, <Location /ws>, <If>"),
    (PING_CLIENT + section("If true", MEMBER_OFF) + host(""), "localhost, <If>"),
    (section("Location /ws", PING_CLIENT) + host(MEMBER_OFF), "one.example, <Location /ws>"),
])
def test_where_it_stands(mpm, conf, place):
    """Sections merge as for a request, and each line is said once."""
    (text, found), = warnings(mpm, conf)
    assert NO_PING_TO_CLIENT in text and found == place


@pytest.mark.parametrize("conf", [
    OFF + section("Location /ws", "WSBalanceFrames strict\n" + PING),
    PING + section("Location /raw", OFF + "WSBalancePing off\n"),
    MEMBER_OFF + section("Location /ws", "WSBalanceFrames lenient member\n" + PING),
    host(OFF) + host(PING, "two.example"),
    section("Location /a", OFF) + section("Location /b", PING),
    OFF + host("WSBalanceFrames strict client\n" + MAX_FRAME),
])
def test_what_an_inner_section_says_wins(mpm, conf):
    assert not warnings(mpm, conf)


def test_httpd_starts_all_the_same(start_once):
    server = start_once(OFF + PING_CLIENT, modules=httpd_config.DEFAULT_MODULES)
    server.expect_log(r"\[wsbalance:warn\] .*WSB0016: WSBalancePing cannot ping the client")
