"""lbmethod=bytunnels and byp2c; and that mod_proxy's own methods choose members of ours."""

import contextlib
import os
import signal

import pytest

import filter_module
import httpd_config
from counters import check_busy, cluster, name_of, open_through
from http_message import answer, get_request, read_response, switching, upgrade_request
from httpd_env import Httpd
from methods import echo_members, group, tunnels_of, wait_for_tunnels
from ours import all_quiet
from ports import free_port
from raw_peer import RawMember, connect
from test_member_records import MANAGER, manager
from tunnels import carriers, open_many, open_pair
from waiting import wait_until

pytestmark = [pytest.mark.transports("plain"),
              pytest.mark.parametrize("mpm", ["event"], indirect=True)]

STOCK = ["lbmethod_bybusyness", "lbmethod_bytraffic", "lbmethod_heartbeat"]
CHILDREN = 3


@pytest.fixture(name="raw")
def raw_members():
    """Four members."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(RawMember()) for _ in range(4)]


class Tunnels:
    """Open ones, and which member each of them has."""

    def __init__(self, server, choices):
        self._server, self._choices = server, choices
        self.opened = []

    def open(self, count, **options):
        """One after the other; how many each of the members got."""
        chosen = []
        for _ in range(count):
            self.opened.append(open_through(self._server, "/lb/", self._choices, **options))
            chosen.append(self.opened[-1][2])
        return [chosen.count(member) for member in self._choices]

    def close(self, member=None, count=None):
        """Those of a member, as many as that; until nobody counts them any more."""
        wait_for_tunnels(self._server, len(self.opened))  # They are counted.
        found = [one for one in self.opened if member in (None, one[2])][:count]
        for one in found:
            one[0].close()
            one[1].close()
            self.opened.remove(one)
        wait_for_tunnels(self._server, len(self.opened))


# -- bytunnels ------------------------------------------------------------------------------------

def test_the_fewest_tunnels(start_once, raw):
    """Each handshake goes to the member with the fewest, whichever child carries them."""
    server = start_once(group(raw, "bytunnels"), workers=12, children=CHILDREN)
    tunnels = Tunnels(server, raw)
    assert tunnels.open(12) == [3, 3, 3, 3]
    tunnels.close(raw[1], 2)
    tunnels.close(raw[2], 3)
    assert tunnels.open(5) == [0, 2, 3, 0]
    assert sorted(tunnels.open(2)) == [0, 0, 1, 1]
    tunnels.close()
    all_quiet(server)


def test_a_balancer_of_the_main_server(start_once, raw):
    """S1-27: a virtual host that routes to it has its method; mod_proxy alone takes byrequests."""
    balancer, route = group(raw[:2], "bytunnels").split("ProxyPass ")
    server = start_once(f"{balancer}\n<VirtualHost *>\nProxyPass {route}\n</VirtualHost>")
    tunnels = Tunnels(server, raw[:2])
    assert tunnels.open(4) == [2, 2]
    tunnels.close(raw[0])
    assert tunnels.open(2) == [2, 0]
    tunnels.close()
    all_quiet(server)


def test_a_balancer_of_the_same_name(start_once, raw):
    """One that inherits nothing has nothing of the main server's, its method neither."""
    balancer, _ = group(raw[2:], "bytunnels").split("ProxyPass ")
    own, route = group(raw[:2], "byrequests").split("ProxyPass ")
    server = start_once(f"""{balancer}
<VirtualHost *>
BalancerInherit Off
ProxyPassInherit Off
{own.replace("lbmethod=byrequests ", "")}
ProxyPass {route}
</VirtualHost>""")
    tunnels = Tunnels(server, raw[:2])
    assert tunnels.open(4) == [2, 2]
    tunnels.close(raw[0])
    assert tunnels.open(2) == [1, 1]
    tunnels.close()
    all_quiet(server)


@pytest.mark.parametrize("method", ["bytunnels", "byp2c"])
def test_loadfactors(start_once, raw, method):
    """Tunnels are in proportion; of two members byp2c sees both, so it is exact there."""
    choices = raw[:3] if method == "bytunnels" else raw[:2]
    options = [f"loadfactor={number}" for number in (1, 2, 3)]
    server = start_once(group(choices, method, options=options), workers=12, children=CHILDREN)
    tunnels = Tunnels(server, choices)
    assert tunnels.open(12) == ([2, 4, 6] if method == "bytunnels" else [4, 8])
    tunnels.close()
    all_quiet(server)


def test_equals_have_their_turns(start_once, raw):
    """Also where no tunnel lives until the next one: by loadfactor, over all children."""
    choices = raw[:3]
    server = start_once(group(choices, "bytunnels", options=["", "loadfactor=2", "loadfactor=3"]),
                        workers=12, children=CHILDREN)
    tunnels, chosen = Tunnels(server, choices), []
    for _ in range(12):
        chosen.append(tunnels.open(1))
        tunnels.close()
    assert [sum(each) for each in zip(*chosen)] == [2, 4, 6]
    all_quiet(server)


def test_a_burst(start_once, raw):
    """What is on its way counts: handshakes that no member has answered yet, until they are
    answered, given up or refused."""
    server = start_once("WSBalanceMaxHandshakes 0\n" + group(raw, "bytunnels"), workers=24,
                        children=CHILDREN)
    asked = {member: [] for member in raw}

    def ask():
        client = connect(server.port)
        client.send(upgrade_request("/lb/"))
        (member,) = wait_until(lambda: [found for found in raw if found.is_called()],
                               what="a member to be asked")
        asked[member].append((client, member.accept()))
        return member

    assert sorted(raw.index(ask()) for _ in range(8)) == [0, 0, 1, 1, 2, 2, 3, 3]
    for client, _ in asked[raw[0]]:
        client.close()
    wait_until(lambda: server.handshakes() == 6, what="those to be given up")
    for client, connection in asked[raw[1]]:
        connection.send(answer(403, b"no"))
        assert read_response(client).status == 403
        client.close()
    wait_until(lambda: server.busy_workers() == 5, what="those to be over")
    for client, connection in asked[raw[2]]:
        connection.read_head()
        connection.send(switching())
        assert b" 101 " in client.read_head()
    asked[raw[0]], asked[raw[1]] = [], []
    assert sorted(raw.index(ask()) for _ in range(4)) == [0, 0, 1, 1]
    pairs = [pair for found in asked.values() for pair in found]
    for client, _ in pairs:
        client.close()
    wait_until(lambda: server.handshakes() == 0, what="the rest to be given up")
    for _, connection in pairs:
        connection.close()
    all_quiet(server)


def test_over_children_and_a_reload(start_once):
    """Hundreds at a time; a child can be wrong by the one that it chooses while others do."""
    with echo_members(4) as choices:
        conf = "WSBalanceMaxHandshakes 0\n" + group(choices, "bytunnels")
        server = start_once(conf, workers=24, children=CHILDREN)
        clients = open_many(server, "/lb/", 120)
        server.graceful()
        clients += open_many(server, "/lb/", 120)
        found = wait_for_tunnels(server, 240)
        assert all(abs(count - 60) <= CHILDREN for count in found), found
        for client in clients:
            client.close()
        all_quiet(server)


def test_after_a_child_was_killed(start_once, raw):
    """Its tunnels are no member's any more."""
    server = start_once(group(raw, "bytunnels"), workers=12, children=CHILDREN)
    server.log.allow_exit_signal(r"exit signal Killed \(9\)")
    tunnels = Tunnels(server, raw)
    tunnels.open(4)
    ports = {one[0].sock.getsockname()[1]: one for one in tunnels.opened}
    pid, lost = next(iter(carriers(server, set(ports)).items()))
    os.kill(pid, signal.SIGKILL)
    for port in lost:
        tunnels.opened.remove(ports[port])
        for connection in ports[port][:2]:
            connection.close()
    wait_until(lambda: sum(tunnels_of(server).values()) == 4 - len(lost), what="its row to go")
    wait_until(lambda: pid not in server.children(), what="its end")
    left = [sum(one[2] is member for one in tunnels.opened) for member in raw]
    assert tunnels.open(4 + len(lost)) == [2 - count for count in left]
    tunnels.close()
    all_quiet(server)


def test_plain_requests_and_tunnels_are_apart(start_once, raw):
    """A member that has fewer tunnels does not get all plain requests, nor the other way round."""
    choices = raw[:2]
    server = start_once(group(choices, "bytunnels", scheme="http"), workers=12, children=CHILDREN)
    tunnels = Tunnels(server, choices)
    tunnels.open(4)
    tunnels.close(raw[0])
    waiting = {member: [] for member in choices}

    def ask():
        client = connect(server.port)
        client.send(get_request("/lb/", add=[("Connection", "close")]))
        (member,) = wait_until(lambda: [found for found in choices if found.is_called()],
                               what="a member to be asked")
        connection = member.accept()
        connection.read_head()
        waiting[member].append((client, connection))

    for _ in range(4):
        ask()
    assert [len(waiting[member]) for member in choices] == [2, 2]
    for client, connection in waiting[raw[1]]:
        connection.send(answer(200, b"ok"))
        assert read_response(client).status == 200
        connection.close()
        client.close()
    waiting[raw[1]] = []
    wait_until(lambda: server.busy_workers() == 3, what="those to be over")
    for _ in range(2):
        ask()
    assert [len(waiting[member]) for member in choices] == [2, 2]
    assert tunnels.open(2) == [2, 0]
    for client, connection in waiting[raw[0]] + waiting[raw[1]]:
        connection.send(answer(200, b"ok"))
        assert read_response(client).status == 200
        connection.close()
        client.close()
    tunnels.close()
    all_quiet(server)


def test_standby_spare_set_and_drain(start_once, raw):
    """Who may be chosen is mod_proxy's matter, as ever."""
    options = ["lbset=0", "status=+N", "status=+R", "lbset=1"]
    server = start_once(group(raw, "bytunnels", options=options), workers=12, children=CHILDREN)
    tunnels = Tunnels(server, raw)
    # One is drained, so the spare takes its place beside the first.
    assert tunnels.open(4) == [2, 0, 2, 0]
    tunnels.close()
    server.graceful(group(raw, "bytunnels", options=["status=+D", "status=+H", "status=+D", ""]))
    assert tunnels.open(2) == [0, 0, 0, 2]
    server.graceful(group(raw, "bytunnels", options=["status=+D", "status=+H", "status=+D",
                                                     "status=+D"]))
    assert tunnels.open(2) == [0, 2, 0, 0]
    tunnels.close()
    all_quiet(server)


def test_sticky_requests_take_no_turns(start_once, raw):
    """They count as tunnels while they are open, and afterwards not at all."""
    choices = raw[:2]
    server = start_once(group(choices, "bytunnels", "ProxySet stickysession=ROUTE",
                              options=["route=a", "route=b"]), workers=12, children=CHILDREN)
    tunnels = Tunnels(server, choices)
    assert tunnels.open(6, add=[("Cookie", "ROUTE=x.a")]) == [6, 0]
    assert tunnels.open(4) == [0, 4]
    tunnels.close()
    chosen = []
    for _ in range(4):
        chosen.append(tunnels.open(1))
        tunnels.close()
    assert [sum(each) for each in zip(*chosen)] == [2, 2]
    all_quiet(server)


def test_a_tunnel_that_holds_a_thread_counts_once(start_once, raw):
    """Its request lasts as long as it does."""
    choices, ports = raw[:2], [free_port(), free_port()]
    host = f"<VirtualHost 127.0.0.1:{ports[1]}>\nTestFilter client 0\n</VirtualHost>\n"
    server = start_once(filter_module.load_line() + "\n" + group(choices, "bytunnels") + host,
                        listen=ports, workers=12)
    tunnels = Tunnels(server, choices)
    assert tunnels.open(4, port=ports[1]) == [2, 2]
    tunnels.close(raw[1])
    assert tunnels.open(4) == [1, 3]
    tunnels.close()
    all_quiet(server)


# -- byp2c ----------------------------------------------------------------------------------------

def test_two_choices(start_once, raw):
    """Never the fullest of all; by chance otherwise."""
    server = start_once(group(raw, "byp2c"), workers=12, children=CHILDREN)
    tunnels = Tunnels(server, raw)
    for _ in range(40):
        counts = [sum(one[2] is member for one in tunnels.opened) for member in raw]
        chosen = tunnels.open(1).index(1)
        fullest = [count for count in counts if count == max(counts)]
        assert counts[chosen] < max(counts) or len(fullest) > 1, counts
    assert min(sum(one[2] is member for one in tunnels.opened) for member in raw) > 0
    tunnels.close()
    all_quiet(server)


# -- mod_proxy's own, and balancer-manager --------------------------------------------------------

@pytest.mark.parametrize("method", ["byrequests", "bybusyness", "bytraffic", "heartbeat"])
def test_stock_methods(start_once, raw, tmp_path, method):
    """ws members by each of them. heartbeat knows members by their addresses."""
    beats = tmp_path / "beats"
    beats.write_text("127.0.0.1 &busy=1&ready=10&lastseen=1&port=80\n")
    os.chmod(tmp_path, 0o755)
    for parent in tmp_path.parents[:2]:
        os.chmod(parent, 0o755)
    conf = cluster(raw[0], raw[1], method=method)
    if method == "heartbeat":
        conf = f"HeartbeatStorage {beats}\n" + conf.replace(name_of(raw[1]),
                                                            "ws://127.0.0.2:1/")
    server = start_once(conf, modules=httpd_config.default_modules(add=STOCK))
    tunnels = Tunnels(server, raw[:2])
    counts = []
    for open_now in range(1, 5):
        counts.append(tunnels.open(1))
        wait_until(lambda count=open_now: server.tunnels() == count, what="it to be counted")
    assert [sum(each) for each in zip(*counts)] == ([4, 0] if method == "heartbeat" else [2, 2])
    if method != "heartbeat":
        check_busy(server, name_of(raw[0]), 2)
    tunnels.close()
    all_quiet(server)


def test_balancer_manager(start_once, raw):
    """It knows the methods and changes to one of them."""
    server = start_once(MANAGER + group(raw, "byrequests"))
    page = manager(server, "b=cluster&nonce=known")
    assert all(f"value='{name}'" in page for name in ("bytunnels", "byp2c", "byhash")), page
    manager(server, "b=cluster&nonce=known&b_lbm=bytunnels")
    assert "<httpd:lbmethod>bytunnels</httpd:lbmethod>" in manager(server)
    tunnels = Tunnels(server, raw)
    assert tunnels.open(8) == [2, 2, 2, 2]
    tunnels.close(raw[3])
    assert tunnels.open(2) == [0, 0, 0, 2]
    tunnels.close()
    all_quiet(server)


def test_without_mod_proxy_balancer(start_once, raw):
    """Nobody needs the methods there."""
    modules = httpd_config.default_modules(without=["proxy_balancer", "lbmethod_byrequests"])
    server = start_once(f"ProxyPass /raw/ {name_of(raw[0])}/\n", modules=modules)
    open_pair(server, raw[0]).close()
    all_quiet(server)


def test_check_of_the_configuration(mpm, raw):
    """`httpd -t` knows the names."""
    for method in ("bytunnels", "byp2c", "byhash"):
        httpd = Httpd(mpm, group(raw, method))
        code, text = httpd.check_config()
        httpd.remove()
        assert code == 0, text


def test_all_members_gone(start_once, raw):
    """No member: 503, as with any method."""
    server = start_once(group(raw[:1], "bytunnels", options=["status=+D"]))
    server.expect_log("AH01170")
    with connect(server.port) as client:
        client.send(upgrade_request("/lb/"))
        assert read_response(client).status == 503
    all_quiet(server)
