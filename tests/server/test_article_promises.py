"""What three widely read guides promise of httpd's own directives and of its logs, beside tunnels
(rows S0-*, S1-*, S2-*)."""

import re
import subprocess

import pytest

import httpd_config
from carrying import ROOM
from http_message import answer, get_request, read_response, upgrade_request
from ours import check_echo
from ports import refusing_port
from raw_peer import connect
from test_unreachable import full_listener
from waiting import wait_until
from ws_peer import connected

pytestmark = [pytest.mark.transports("plain"),
              pytest.mark.parametrize("mpm", ["event"], indirect=True)]


def get(server, path, **options):
    with connect(server.port, server.transport) as client:
        client.send(get_request(path, **options))
        return read_response(client)


def handshake(server, path):
    """The answer to a handshake as a browser sends it."""
    with connect(server.port, server.transport) as client:
        client.send(upgrade_request(path, add=[("Cache-Control", "no-cache"),
                                               ("Pragma", "no-cache")]))
        return read_response(client)


# -- Caching --------------------------------------------------------------------------------------

@pytest.fixture(params=["on", "off"])
def caching(request, start_once, echo_member, member):
    """Everything is cached that may be, before or after httpd has looked at the request."""
    return start_once(f"""
CacheQuickHandler {request.param}
CacheSocache shmcb:cache(512000)
CacheEnable socache /
CacheHeader on
CacheDefaultExpire 3600
CacheIgnoreNoLastMod on
CacheIgnoreCacheControl on
ProxyPass /http/ http://127.0.0.1:{echo_member.port}/
ProxyPass /raw/ http://127.0.0.1:{member.port}/
""", modules=httpd_config.default_modules(add=["socache_shmcb", "cache", "cache_socache"]))


def cached(server, path):
    return get(server, path).head.get("X-Cache").split()[0]


def test_a_handshake_is_not_answered_by_a_cache(caching):
    """S0-03: the page of a URL is cached, a handshake for the same URL goes to the member."""
    assert cached(caching, "/http/both") == "MISS" and cached(caching, "/http/both") == "HIT"
    for _ in range(3):
        check_echo(caching, "/http/both", "/both")
    assert handshake(caching, "/http/both").status == 101
    assert cached(caching, "/http/both") == "HIT"


def test_a_handshake_is_not_stored(caching, member):
    """S0-03: neither its 101 nor another answer that it gets."""
    check_echo(caching, "/http/first", "/first")
    assert cached(caching, "/http/first") == "MISS" and cached(caching, "/http/first") == "HIT"
    page = answer(200, b"no WebSocket here", add=[("Cache-Control", "public, max-age=600")])
    for request in (upgrade_request("/raw/page"), get_request("/raw/page")):
        with connect(caching.port, caching.transport) as client:
            client.send(request)
            asked = member.accept(client=client)
            asked.read_head()
            asked.send(page)
            assert read_response(client).status == 200
            asked.close()


# -- Firewalls ------------------------------------------------------------------------------------

def test_no_port_of_its_own(start_once, echo_member):
    """S1-07, S1-48, S1-58, S2-14: nothing to open but the ports of Listen, whatever is switched on
    and whichever process carries the tunnel."""
    server = start_once(f"""
<Proxy balancer://app>
  BalancerMember ws://127.0.0.1:{echo_member.port}
  WSBalanceHealthCheck interval=200ms
  WSBalanceSticky cookie=ROUTE
</Proxy>
ProxyPass /ws/ balancer://app/
WSBalanceLog tunnels.json
{ROOM}""")
    with connected(server, "/ws/x"):
        server.graceful()
        wait_until(server.carriers, what="a carrier")
        shown = subprocess.run(["ss", "-tulnpHO"], check=True, capture_output=True,
                               text=True).stdout
        pids = server.pids()
        ours = [line for line in shown.splitlines() if any(f"pid={pid}," in line for pid in pids)]
        ports = {int(re.search(r":(\d+)\s", line)[1]) for line in ours}
        assert ports == {server.port, server.status_port}


# -- Why a member cannot be reached ---------------------------------------------------------------

HINT = r"setsebool -P httpd_can_network_connect on"


@pytest.fixture
def unreachable(start_once, calls, public_dir):
    """Routes to members that nobody can connect to, each for a reason of its own."""
    hidden = public_dir / "hidden"
    hidden.mkdir(exist_ok=True)
    hidden.chmod(0)

    def routes(name, member):
        return f"""
ProxyPass /{name}/ {member}/ retry=0
<Proxy balancer://{name}>
  BalancerMember {member} retry=0
</Proxy>
ProxyPass /balanced-{name}/ balancer://{name}/
"""
    with full_listener() as full:
        yield start_once(f"""
WSBalanceHandshakeTimeout 500ms
{routes("tcp", f"ws://127.0.0.1:{refusing_port()}")}
{routes("full", f"ws://127.0.0.1:{full}")}
{routes("unknown", "ws://no-such-host.invalid:3000")}
{routes("unix", f"unix:{hidden}/app.sock|ws://localhost")}
""", **calls.options())
    hidden.chmod(0o700)


@pytest.mark.parametrize("call", ["connect_eacces", "connect_eperm"])
def test_no_permission_to_connect(unreachable, calls, call):
    """S2-46: what SELinux, a firewall or seccomp forbids is one line of ours that says what to do."""
    calls.fail_all(call)
    unreachable.allow_log("AH00957", "AH00959", "AH01114")
    for path in ("/tcp/x", "/balanced-tcp/x"):
        assert handshake(unreachable, path).status == 503
    calls.heal(call)
    unreachable.expect_log(rf"\] WSB0130: member ws://127\S+ unreachable: .*`{HINT}`",
                           rf"WSB0522: .* unreachable: WSB0130: no permission.*`{HINT}`",
                           level="error")
    wait_until(lambda: len(unreachable.log.matching(HINT)) == 2, what="one line for each")


def test_no_permission_for_a_health_check(start_once, calls, echo_member):
    """S2-46: where members are checked it is the check that finds out, before a client does."""
    calls.fail_all("connect_eacces")
    server = start_once(f"""
<Proxy balancer://app>
  BalancerMember ws://127.0.0.1:{echo_member.port}
  WSBalanceHealthCheck interval=100ms fall=1 rise=1
</Proxy>
ProxyPass /ws/ balancer://app/
""", **calls.options())
    wait_until(lambda: server.log.matching(rf"WSB0531: .*no permission to connect.*`{HINT}`"))
    calls.heal("connect_eacces")
    wait_until(lambda: server.log.matching("WSB0532"), what="the member to be back")
    server.allow_log("WSB0531")
    check_echo(server, "/ws/x", "/x")


def test_no_permission_for_a_socket_file(unreachable):
    """S2-46: no boolean of SELinux is the matter there."""
    unreachable.allow_log("AH02454", "AH00959", "AH01114")
    for path in ("/unix/x", "/balanced-unix/x"):
        assert handshake(unreachable, path).status == 503
    unreachable.expect_log(r"\] WSB0130: member \S+ unreachable: no permission .*write permission",
                           r"WSB0522: .* unreachable: WSB0130: .*write permission", level="error")
    assert not unreachable.log.matching(HINT)


@pytest.mark.parametrize("name, why, mod_proxy", [
    ("tcp", "unreachable: connection refused", r"AH00957: .*\(111\)|\(111\).*AH00957"),
    ("full", "unreachable: no connection in time", r"AH00957"),
    ("unknown", "name not found", r"no-such-host\.invalid")],
    ids=["refused", "too late", "no such name"])
def test_why_a_member_is_unreachable(unreachable, name, why, mod_proxy):
    """S1-50, S1-57, S2-30, S2-31, S2-32: each reason has its own words: ours for the members of a
    balancer, mod_proxy's for others."""
    unreachable.allow_log(r"AH\d+")
    assert handshake(unreachable, f"/balanced-{name}/x").status == 503
    unreachable.expect_log(rf"WSB0522: handshake failed: \S+ {why} \(", level="error")
    assert handshake(unreachable, f"/{name}/x").status == 503
    unreachable.expect_log(mod_proxy, level="error")
    assert not unreachable.log.matching(HINT)
