"""Modules in any order, modules that are absent, and directives that are wrong."""

import itertools
import re

import pytest

import httpd_config
from httpd_env import Httpd, StartError
from http_message import get_request, read_response, upgrade_request
from ours import all_quiet, check_ours
from raw_peer import connect
from ws_peer import connected

pytestmark = pytest.mark.parametrize("mpm", ["event"], indirect=True)

BASE = ("authn_core", "authz_core", "authz_host", "status", "headers", "rewrite",
        "lbmethod_byrequests")
NEIGHBOURS = ("wsbalance", "proxy_wstunnel", "proxy_http", "slotmem_shm proxy_balancer")
ORDERS = list(itertools.permutations(NEIGHBOURS))


GROUP = """
<Proxy balancer://app>
  BalancerMember ws://127.0.0.1:3000
</Proxy>
ProxyPass /ws/ balancer://app/
"""


def split(names):
    return tuple(" ".join(names).split())


def routes(transport, member):
    ws, http = (transport.member_url(scheme, member.port) for scheme in ("ws", "http"))
    return f"""
ProxyPass /ws/ {ws}
<IfModule mod_proxy_http.c>
  ProxyPass /http/ {http}
</IfModule>
<IfModule mod_proxy_balancer.c>
  <Proxy balancer://members>
    BalancerMember {ws.rstrip("/")}
  </Proxy>
  ProxyPass /balanced/ balancer://members/
</IfModule>
"""


def check_tunnel(server, path, looks_inside=True):
    with connected(server, path) as client:
        assert client.ask("path") == "/x"
        if looks_inside:
            check_ours(server)
    if looks_inside:
        all_quiet(server)


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: ">".join(split(order)))
def test_every_order_behind_mod_proxy(start_once, transport, echo_member, order):
    """S2-13: the order of the LoadModule lines behind mod_proxy's does not matter."""
    server = start_once(routes(transport, echo_member), modules=BASE + ("proxy",) + split(order))
    for path in ("/ws/x", "/http/x", "/balanced/x"):
        check_tunnel(server, path)
    with connect(server.port, server.transport) as client:
        client.send(get_request("/http/x"))
        assert read_response(client).status == 200


@pytest.mark.parametrize("order", [
    ("wsbalance", "socache_shmcb", "ssl", "http2"), ("http2", "ssl", "socache_shmcb", "wsbalance"),
    ("ssl", "wsbalance", "http2", "socache_shmcb")], ids=">".join)
def test_order_against_ssl_and_http2(start_once, transport, echo_member, order):
    modules = BASE + ("proxy", "proxy_http") + order
    server = start_once(routes(transport, echo_member), modules=modules)
    server.allow_log("AH01873")  # No session cache.
    check_tunnel(server, "/ws/x")
    check_tunnel(server, "/http/x")


def our_lines(text):
    """The lines of httpd's output that are about the failed start, without httpd's own frame."""
    return [line for line in text.splitlines()
            if line.strip() and not re.search(r"AH00013|AH00016|Syntax OK", line)]


@pytest.mark.parametrize("order", [
    ("wsbalance", "proxy", "proxy_http"), ("wsbalance", "proxy"),
    ("proxy_http", "wsbalance", "proxy")], ids=">".join)
def test_before_mod_proxy(mpm, transport, echo_member, order):
    """Loaded before mod_proxy: it works, or the start stops with one line that names the order."""
    server = Httpd(mpm, routes(transport, echo_member), modules=BASE + order, transport=transport)
    try:
        code, text = server.check_config()
        if "proxy_http" in order and order.index("proxy_http") < order.index("proxy"):
            assert code != 0  # Stock's own mod_proxy_http fails then.
            return
        if code == 0:
            server.start()
            check_tunnel(server, "/ws/x")
            return
        lines = our_lines(text)
        assert len(lines) == 1, text
        assert "undefined symbol" not in text
        assert re.search(r"mod_proxy|proxy_module", text), text
        assert re.search(r"before|after|behind|first", text), text
    finally:
        server.stop()
        server.remove()


def test_without_mod_proxy(mpm):
    """S0-31: one clear line, at the start and not at the first request."""
    server = Httpd(mpm, modules=BASE + ("wsbalance",))
    code, text = server.check_config()
    server.remove()
    assert code != 0
    assert len(our_lines(text)) == 1, text
    assert "mod_proxy" in text and "undefined symbol" not in text


@pytest.mark.parametrize("absent", [
    "ssl", "proxy_balancer", "slotmem_shm", "proxy_balancer slotmem_shm", "status", "headers",
    "proxy_http", "proxy_wstunnel", "proxy_http proxy_wstunnel", "rewrite", "reqtimeout",
    "remoteip", "setenvif", "auth_basic authn_file authz_user", "alias", "env"])
def test_absent_modules(start_once, transport, echo_member, absent):
    """S0-18, S1-03: a tunnel without each of the modules that we might look for. (mod_watchdog is
    built into Debian's httpd and cannot be absent.)"""
    names = absent.split()
    if names == ["slotmem_shm"]:
        names.append("lbmethod_byrequests")
        modules = httpd_config.default_modules(without=names + ["proxy_balancer"])
    else:
        modules = httpd_config.default_modules(without=names, add=())
    if "proxy_balancer" in names:
        modules = tuple(name for name in modules if not name.startswith("lbmethod"))
    server = start_once(routes(transport, echo_member), modules=modules)
    looks_inside = "status" not in names
    check_tunnel(server, "/ws/x", looks_inside)
    if "proxy_http" not in names:
        check_tunnel(server, "/http/x", looks_inside)


@pytest.mark.transports("plain")
@pytest.mark.parametrize("absent,says", [("slotmem_shm", "AH01177: .*mod_slotmem_shm"),
                                         ("lbmethod_byrequests", "AH02432: Cannot find LB Method: byrequests")])
def test_what_a_balancer_needs(mpm, absent, says):
    """S1-29: httpd does not start and names what is missing, with ws members too."""
    httpd = Httpd(mpm, GROUP, modules=httpd_config.default_modules(without=[absent]))
    with pytest.raises(StartError) as error:
        httpd.start()
    httpd.remove()
    assert re.search(says, str(error.value)) and "WSB0003" not in str(error.value), error.value


@pytest.mark.transports("plain")
def test_a_balancer_without_its_module(start_once):
    """S1-29: mod_proxy would say nothing before the first request."""
    server = start_once(GROUP, modules=httpd_config.default_modules(
        without=["proxy_balancer", "slotmem_shm", "lbmethod_byrequests"]))
    server.expect_log("WSB0020: balancer://app .*mod_slotmem_shm", "AH01144")
    with connect(server.port) as client:
        client.send(upgrade_request("/ws/"))
        assert read_response(client).status == 500


@pytest.mark.transports("plain")  # Over another one mod_ssl is in use.
def test_with_mod_ssl_too(start_once, transport, echo_member):
    """The other way round: with mod_ssl, and nothing of it in use."""
    modules = httpd_config.default_modules(add=("socache_shmcb", "ssl"))
    server = start_once(routes(transport, echo_member), modules=modules)
    server.allow_log("AH01873")
    check_tunnel(server, "/ws/x")


def test_the_bare_minimum(start_once, transport, echo_member):
    """S0-05: mod_proxy and this module alone (and mod_ssl, where there is TLS)."""
    modules = ("authz_core", "proxy", "wsbalance")
    server = start_once(routes(transport, echo_member), modules=modules)
    check_tunnel(server, "/ws/x", looks_inside=False)


def test_ifmodule(mpm):
    """`<IfModule mod_wsbalance.c>` and `<IfModule wsbalance_module>` are true."""
    server = Httpd(mpm, """
<IfModule !mod_wsbalance.c>
  Error "mod_wsbalance.c"
</IfModule>
<IfModule !wsbalance_module>
  Error "wsbalance_module"
</IfModule>
""")
    code, text = server.check_config()
    server.remove()
    assert code == 0, text


BAD_VALUES = [
    "WSBalance maybe", "WSBalance",
    "WSBalanceThreads 0", "WSBalanceThreads -1", "WSBalanceThreads two", "WSBalanceThreads 1.5",
    "WSBalanceThreads 99999999999", "WSBalanceThreads",
    "WSBalanceBuffer 0", "WSBalanceBuffer -1", "WSBalanceBuffer big", "WSBalanceBuffer 1x",
    "WSBalanceBuffer 99999999999999999999", "WSBalanceBuffer 1k 2k",
    "WSBalanceBufferTotal 0", "WSBalanceBufferTotal much", "WSBalanceBufferTotal -5m",
    "WSBalanceBufferTotal 99999999999999999999g",
    "WSBalanceHandshakeTimeout 0", "WSBalanceHandshakeTimeout -1",
    "WSBalanceHandshakeTimeout soon", "WSBalanceHandshakeTimeout 5parsecs",
    "WSBalanceMaxHandshakes -3", "WSBalanceMaxHandshakes many",
    "WSBalanceMaxHandshakes 99999999999",
]


@pytest.mark.parametrize("line", BAD_VALUES)
def test_a_bad_value_is_one_clear_error(mpm, line):
    """The error names the directive, and it is one."""
    server = Httpd(mpm, line)
    code, text = server.check_config()
    server.remove()
    assert code != 0, f"{line} is accepted"
    lines = [found for found in our_lines(text) if "Syntax error on line" not in found]
    assert len(lines) == 1 and line.split()[0] in lines[0], text


@pytest.mark.parametrize("line", ["WSBalanceThreads 2", "WSBalanceBufferTotal 1m",
                                  "WSBalanceMaxHandshakes 5"])
@pytest.mark.parametrize("section", ["<VirtualHost *:8>", "<Location /x>"])
def test_server_wide_directives_stand_in_the_server_config_only(mpm, line, section):
    server = Httpd(mpm, f"{section}\n{line}\n</{section[1:].split()[0]}>")
    code, text = server.check_config()
    server.remove()
    assert code != 0, f"{line} is accepted in {section}"
    assert line.split()[0] in text


GOOD = """
WSBalance on
WSBalanceThreads 2
WSBalanceBuffer 64k
WSBalanceBufferTotal 1g
WSBalanceHandshakeTimeout 500ms
WSBalanceMaxHandshakes 7
<VirtualHost *:8>
  WSBalance off
  WSBalanceBuffer 131072
  WSBalanceHandshakeTimeout 5
  <Location /x>
    WSBalance on
    WSBalanceBuffer 1m
    WSBalanceHandshakeTimeout 1min
  </Location>
  <Location /y>
    WSBalanceBuffer 64K
    WSBalanceHandshakeTimeout 5s
  </Location>
</VirtualHost>
"""


def test_good_values_load_and_work(start_once, transport, echo_member):
    """S0-04: each directive in each place where it may stand, in each unit; no warning."""
    server = start_once(routes(transport, echo_member) + GOOD)
    check_tunnel(server, "/ws/x")
