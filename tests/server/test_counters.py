"""Counters that stay true: figures of each member, over reloads, restarts and crashes."""

import contextlib
import os
import signal

import pytest

from counters import (BALANCER, HEALED_SECONDS, check_adds_up, check_busy, check_figures,
                      close_pairs, cluster, member_figures, members, name_of, route)
from frames import TEXT, client_frame, frame, read_frame
from http_message import answer, read_response, switching, upgrade_request
from httpd_env import Httpd
from ours import all_quiet
from ports import free_port
from raw_peer import RawMember, connect
from tunnels import carriers, open_many, open_pair
from waiting import SLOWNESS, wait_until

pytestmark = pytest.mark.transports("plain")
event_only = pytest.mark.parametrize("mpm", ["event"], indirect=True)
threaded = pytest.mark.parametrize("mpm", ["event", "worker"], indirect=True)


@pytest.fixture(name="other")
def other_member():
    with RawMember() as found:
        yield found


# -- Figures of a member --------------------------------------------------------------------------

def test_figures_of_each_member(start_once, member, other):
    """Tunnels open and ended, bytes and messages, each at its own member."""
    server = start_once(route("/a/", member) + cluster(other))
    pairs = [open_pair(server, member, "/a/") for _ in range(3)]
    balanced = open_pair(server, other, "/lb/")
    check_figures(server, name_of(member, "/"), Tunnels=3, Opened=3, Configured=1)
    check_figures(server, name_of(other), BALANCER, Tunnels=1, Opened=1)

    pairs[0].client.send(client_frame(TEXT, b"question"))
    assert read_frame(pairs[0].member) == (TEXT, b"question", True)
    for text in (b"an", b"answer"):
        pairs[0].member.send(frame(TEXT, text))
        assert read_frame(pairs[0].client) == (TEXT, text, True)
    close_pairs(pairs[:2])
    # With the head and mask of each frame, and of the close frames.
    check_figures(server, name_of(member, "/"), **{
        "Tunnels": 1, "Opened": 3, "Ended[client-close]": 2, "Lost": 0, "HandshakesFailed": 0,
        "BytesToMember": 14 + 2 * 8, "MessagesToMember": 1,
        "BytesToClient": 4 + 8, "MessagesToClient": 2})
    check_figures(server, name_of(other), BALANCER, Tunnels=1, BytesToMember=0)
    check_adds_up(server)
    close_pairs([pairs[2], balanced])
    all_quiet(server)


def test_handshakes_that_fail_count_against_their_member(start_once, member):
    """Refused, answered wrongly, too late, not reachable; not those that the client gives up or
    that we refuse."""
    gone = free_port()
    server = start_once(f"{route('/a/', member)}WSBalanceHandshakeTimeout 300ms\n"
                        f"ProxyPass /gone/ ws://127.0.0.1:{gone}/ retry=0\n")
    server.expect_log("WSB0145", "WSB0222", "AH00957")
    server.allow_log("AH00959", "AH01114")
    name = name_of(member, "/")

    def ask(path, answer_bytes=None):
        with connect(server.port) as client:
            client.send(upgrade_request(path))
            if path == "/a/":
                connection = member.accept()
                connection.read_head()
                if answer_bytes:
                    connection.send(answer_bytes)
            status = read_response(client).status
            if path == "/a/":
                connection.close()
            return status

    assert ask("/a/", answer(403, b"no")) == 403
    check_figures(server, name, HandshakesFailed=1)
    wrong = switching(key="AAAAAAAAAAAAAAAAAAAAAA==")
    assert ask("/a/", wrong) == 502
    check_figures(server, name, HandshakesFailed=2)
    assert ask("/a/") == 504
    check_figures(server, name, HandshakesFailed=3, Opened=0)
    assert ask("/gone/") == 503
    check_figures(server, f"ws://127.0.0.1:{gone}/", HandshakesFailed=1)

    with connect(server.port) as client:
        client.send(upgrade_request("/a/", key="short"))
        assert read_response(client).status == 400
    pair = open_pair(server, member, "/a/")
    check_figures(server, name, HandshakesFailed=3, Opened=1)
    pair.close()
    all_quiet(server)


@event_only
def test_members_of_two_hosts(start_once, member, other, public_dir):
    """A balancer of the main server is the same in a virtual host that inherits it; a balancer of
    the same name in another host is another one, and so is a plain worker. unix: members are told
    apart by their sockets."""
    ports = [free_port(), free_port()]
    unix = [RawMember(path=public_dir / f"{number}.sock") for number in range(2)]
    hosts = f"""
<VirtualHost 127.0.0.1:{ports[0]}>
  ServerName inherits.example
  ProxyPass /in-host/ {BALANCER}/
  ProxyPass /plain/ {name_of(other)}/
  ProxyPass /one/ unix:{public_dir}/0.sock|ws://one/
  ProxyPass /two/ unix:{public_dir}/1.sock|ws://two/
</VirtualHost>
<VirtualHost 127.0.0.1:{ports[1]}>
  ServerName own.example
  BalancerInherit Off
  ProxyPassInherit Off
  <Proxy {BALANCER}>
    BalancerMember {name_of(member)}
  </Proxy>
  ProxyPass /own/ {BALANCER}/
  ProxyPass /plain/ {name_of(other)}/
</VirtualHost>
"""
    main = free_port()
    server = start_once(cluster(member) + hosts, listen=[main, *ports])
    with contextlib.ExitStack() as stack:
        for path, port, to in [("/lb/", main, member), ("/in-host/", ports[0], member),
                               ("/own/", ports[1], member), ("/plain/", ports[0], other),
                               ("/plain/", ports[1], other), ("/one/", ports[0], unix[0]),
                               ("/two/", ports[0], unix[1])]:
            stack.callback(open_pair(server, to, path, port=port).close)
        expected = {
            ("localhost", BALANCER, name_of(member)): "2",
            (f"own.example:{ports[1]}", BALANCER, name_of(member)): "1",
            (f"inherits.example:{ports[0]}", "-", name_of(other, "/")): "1",
            (f"own.example:{ports[1]}", "-", name_of(other, "/")): "1",
            (f"inherits.example:{ports[0]}", "-", f"unix:{public_dir}/0.sock|ws://one/"): "1",
            (f"inherits.example:{ports[0]}", "-", f"unix:{public_dir}/1.sock|ws://two/"): "1"}

        def found():
            return {(figures["Server"], figures["Balancer"], figures["Name"]): figures["Tunnels"]
                    for figures in members(server).values() if figures["Tunnels"] != "0"}

        wait_until(lambda: found() == expected, what="each tunnel at its member")
    for each in unix:
        each.stop()
    all_quiet(server)


@event_only
def test_the_page_for_people(start_once, member):
    """The same in a table, with names escaped."""
    server = start_once(f"ProxyPass /a/ {name_of(member)}/x&y/\n")
    open_pair(server, member, "/a/").close()

    def page():
        status, text = server._get("/server-status")  # pylint: disable=protected-access
        assert status == 200
        return text

    row = f"<tr><td>{name_of(member)}/x&amp;y/</td>"
    wait_until(lambda: row in page(), what=f"{row} in the page")
    all_quiet(server)


# -- Reloads and restarts -------------------------------------------------------------------------

def test_figures_live_over_graceful_restarts(start_once, member, other):
    """Also where members come, go and change places; one that is gone is shown no more when its
    last child has ended."""
    server = start_once(route("/a/", member) + route("/b/", other))
    one, two = name_of(member, "/"), name_of(other, "/")
    close_pairs([open_pair(server, member, "/a/") for _ in range(2)])
    close_pairs([open_pair(server, other, "/b/")])
    before = {"Opened": 2, "Ended[client-close]": 2, "Tunnels": 0}
    check_figures(server, one, **before)
    check_figures(server, two, Opened=1)
    numbers = {figures["Name"]: number for number, figures in members(server).items()}

    with RawMember() as third:
        server.graceful(route("/new/", third) + route("/b/", other) + route("/a/", member))
        check_figures(server, one, Configured=1, **before)
        check_figures(server, two, Opened=1, **{"Ended[client-close]": 1})
        check_figures(server, name_of(third, "/"), Opened=0, Tunnels=0)
        after = {figures["Name"]: number for number, figures in members(server).items()}
        assert numbers.items() <= after.items()
        close_pairs([open_pair(server, member, "/a/"), open_pair(server, third, "/new/")])
        check_figures(server, one, Opened=3, **{"Ended[client-close]": 3})
        check_figures(server, name_of(third, "/"), Opened=1)

        server.graceful(route("/new/", third))
        wait_until(lambda: not member_figures(server, one) and not member_figures(server, two), 20,
                   "the members that are gone not to be shown")
        check_figures(server, name_of(third, "/"), Opened=1)
        server.graceful(route("/a/", member) + route("/new/", third))
        check_figures(server, one, Opened=0)
        check_figures(server, name_of(third, "/"), Opened=1)
    assert int(server.status()["WSBalanceEnded[client-close]"]) == 5
    all_quiet(server)


def test_an_ungraceful_restart_and_a_stop(start_once, member):
    """A restart ends the tunnels and keeps the figures; a stop ends those too."""
    server = start_once(cluster(member))
    pairs = [open_pair(server, member, "/lb/") for _ in range(3)]
    close_pairs(pairs[:1])
    check_figures(server, name_of(member), BALANCER, Tunnels=2, Opened=3)
    old = server.children()
    os.kill(server.parent_pid(), signal.SIGHUP)
    wait_until(lambda: not set(old) & set(server.children()), 20 * SLOWNESS, "the restart")
    wait_until(server.answers, what="the server to answer")
    check_figures(server, name_of(member), BALANCER, Tunnels=0, Opened=3)
    check_adds_up(server)
    check_busy(server, name_of(member), 0)
    pairs.append(open_pair(server, member, "/lb/"))
    check_figures(server, name_of(member), BALANCER, Tunnels=1, Opened=4)
    check_busy(server, name_of(member), 1)
    for pair in pairs:
        pair.close()
    all_quiet(server)
    server.stop()
    server.start()
    check_figures(server, name_of(member), BALANCER, Tunnels=0, Opened=0)
    assert int(server.status()["WSBalanceEnded[client-close]"]) == 0


# -- A child that is killed -----------------------------------------------------------------------

def test_a_killed_child_is_taken_out_of_all_sums(start_once, member):
    """`kill -9`: its tunnels are lost and told so, everywhere; those of others go on."""
    server = start_once(cluster(member), workers=24, children=3)
    server.log.allow_exit_signal(r"exit signal Killed \(9\)")
    pairs = []

    def by_child():
        pairs.append(open_pair(server, member, "/lb/"))
        found = carriers(server, {pair.port for pair in pairs})
        return found if len(found) > 1 and len(pairs) >= 6 else None

    found = wait_until(by_child, 20, "two children to carry tunnels")
    pid, lost = min(found.items(), key=lambda item: len(item[1]))
    left = len(pairs) - len(lost)
    check_figures(server, name_of(member), BALANCER, Tunnels=len(pairs))
    os.kill(pid, signal.SIGKILL)
    check_figures(server, name_of(member), BALANCER, HEALED_SECONDS, Tunnels=left, Lost=len(lost),
                  Opened=len(pairs))
    check_busy(server, name_of(member), left, HEALED_SECONDS)
    check_adds_up(server)
    others = [pair for pair in pairs if pair.port not in lost]
    for pair in others:
        pair.client.send(client_frame(TEXT, b"still here?"))
        assert read_frame(pair.member) == (TEXT, b"still here?", True)
    close_pairs(others)
    check_figures(server, name_of(member), BALANCER, Tunnels=0, Lost=len(lost))
    check_busy(server, name_of(member), 0)
    check_adds_up(server)
    all_quiet(server)


@threaded
def test_whoever_keeps_the_rows_may_be_killed(start_once, member):
    """All children are killed, one after the other: whichever had its turn, others take it over."""
    server = start_once(cluster(member), workers=24, children=3)
    server.log.allow_exit_signal(r"exit signal Killed \(9\)")
    server.allow_log("AH10392")  # "children are killed successively!"
    for pid in server.children():
        pair = open_pair(server, member, "/lb/")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda pid=pid: pid not in server.children(), what="its end")
        wait_until(server.answers, what="the server to answer")
        is_gone = pair.client.has_data(0.1)  # Its end.
        check_busy(server, name_of(member), 0 if is_gone else 1, HEALED_SECONDS)
        pair.close()
        check_busy(server, name_of(member), 0)
    check_adds_up(server)
    all_quiet(server)


@threaded
def test_rows_are_cleared_without_the_parent(start_once, member):
    """A child is killed while the parent does nothing: another child sees that it is gone."""
    server = start_once(cluster(member), workers=24, children=3)
    server.log.allow_exit_signal(r"exit signal Killed \(9\)")
    pair = open_pair(server, member, "/lb/")
    check_figures(server, name_of(member), BALANCER, Tunnels=1)
    (pid,) = carriers(server, {pair.port})
    os.kill(server.parent_pid(), signal.SIGSTOP)
    try:
        os.kill(pid, signal.SIGKILL)
        check_figures(server, name_of(member), BALANCER, HEALED_SECONDS, Tunnels=0, Lost=1)
        check_busy(server, name_of(member), 0, HEALED_SECONDS)
    finally:
        os.kill(server.parent_pid(), signal.SIGCONT)
    pair.close()
    check_adds_up(server)
    all_quiet(server)


@threaded
def test_requests_of_a_killed_child_are_not_busy(start_once, member):
    """mod_proxy counts a request when it begins, and never again if its child is killed."""
    server = start_once(cluster(member), workers=24, children=3)
    server.log.allow_exit_signal(r"exit signal Killed \(9\)")
    client = connect(server.port)
    client.send(upgrade_request("/lb/"))
    member.accept().read_head()
    check_busy(server, name_of(member), 1)
    (pid,) = carriers(server, {client.sock.getsockname()[1]})
    os.kill(pid, signal.SIGKILL)
    check_busy(server, name_of(member), 0, HEALED_SECONDS + 4)
    client.close()
    pair = open_pair(server, member, "/lb/")
    check_busy(server, name_of(member), 1)
    pair.close()
    check_busy(server, name_of(member), 0)
    all_quiet(server)


# -- Much at once --------------------------------------------------------------------------------

@event_only
def test_a_reload_in_the_middle_of_much(start_once, echo_member):
    """Tunnels come and go over reloads: nothing is left over anywhere."""
    server = start_once("WSBalanceMaxHandshakes 0\n" + cluster(echo_member), workers=24, children=2)
    for _ in range(3):
        clients = open_many(server, "/lb/", 40)
        server.graceful()
        for client in clients[:20]:
            client.close()
        more = open_many(server, "/lb/", 10)
        for client in clients[20:] + more:
            client.close()
    all_quiet(server)
    check_figures(server, name_of(echo_member), BALANCER, 20, Tunnels=0, Opened=150, Lost=0)
    check_adds_up(server)
    check_busy(server, name_of(echo_member), 0)


# -- WSBalanceMaxCarriers -------------------------------------------------------------------------

@pytest.mark.parametrize("line,error", [
    ("WSBalanceMaxCarriers 0", None), ("WSBalanceMaxCarriers 10000", None),
    ("WSBalanceMaxCarriers 10001", "must be a number from 1 to 10000, or 0 for none, not '10001'"),
    ("WSBalanceMaxCarriers -1", "not '-1'"),
    ("<VirtualHost *:1>\nWSBalanceMaxCarriers 1\n</VirtualHost>", "WSBalanceMaxCarriers ")])
def test_values_of_max_carriers(line, error):
    server = Httpd("event", line)
    try:
        code, said = server.check_config()
        assert (code == 0) == (error is None) and (error or "") in said, said
    finally:
        server.remove()


@event_only
def test_more_carriers_need_a_start(start_once, member):
    """The shared memory is made once; how many it has room for stays."""
    server = start_once(f"WSBalanceMaxCarriers 2\n{route('/a/', member)}")
    server.graceful(f"WSBalanceMaxCarriers 1\n{route('/a/', member)}")
    server.graceful(f"WSBalanceMaxCarriers 3\n{route('/a/', member)}")
    server.expect_log("WSB0024", level="warn")
    pair = open_pair(server, member, "/a/")
    check_figures(server, name_of(member, "/"), Tunnels=1)
    pair.close()
    all_quiet(server)


# -- Where rows run out ---------------------------------------------------------------------------

@event_only
def test_more_members_than_rows(start_once, member):
    """There are 1024 rows if the first configuration had few members; a reload with more than that
    counts some of them together, and says so once."""
    server = start_once(route("/a/", member))
    many = "".join(f"ProxyPass /{number}/ {name_of(member)}/{number}/\n" for number in range(1100))
    server.graceful(many)
    server.expect_log("WSB0026", level="warn")
    assert len(server.log.matching("WSB0026")) == 1
    pairs = [open_pair(server, member, f"/{number}/") for number in (0, 1099)]
    check_figures(server, name_of(member, "/0/"), Tunnels=1)
    check_figures(server, "other", Tunnels=1)
    close_pairs(pairs)
    check_figures(server, "other", Tunnels=0, Opened=1)
    check_adds_up(server)
    all_quiet(server)
