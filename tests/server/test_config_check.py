"""What `httpd -t` says about members that need TLS and do not get it (WSB0015), and about balancers
that may not mean what they say (WSB0018, WSB0019).

The configurations of the guides, and what their handshakes get, are in test_article_tls.py.
"""

import re

import pytest

import httpd_config
from http_message import read_response, upgrade_request
from httpd_env import Httpd
from raw_peer import connect
from transport import SESSION_CACHE

# What httpd makes of its configuration is the same over each transport and under each MPM.
pytestmark = [pytest.mark.transports("plain"),
              pytest.mark.parametrize("mpm", ["event"], indirect=True)]

WITH_TLS = httpd_config.default_modules(add=["socache_shmcb", "ssl", "macro"])
WITHOUT_TLS = httpd_config.DEFAULT_MODULES

WSS, HTTPS = "wss://localhost:3000/", "https://localhost:3000/"
BALANCER = f"""
<Proxy balancer://cluster>
  BalancerMember {WSS}
  BalancerMember https://localhost:3001
  BalancerMember ws://localhost:3002
</Proxy>
"""
CLUSTER = [WSS, "https://localhost:3001"]


def host(lines, name="one.example", port=8001):
    return f"<VirtualHost *:{port}>\nServerName {name}\n{lines}\n</VirtualHost>\n"


def reported(mpm, conf, modules=WITH_TLS):
    """The members that `httpd -t` names, each with its server, in alphabetical order."""
    httpd = Httpd(mpm, conf, modules=modules)
    code, text = httpd.check_config()
    httpd.remove()
    assert (code, text.splitlines()[-1]) == (0, "Syntax OK"), text
    lines = [line for line in text.splitlines() if "WSB" in line]
    found = [re.search(r"\[wsbalance:warn\] .*WSB0015: member (\S+) .*\(server (.*)\)$", line)
             for line in lines]
    assert all(found), text
    return sorted(match.groups() for match in found)


# -- Who is named ---------------------------------------------------------------------------------

@pytest.mark.parametrize("modules", [WITH_TLS, WITHOUT_TLS], ids=["mod_ssl", "no mod_ssl"])
@pytest.mark.parametrize("lines,members", [
    (f"ProxyPass /ws/ {WSS}", [WSS]),
    (f"ProxyPass /ws/ {WSS}\nProxyPass /pages/ {HTTPS}", [HTTPS, WSS]),
    (f"ProxyPass /a/ {WSS}\nProxyPass /b/ {WSS}", [WSS]),
    (f"<Location /ws>\nProxyPass {WSS}\n</Location>", [WSS]),
    (f"<Location /ws>\nProxyPass {WSS} upgrade=websocket\n</Location>", [WSS]),
    ("ProxyPass /ws/ WSS://LOCALHOST:3000/", [WSS]),
    (f"{BALANCER}ProxyPass /ws/ balancer://cluster/", CLUSTER),
    (f"{BALANCER}<Location /ws>\nProxyPass balancer://cluster\n</Location>", CLUSTER),
], ids=["wss", "wss and https", "twice", "Location", "options", "in capitals", "balancer",
        "balancer in Location"])
@pytest.mark.parametrize("place", ["main server", "virtual host"])
def test_each_member_is_named_once(mpm, place, lines, members, modules):
    """S1-13, S1-26, S1-34, S1-43, S2-24: without SSLProxyEngine."""
    conf, server = (lines, "localhost") if place == "main server" else (host(lines), "one.example")
    found = reported(mpm, conf, modules)
    assert [(member.rstrip("/"), name) for member, name in found] == sorted(
        (member.rstrip("/"), server) for member in members)


def test_several_virtual_hosts(mpm):
    """Each has members of its own, though their URLs are the same."""
    found = reported(mpm, host(f"ProxyPass / {WSS}") + host(f"ProxyPass / {WSS}", "two.example")
                     + host(f"SSLProxyEngine on\nProxyPass / {WSS}", "three.example")
                     + host(f"ProxyPass / {WSS}", "four.example", 8002))
    assert found == [(WSS, name) for name in ("four.example", "one.example", "two.example")]


def test_a_route_that_virtual_hosts_inherit(mpm):
    """It is one member."""
    found = reported(mpm, f"ProxyPass / {WSS}\n" + host("") + host("", "two.example"))
    assert found == [(WSS, "localhost")]


@pytest.mark.parametrize("modules", [WITH_TLS, WITHOUT_TLS], ids=["mod_ssl", "no mod_ssl"])
@pytest.mark.parametrize("conf", [
    "", "ProxyPass /ws/ ws://localhost:3000/\nProxyPass / http://localhost:3000/",
    host("ProxyPass / unix:/run/app.sock|ws://localhost/"), "ProxyPass / !",
    "<Proxy balancer://cluster>\nBalancerMember ws://localhost:3000\n</Proxy>"],
    ids=["none", "ws and http", "unix", "!", "balancer"])
def test_members_without_tls(mpm, conf, modules):
    """S2-06: plain text inside needs nothing."""
    assert not reported(mpm, conf, modules)


# -- Where the line stands ------------------------------------------------------------------------

MEMBER = f"ProxyPass / {WSS}\n"
ON = "SSLProxyEngine on\n"


@pytest.mark.parametrize("conf", [
    ON + MEMBER, MEMBER + ON, ON + host(MEMBER), host(MEMBER) + ON, host(ON + MEMBER),
    host(MEMBER + ON), MEMBER + "sslproxyengine ON\n", MEMBER + 'SSLProxyEngine "on"\n',
    host(f"{MEMBER}<Proxy {WSS}>\n{ON}</Proxy>"), f"{MEMBER}<Proxy {WSS}>\n{ON}</Proxy>",
    host(f"{MEMBER}<IfModule mod_ssl.c>\n{ON}</IfModule>"),
    f"<IfModule mod_ssl.c>\n{host(ON + MEMBER)}</IfModule>",
    f"Define TLS\n{MEMBER}<IfDefine TLS>\n{ON}</IfDefine>",
    f"Define TLS on\n{MEMBER}SSLProxyEngine ${{TLS}}",
    f"<Macro Host $port>\n{host(ON + MEMBER, 'macro.example', '$port')}</Macro>\n"
    "Use Host 8001\nUse Host 8002",
    ON + BALANCER + host("ProxyPass / balancer://cluster/"),
    host(ON + BALANCER + "ProxyPass / balancer://cluster/"),
    BALANCER.replace("</Proxy>", f"{ON}</Proxy>") + "ProxyPass / balancer://cluster/",
], ids=["server", "server, behind", "inherited", "inherited, behind", "host", "host, behind",
        "other case", "in quotes", "Proxy in a host", "Proxy", "IfModule", "IfModule around",
        "IfDefine", "variable", "macro", "balancer", "balancer in a host",
        "within the balancer"])
def test_switched_on(mpm, conf):
    assert not reported(mpm, conf)


def test_a_balancer_outside_of_the_host_that_uses_it(mpm):
    """S1-27, S1-34: no request comes to it but by the host, where TLS is on."""
    assert not reported(mpm, BALANCER + host(ON + "ProxyPass / balancer://cluster/"))


@pytest.mark.parametrize("around", ["{}", host("{}")], ids=["server", "host"])
def test_switched_on_by_an_included_file(mpm, tmp_path, around):
    (tmp_path / "tls.conf").write_text(ON)
    assert not reported(mpm, around.format(f"{MEMBER}Include {tmp_path}/tls.conf"))


def test_a_host_in_an_included_file(mpm, tmp_path):
    """Virtual hosts at the same line of several files are not taken for each other."""
    for name, lines in [("one.example", ON + MEMBER), ("two.example", MEMBER)]:
        (tmp_path / f"{name}.conf").write_text(host(lines, name))
    assert reported(mpm, f"IncludeOptional {tmp_path}/*.conf") == [(WSS, "two.example")]


@pytest.mark.parametrize("conf,server", [
    (host(MEMBER) + host(ON, "two.example"), "one.example"),
    (host(ON, "two.example") + host(MEMBER), "one.example"),
    (host(ON, "two.example") + MEMBER, "localhost"),
    (MEMBER + "SSLProxyEngine off\n", "localhost"),
    (host(MEMBER + "SSLProxyEngine off\n"), "one.example"),
    (ON + host(MEMBER + "SSLProxyEngine off\n"), "one.example"),
    (host(MEMBER + ON + "SSLProxyEngine off\n"), "one.example"),
    (host(f"{MEMBER}<IfDefine NOT_THIS>\n{ON}</IfDefine>"), "one.example"),
    (host(f"{MEMBER}<IfModule !mod_ssl.c>\n{ON}</IfModule>"), "one.example"),
    (host(f"{MEMBER}# {ON}SSLEngine off\n"), "one.example"),
], ids=["in another host", "in another host, before", "in a host only", "off", "off in the host",
        "off in the host, on in the server", "on, then off", "IfDefine", "IfModule", "comment"])
def test_not_switched_on(mpm, conf, server):
    assert reported(mpm, conf) == [(WSS, server)]


# -- Balancers that may not mean what they say ----------------------------------------------------

A, B, C = (f"BalancerMember ws://localhost:300{number}" for number in range(3))
STANDBY = " status=+H"


def group(*lines, name="app"):
    return f"<Proxy balancer://{name}>\n" + "\n".join(lines) + "\n</Proxy>\n"


def numbers(mpm, conf):
    """The numbers of our lines that `httpd -t` says."""
    httpd = Httpd(mpm, "LogLevel wsbalance:notice\n" + conf)
    code, text = httpd.check_config()
    httpd.remove()
    assert code == 0, text
    return re.findall(r"\[wsbalance:\w+\] .*?(WSB\d+)", text)


@pytest.mark.parametrize("conf,count", [
    (group(A + STANDBY, B, C), 1),
    (group(A + STANDBY, B) + group(A + STANDBY, B, name="other"), 2),
    (host(group(A + STANDBY, B)), 1),
    (group(A + STANDBY, B) + host("BalancerInherit On") + host("", "two.example"), 1),
    (group(A, B + STANDBY), 0),
    (group(A + STANDBY, B + STANDBY, C), 0),
    (group(A + STANDBY), 0),
    (group(A + " status=+R", B), 0),
    (group(A, B + " lbset=1"), 0),
], ids=["first", "two balancers", "in a host", "inherited", "last", "two of them", "alone", "spare",
        "lbset"])
def test_a_first_member_that_is_a_standby(mpm, conf, count):
    """S1-35: who names it first may take it for the preferred one; who names it last does not."""
    assert numbers(mpm, conf) == ["WSB0019"] * count


@pytest.mark.parametrize("route,count", [
    ("ProxyPass /ws/ balancer://app", 1),
    ("ProxyPass / balancer://app", 1),
    ("ProxyPass /ws/ BALANCER://app timeout=10", 1),
    ("ProxyPass /a/ balancer://app\nProxyPass /b/ balancer://app", 2),
    ("<Location /ws/>\nProxyPass balancer://app\n</Location>", 1),
    (host("ProxyPass /ws/ balancer://app"), 1),
    (host("<Location /ws/>\nProxyPass balancer://app\n</Location>"), 1),
    ("ProxyPass /ws/ balancer://app\n" + host("") + host("", "two.example"), 1),
    ("<Location /ws/>\nProxyPass balancer://app\n</Location>\n" + host(""), 1),
    ("ProxyPass /ws/ balancer://app\n" + host("ProxyPass /x/ ws://localhost:3000"), 1),
    ("ProxyPass /ws/ balancer://app/", 0),
    ("ProxyPass /ws/ balancer://app/chat", 0),
    ("ProxyPass /ws balancer://app", 0),
    ("ProxyPass /ws/ ws://localhost:3000", 0),
    ("ProxyPass /ws/ !", 0),
    ("ProxyPassMatch ^/ws/ balancer://app", 0),
    ("ProxyPassMatch ^(/ws/.*)$ balancer://app$1", 0),
    ("RewriteEngine On\nRewriteRule ^/ws/(.*) balancer://app/$1 [P]", 0),
])
def test_a_route_without_its_slash(mpm, route, count):
    """S2-40: told once for each route."""
    assert numbers(mpm, group(A) + route) == ["WSB0018"] * count


# -- Not only httpd -t ----------------------------------------------------------------------------

@pytest.mark.parametrize("modules", [WITH_TLS, WITHOUT_TLS], ids=["mod_ssl", "no mod_ssl"])
def test_the_same_line_at_the_start(start_once, echo_member, modules):
    """httpd starts all the same; the route gets mod_proxy's 500, and what else it serves is well.
    """
    url = f"wss://127.0.0.1:{echo_member.port}/"
    session_cache = SESSION_CACHE if "ssl" in modules else ""
    server = start_once(f"{session_cache}\nProxyPass /ws/ {url}", modules=modules)
    server.expect_log(rf"\[wsbalance:warn\] .*WSB0015: member {url} ", "AH00961")
    server.allow_log("AH01961", "AH01962")
    # Once at the start itself, and once where httpd has not opened its log yet.
    log = (server.directory / "error.log").read_text()
    assert log.count("WSB0015") == 1
    for path, status in [("/ws/x", 500), ("/alive.txt", 200), ("/ws/x", 500)]:
        with connect(server.port) as client:
            client.send(upgrade_request(path))
            assert read_response(client).status == status
