"""Where the directives of a balancer may stand, what is said of a bad value, and the example."""

import pytest

import recipes
from checked_member import CheckedMember
from counters import is_failed
from http_message import parse_head, upgrade_request
from httpd_env import Httpd
from methods import TELLS
from ours import all_quiet
from raw_peer import connect
from waiting import wait_until

pytestmark = [pytest.mark.transports("plain"),
              pytest.mark.parametrize("mpm", ["event"], indirect=True)]

# Each directive with a good value, and what is no good.
DIRECTIVES = [
    ("WSBalanceRetryOn", ["502 503 504", "none", "400 599"],
     ["200", "399", "600", "503 none", "no", "503 x"]),
    ("WSBalanceTries", ["1", "3 30s", "100 500ms"], ["0", "101", "x", "3 99ms", "3 2h", "3 x"]),
    ("WSBalanceMaxPerMember", ["0", "1", "1000000"], ["-1", "1000001", "off"]),
    ("WSBalanceSlowStart", ["10", "500ms", "off"], ["never", "99ms", "25h", "-1"]),
    ("WSBalanceSticky",
     ["cookie=R", "cookie=R path=/a domain=example.com secure=on httponly=off samesite=Strict",
      '"cookie=a!b" maxage=1h', "cookie=__Host-R secure=auto"],
     ["cookie", "cookie=", "cookie=a;b", "cookie=a=b", f"cookie={'n' * 65}", "path=/", "R",
      "cookie=R path=a", "cookie=R path=/;x", "cookie=R domain=a..b", "cookie=R domain=a;b",
      "cookie=R secure=yes", "cookie=R httponly=auto", "cookie=R samesite=some",
      "cookie=R maxage=0", "cookie=R maxage=9601h", "cookie=R sign=", "cookie=R sign=missing",
      "cookie=R sign=/", "cookie=R color=red", "cookie=R samesite=None secure=off",
      "cookie=__Host-R path=/a", "cookie=__Secure-R secure=off"]),
    ("WSBalanceHashKey", ["%{HTTP:X-User}", "%{REMOTE_ADDR}", "all"],
     ["%{nosuch:x}", "%{HTTP:X-User"]),
    ("WSBalanceHashBound", ["25%", "1%", "1000%", "off"], ["25", "0%", "1001%", "-5%", "much%"]),
    ("WSBalanceHealthCheck",
     ["", "off", "path=/ws?a=b interval=100ms timeout=1s rise=1 fall=10 method=ping",
      "method=tcp", "host=a.b:80 origin=null subprotocol=a,b expect=400,403", "METHOD=Upgrade"],
     ["on", "path=ws", "interval=99ms", "timeout=11min", "rise=0", "fall=1001", "method=http",
      "host=", "subprotocol=a/b", "expect=100", "expect=101,", "expect=abc",
      "time=3", "off interval=1s", "method=tcp expect=400"]),
    ("WSBalanceEject", ["off", "3 in 10s", "64 in 1min for 1h", "5 In 100ms For 100ms"],
     ["2 in 10s", "65 in 10s", "5", "5 in", "5 within 10s", "5 in 10s for", "5 in 99ms",
      "5 in 10s for 25h", "5 in 10s for 1s more"]),
    ("WSBalanceEjectMax", ["1%", "100%"], ["0%", "101%", "50", "%", "x%"]),
    ("WSBalanceOnMemberDown", ["keep", "close"], ["off", "closed"]),
    ("WSBalanceOnDrain", ["keep", "close 30", "close 500ms", "close 0"],
     ["close", "keep 30", "close 25h", "close -1", "off"]),
    ("WSBalanceRebalance", ["off", "10% 5s", "1% 1h", "100% 1"],
     ["10%", "10 5s", "0% 5s", "101% 5s", "10% 999ms", "10% 2h", "off 5s"]),
]


def check_config(mpm, conf):
    httpd = Httpd(mpm, conf)
    code, text = httpd.check_config()
    httpd.remove()
    return code, text


def section(line, name="balancer://app"):
    return f"<Proxy {name}>\n  BalancerMember ws://127.0.0.1:3000\n  {line}\n</Proxy>\n"


@pytest.mark.parametrize("name,good,bad", DIRECTIVES, ids=lambda value: str(value))
def test_values(mpm, name, good, bad):
    """Good ones are taken; a bad one ends the start with the directive's name and the value."""
    for value in good:
        code, text = check_config(mpm, section(f"{name} {value}"))
        assert code == 0, text
    for value in bad:
        code, text = check_config(mpm, section(f"{name} {value}"))
        assert code != 0 and name in text and value.split()[-1] in text, text


@pytest.mark.parametrize("place", [
    "{line}",
    "<Location /ws>\n{line}\n</Location>",
    "<Proxy *>\n{line}\n</Proxy>",
    "<Proxy balancer://a*>\n{line}\n</Proxy>",
    "<Proxy http://127.0.0.1:3000>\n{line}\n</Proxy>",
    "<ProxyMatch ^balancer://app>\n{line}\n</ProxyMatch>",
    "<Proxy balancer://app>\n<If true>\n{line}\n</If>\n</Proxy>",
    "<Directory />\n{line}\n</Directory>",
], ids=["server", "Location", "any", "wildcard", "member", "ProxyMatch", "If", "Directory"])
def test_no_other_place(mpm, place):
    """The error says where it belongs."""
    for name, good, _ in DIRECTIVES:
        code, text = check_config(mpm, place.format(line=f"{name} {good[0]}"))
        assert code != 0, text
        assert f"{name} is for one balancer: it stands directly in <Proxy balancer://name>" in text


@pytest.mark.parametrize("section_name", ["balancer://app", "balancer://APP/", "Balancer://app/x"])
def test_places(mpm, section_name):
    """However the name is written; in a virtual host; in <IfModule>."""
    for name, good, _ in DIRECTIVES:
        line = f"{name} {good[0]}"
        for conf in (section(line, section_name),
                     section(f"<IfModule mod_wsbalance.c>\n{line}\n</IfModule>", section_name),
                     f"<VirtualHost *>\n{section(line, section_name)}</VirtualHost>"):
            code, text = check_config(mpm, conf)
            assert code == 0, text


def test_the_example(start_once):
    """Clients come back to their member; when it is down they get another one, and the standby when
    none of the three is left (S1-01, S1-16, S1-35)."""
    with CheckedMember() as one, CheckedMember() as two, CheckedMember() as three, \
            CheckedMember() as standby:
        members = [one, two, three, standby]
        urls = [f"http://127.0.0.1:{member.port}" for member in members]
        table = {f"http://192.0.2.{number}:3000": url for number, url in enumerate(urls, 1)}
        table |= {"interval=5s timeout=2s": "interval=100ms timeout=10s", "logs/": "",
                  "SlowStart 30s": "SlowStart 100ms", "#CustomLog": "CustomLog"}
        text = recipes.text("three-members.conf", table)
        server = start_once(f"ProxyStatus On\n{TELLS}{text}",
                            modules=recipes.modules("three-members.conf") + ("headers",))
        assert not server.log.matching("WSB001[89]")
        server.expect_log("WSB0531")
        server.allow_log("WSB0541")
        clients = []

        def ask(*fields):
            """The member that took the handshake, and the cookie that it set."""
            clients.append(connect(server.port))
            clients[-1].send(upgrade_request("/chat", add=fields))
            head = parse_head(clients[-1].read_head())
            assert head.status == 101
            cookie = head.get("Set-Cookie")
            return (members[urls.index(head.get("X-Member"))],
                    ("Cookie", cookie.split(";")[0]) if cookie else None)

        first = [ask() for _ in range(6)]
        assert sorted(members.index(member) for member, _ in first) == [0, 0, 1, 1, 2, 2]
        mine, cookie = first[0]
        assert [ask(cookie) for _ in range(3)] == [(mine, None)] * 3
        left = [one, two, three]
        for member in [mine] + [member for member in left if member is not mine]:
            member.check = 503
            url = urls[members.index(member)]
            wait_until(lambda url=url: is_failed(server, url), what=f"{url} to be out")
            left.remove(member)
            chosen, cookie = ask(cookie)
            assert chosen in (left or [standby]) and cookie
        log, line = server.directory / "members.log", f"{urls[3]} attempts=1\n"
        wait_until(lambda: line in log.read_text(), what="the line of the access log")
        for client in clients:
            client.close()
        all_quiet(server)
