"""Tunnels that are closed so that their clients connect again: members that go down, that an
administrator takes out, and that come."""

import contextlib
import time

import pytest

import httpd_config
from balancer_manager import MANAGER, set_flag
from carrying import ROOM, carried_pairs, check_echo, check_echoes, check_spread, event_only
from counters import BALANCER, check_adds_up, check_figures, members, name_of, open_through
from frames import CLOSE, close_payload, read_frame
from h2_tunnels import check_alive, check_ends_at_once, client, dial, start_h2_once
from h2_tunnels import open_pair as open_h2_pair
from http_message import parse_head, upgrade_request
from ours import all_quiet
from proxy_frames import answer_close, read_close
from raw_peer import RawMember, connect
from transport import under
from tunnels import AT_ONCE, Pair, end_of, ends_within, open_pair
from waiting import SLOWNESS, stays, wait_until

plain_only = pytest.mark.transports("plain")
RESTART = b"service restart"
MODULES = httpd_config.default_modules(add=["lbmethod_bybusyness"])

# A state is noticed within two seconds; the rest is for a busy machine.
NOTICED_SECONDS = 2 + 8


@pytest.fixture(name="others")
def other_members():
    """Two members more."""
    with RawMember() as one, RawMember() as two:
        yield one, two


def balancer(*section, method="bybusyness", options=""):
    """A balancer with these lines, balancer-manager, and room for children of two generations."""
    lines = "\n".join(section)
    return f"""
{ROOM}
{MANAGER}
<Proxy {BALANCER}>
{lines}
ProxySet lbmethod={method} nonce=known {options}
</Proxy>
ProxyPass /lb/ {BALANCER}/
"""


def url_of(member, transport):
    return transport.member_url("ws", member.port).rstrip("/")


def line_of(member, options=""):
    return f"BalancerMember {name_of(member)} {options}"


def figures(server, name):
    """Of the member with this name, as text."""
    found = [found for found in members(server).values()
             if found["Name"] == name and found["Balancer"] == BALANCER]
    assert len(found) == 1, found
    return found[0]


def wait_for_state(server, name, state):
    wait_until(lambda: figures(server, name)["State"] == state, NOTICED_SECONDS,
               f"{name} to be {state}")


def open_at(server, choices, count):
    """Opens so many tunnels; returns {member: pairs}. Each is counted, and its request over, before
    the next handshake, which therefore goes to the member with the fewest."""
    pairs, before = {member: [] for member in choices}, server.tunnels()
    for number in range(1, count + 1):
        sock, connection, chosen = open_through(server, "/lb/", choices)
        pairs[chosen].append(Pair(sock, connection))
        wait_until(lambda: server.tunnels() >= before + number and server.busy_workers() == 1,
                   what="the tunnel to be counted")
    return pairs


def open_counted(server, member, count, path="/lb/"):
    """So many tunnels, one behind the other: the relay has each before the next begins."""
    pairs, before = [], server.tunnels()
    for number in range(1, count + 1):
        pairs.append(open_pair(server, member, path))
        wait_for_tunnels(server, before + number)
    return pairs


def wait_for_tunnels(server, count):
    wait_until(lambda: server.tunnels() == count, what="the relay to have them")


def take_move(server, pair, reason):
    """The client gets 1012 and the member 1001, and both answer."""
    read_close(pair.client, "client", RESTART, 1012)
    read_close(pair.member, "member", RESTART)
    answer_close(pair.client, "client", 1012)
    answer_close(pair.member, "member")
    assert ends_within(pair.client, AT_ONCE) and ends_within(pair.member, AT_ONCE)
    end = end_of(server, pair.port)
    assert (end.reason, end.close_code, end.closer) == (reason, 1012, "proxy")
    pair.close()


def take_move_over_h2(stream, raw):
    """The same where the client has a stream of HTTP/2."""
    assert read_frame(stream) == (CLOSE, close_payload(1012, RESTART), True)
    read_close(raw, "member", RESTART)
    answer_close(raw, "member")
    answer_close(stream, "client", 1012)
    check_ends_at_once(stream)


def take_moves(server, pairs, reason):
    """The same for all of them, in whichever order; when each was told, in seconds from now."""
    began, times, left = time.monotonic(), [], list(pairs)
    while left and time.monotonic() < began + 20 * SLOWNESS:
        for pair in [pair for pair in left if pair.client.has_data()]:
            times.append(time.monotonic() - began)
            take_move(server, pair, reason)
            left.remove(pair)
        time.sleep(0.01)
    assert not left, f"{len(left)} tunnels were not told"
    return times


def are_silent(pairs):
    return not any(pair.client.has_data() for pair in pairs)


def close_all(pairs):
    for pair in pairs:
        pair.close()


# -- Down -----------------------------------------------------------------------------------------

@under("event-plain", "prefork-plain")
def test_a_member_that_refuses_is_left(start_once, member):
    """Its tunnels are closed at once, and their clients get another member. Those of others go
    on."""
    gone = RawMember()
    server = start_once(balancer(line_of(member), line_of(gone), "WSBalanceOnMemberDown close"),
                        modules=MODULES, workers=12)
    server.expect_log("WSB0541", "AH00957", "AH00959")
    pairs = open_at(server, [member, gone], 4)
    assert len(pairs[gone]) == 2
    gone.refuse()
    with contextlib.ExitStack() as stack:
        while figures(server, name_of(gone))["State"] == "up":
            sock, connection, _ = open_through(server, "/lb/", [member])
            stack.callback(Pair(sock, connection).close)
            time.sleep(0.1)
        check_figures(server, name_of(gone), BALANCER, Tunnels=2, Leaving=2)
        take_moves(server, pairs[gone], "member-down")
        for pair in open_at(server, [member], 2)[member] + pairs[member]:
            check_echo(pair)
            stack.callback(pair.close)
        check_figures(server, name_of(gone), BALANCER, Tunnels=0, **{"Ended[member-down]": 2})
    all_quiet(server)
    check_adds_up(server)
    gone.stop()


@event_only
@plain_only
def test_tunnels_are_kept_by_default(start_once, member):
    """Whatever becomes of their member; how it is can be seen, and since when it is back."""
    server = start_once(balancer(line_of(member)), modules=MODULES)
    name = name_of(member)
    pair, = open_counted(server, member, 1)
    assert figures(server, name)["State"] == "up" and "UpFor" not in figures(server, name)
    for flag, state in (("C", "down"), ("N", "draining"), ("D", "out")):
        set_flag(server, name, flag)
        wait_for_state(server, name, state)
        check_echo(pair)
        assert "UpFor" not in figures(server, name)
        set_flag(server, name, flag, False)
        wait_for_state(server, name, "up")
        assert int(figures(server, name)["UpFor"]) <= NOTICED_SECONDS * SLOWNESS
    assert stays(lambda: are_silent([pair]), 1)
    check_echo(pair)
    pair.close()
    all_quiet(server)


@event_only
@plain_only
@pytest.mark.parametrize("dial", ["h2"], indirect=True)
def test_a_tunnel_over_http2(start_h2_once, dial, member):
    """One that holds a thread of mod_http2."""
    conf = balancer(line_of(member), "WSBalanceOnMemberDown close", method="byrequests")
    server = start_h2_once(conf)
    stream, raw = open_h2_pair(dial(server), member, "/lb/")
    wait_for_tunnels(server, 1)
    server.expect_log("WSB0541")
    set_flag(server, name_of(member), "C")
    take_move_over_h2(stream, raw)
    all_quiet(server)


@event_only
@plain_only
@pytest.mark.parametrize("dial", ["h2"], indirect=True)
def test_a_drain_over_http2(start_h2_once, dial, member, others):
    """The same for a member that is taken out; the client's next stream is another member's."""
    conf = balancer(line_of(member, "route=a"), line_of(others[0], "route=b"),
                    "WSBalanceOnDrain close 0", method="byrequests",
                    options="stickysession=to scolonpathdelim=on")
    server = start_h2_once(conf)
    connection = dial(server)
    stream, raw = open_h2_pair(connection, member, "/lb/x;to=.a")
    wait_for_tunnels(server, 1)
    server.expect_log("WSB0542")
    set_flag(server, name_of(member), "D")
    take_move_over_h2(stream, raw)
    again, raw = open_h2_pair(connection, others[0], "/lb/x;to=.a")
    check_alive(again, raw)
    raw.close()
    check_ends_at_once(again)
    all_quiet(server)


# -- Drain ----------------------------------------------------------------------------------------

@under("event-tls")
def test_a_drain_is_spread(start_once, transport, member):
    """Over its time, in a carrier and in a child alike. Nobody gets in meanwhile."""
    url = url_of(member, transport)
    server = start_once(balancer(f"BalancerMember {url}", "WSBalanceOnDrain close 3s"),
                        workers=12, modules=MODULES)
    server.expect_log("WSB0542")
    in_carrier = carried_pairs(server, member, 4, "/lb/")
    in_child = open_counted(server, member, 4)
    set_flag(server, url, "D")
    wait_for_state(server, url, "out")
    check_echoes([in_carrier[-1], in_child[-1]])
    times = take_moves(server, in_carrier + in_child, "member-drain")
    check_spread(times, 3)
    server.allow_log("AH01170")
    with connect(server.port, transport) as sock:
        sock.send(upgrade_request("/lb/"))
        assert parse_head(sock.read_head()).status == 503
    wait_until(lambda: not server.carriers(), 5, "the carrier to end")
    all_quiet(server)
    check_adds_up(server)


@event_only
@plain_only
def test_a_drain_is_taken_back(start_once, member):
    """The tunnels that are left stay."""
    server = start_once(balancer(line_of(member), "WSBalanceOnDrain close 12s"),
                        modules=MODULES)
    server.expect_log("WSB0542", "WSB0543")
    pairs = open_counted(server, member, 6)
    set_flag(server, name_of(member), "S")
    wait_until(lambda: not are_silent(pairs), 2 + NOTICED_SECONDS, "the first close")
    set_flag(server, name_of(member), "S", False)
    wait_for_state(server, name_of(member), "up")

    def left_in_peace():
        left = [pair for pair in pairs if not pair.client.has_data()]
        return stays(lambda: are_silent(left), 2.5) and left

    # A process may just have been about to close one.
    left = wait_until(left_in_peace, 12, "no more closes")
    told = [pair for pair in pairs if pair not in left]
    for pair in told:
        take_move(server, pair, "member-drain")
    check_echoes(left)
    close_all(left)
    all_quiet(server)


@event_only
@plain_only
def test_clients_that_belong_to_a_draining_member(start_once, member, others):
    """They come back to it, as stock httpd lets them in, and are not closed again."""
    server = start_once(balancer(line_of(member, "route=a"), line_of(others[0], "route=b"),
                                 "WSBalanceOnDrain close 2s",
                                 options="stickysession=to scolonpathdelim=on"), modules=MODULES)
    server.expect_log("WSB0542")
    first, second = open_counted(server, member, 2, "/lb/x;to=.a")
    set_flag(server, name_of(member), "N")
    take_moves(server, [first], "member-drain")
    again, = open_counted(server, member, 1, "/lb/x;to=.a")
    take_moves(server, [second], "member-drain")
    assert stays(lambda: are_silent([again]), 1.5)
    check_echo(again)
    # Now nobody may stay.
    set_flag(server, name_of(member), "D")
    take_moves(server, [again], "member-drain")
    all_quiet(server)


@event_only
@plain_only
def test_a_reload_that_removes_a_member(start_once, member, others):
    """Its tunnels are closed, in the carriers that have them, as the new section wants; those of
    others go on. A member that it adds begins slowly."""
    server = start_once(balancer(line_of(member), line_of(others[0])), modules=MODULES, workers=12)
    server.expect_log("WSB0542")
    pairs = open_at(server, [member, others[0]], 4)
    server.graceful(balancer(line_of(others[0]), line_of(others[1]), "WSBalanceOnDrain close 1s"))
    assert "UpFor" not in figures(server, name_of(others[0]))
    assert "UpFor" in figures(server, name_of(others[1]))
    take_moves(server, pairs[member], "member-drain")
    check_echoes(pairs[others[0]])
    close_all(pairs[others[0]])
    all_quiet(server)


# -- Rebalance ------------------------------------------------------------------------------------

class Clients:
    """Clients whose tunnels are opened again when httpd closes them with 1012."""

    def __init__(self, server, choices):
        self._server, self._choices = server, choices
        self.pairs = {member: [] for member in choices}
        self.moved = 0

    def open(self, count):
        for member, pairs in open_at(self._server, self._choices, count).items():
            self.pairs[member] += pairs

    def counts(self):
        return [len(self.pairs[member]) for member in self._choices]

    def come_back(self):
        """Those that were told, the oldest of their member."""
        for pairs in self.pairs.values():
            while told := [pair for pair in pairs if pair.client.has_data()]:
                take_move(self._server, told[0], "rebalance")
                pairs.remove(told[0])
                self.moved += 1
                self.open(1)

    def follow_until(self, condition, seconds, what):
        def is_so():
            self.come_back()
            return condition()

        wait_until(is_so, seconds, what)

    def close(self):
        for pairs in self.pairs.values():
            close_all(pairs)


@event_only
@plain_only
def test_a_member_that_comes_gets_its_part(start_once, member, others):
    """Tunnels of carriers and children move to it until all have as many, and none more than that;
    then nothing moves any more."""
    lines = [line_of(member), line_of(others[0]), line_of(others[1], "status=+D"),
             "WSBalanceRebalance 25% 1s"]
    server = start_once(balancer(*lines), modules=MODULES, workers=12)
    server.expect_log("WSB0544", "WSB0545")
    clients = Clients(server, [member, *others])
    clients.open(12)
    server.graceful()
    clients.open(12)
    assert clients.counts() == [12, 12, 0]
    assert stays(lambda: all(are_silent(pairs) for pairs in clients.pairs.values()), 1.5)
    set_flag(server, name_of(others[1]), "D", False)
    clients.follow_until(lambda: server.log.matching("WSB0545"), 30, "the last one to move")
    assert clients.counts() == [8, 8, 8] and clients.moved == 8
    assert stays(lambda: all(are_silent(pairs) for pairs in clients.pairs.values()), 2.5)
    check_figures(server, name_of(member), BALANCER, Tunnels=8, Leaving=0)
    clients.close()
    all_quiet(server)
    check_adds_up(server)


@event_only
@plain_only
def test_a_member_that_cannot_be_reached_gets_nothing(start_once, member, others):
    """A tunnel or two are closed to try it, no more."""
    lost = RawMember()
    lines = [line_of(member), line_of(lost, "status=+D"), "WSBalanceRebalance 50% 1s"]
    server = start_once(balancer(*lines), modules=MODULES, workers=12)
    server.expect_log("WSB0544", "AH00957", "AH00959")
    clients = Clients(server, [member, lost])
    clients.open(10)
    lost.refuse()
    set_flag(server, name_of(lost), "D", False)
    clients.follow_until(lambda: figures(server, name_of(lost))["State"] == "down", 20,
                         "the other one to be down")
    assert stays(lambda: are_silent(clients.pairs[member]), 2.5)
    assert clients.counts() == [10, 0] and clients.moved <= 2
    clients.close()
    all_quiet(server)
    lost.stop()
