"""What mod_proxy's own records of members are told of tunnels: busy, and bytes."""

import re

import pytest

import httpd_config
from balancer_manager import MANAGER, manager
from counters import (BALANCER, check_adds_up, check_busy, check_figures, cluster, member_figures,
                      name_of, open_through, proxy_figures)
from frames import TEXT, client_frame, frame, read_frame
from ours import all_quiet
from raw_peer import RawMember
from waiting import wait_until

pytestmark = pytest.mark.transports("plain")
event_only = pytest.mark.parametrize("mpm", ["event"], indirect=True)

MODULES = httpd_config.default_modules(add=["lbmethod_bybusyness", "lbmethod_bytraffic"])


@pytest.fixture(name="other")
def other_member():
    with RawMember() as found:
        yield found


def test_busy_is_what_is_open(start_once, member, other):
    """Whatever is opened and closed, and after a reload too; balancer-manager shows it."""
    server = start_once(MANAGER + cluster(member, other))
    pairs = []
    for _ in range(6):
        client, connection, _ = open_through(server, "/lb/", [member, other])
        pairs.append((client, connection))
    check_busy(server, name_of(member), 3)
    check_busy(server, name_of(other), 3)
    # A request counts too until httpd has cleaned up behind it.
    wait_until(lambda: re.findall(r"<httpd:busy>(\d+)</httpd:busy>", manager(server)) == ["3", "3"],
               what="balancer-manager to say so")
    for client, connection in pairs:
        client.close()
        connection.close()
    check_busy(server, name_of(member), 0)
    check_busy(server, name_of(other), 0)
    server.graceful()
    client, connection, chosen = open_through(server, "/lb/", [member, other])
    check_busy(server, name_of(chosen), 1)
    client.close()
    connection.close()
    check_busy(server, name_of(chosen), 0)
    all_quiet(server)


def test_bybusyness_goes_by_open_tunnels(start_once, member, other):
    """Each handshake goes to the member with fewer, also after some have ended."""
    server = start_once(cluster(member, other, method="bybusyness"), modules=MODULES)
    both = [member, other]
    opened = {member: [], other: []}

    def settle():
        for found in both:
            check_busy(server, name_of(found), len(opened[found]))

    def open_one():
        client, connection, chosen = open_through(server, "/lb/", both)
        opened[chosen].append((client, connection))
        settle()
        return chosen

    for _ in range(3):
        assert {open_one(), open_one()} == set(both)
    for client, connection in opened[member][1:]:
        client.close()
        connection.close()
    del opened[member][1:]
    settle()
    assert [open_one(), open_one()] == [member, member]
    assert {open_one(), open_one()} == set(both)
    for client, connection in opened[member] + opened[other]:
        client.close()
        connection.close()
    opened = {member: [], other: []}
    settle()
    all_quiet(server)


@event_only
def test_a_burst_does_not_go_to_one_member(start_once, member, other):
    """Tunnels count before anybody looks at all rows; also where mod_proxy_balancer is loaded
    behind us."""
    modules = [name for name in MODULES if name != "wsbalance"]
    modules.insert(modules.index("proxy") + 1, "wsbalance")
    server = start_once(cluster(member, other, method="bybusyness"), modules=modules)
    both, opened = [member, other], []

    def open_one():
        client, connection, chosen = open_through(server, "/lb/", both)
        opened.append((client, connection, chosen))
        # It is handed over when httpd has closed the client's connection.
        wait_until(lambda: server.tunnels() == len(opened), what="the tunnel to be counted")
        return chosen

    for _ in range(3):
        assert {open_one(), open_one()} == set(both)
    for client, connection, _ in [one for one in opened if one[2] is member]:
        client.close()
        connection.close()
    opened = [one for one in opened if one[2] is other]
    check_busy(server, name_of(member), 0)
    check_busy(server, name_of(other), 3)
    assert [open_one() for _ in range(3)] == [member] * 3
    for _ in range(3):
        assert {open_one(), open_one()} == set(both)
    for client, connection, _ in opened:
        client.close()
        connection.close()
    all_quiet(server)


@event_only
def test_bytraffic_goes_by_what_tunnels_carried(start_once, member, other):
    server = start_once(cluster(member, other, method="bytraffic"), modules=MODULES)
    client, connection, busy = open_through(server, "/lb/", [member, other])
    payload = b"x" * 100_000
    client.send(client_frame(TEXT, payload))
    assert read_frame(connection)[1] == payload
    for _ in range(2):
        connection.send(frame(TEXT, payload))
        assert read_frame(client)[1] == payload
    assert proxy_figures(server, name_of(busy), "Sent") == 0
    client.close()
    connection.close()
    wait_until(lambda: (proxy_figures(server, name_of(busy), "Sent"),
                        proxy_figures(server, name_of(busy), "Rcvd")) == (97, 195),
               what="the bytes of the tunnel")
    for _ in range(4):
        client, connection, chosen = open_through(server, "/lb/", [member, other])
        assert chosen is not busy
        client.close()
        connection.close()
    all_quiet(server)
    assert proxy_figures(server, name_of(busy), "Sent") == 97


def test_a_member_that_is_added_at_run_time(start_once, member, other):
    """By balancer-manager: it gets its row with its first handshake, whichever child that is."""
    server = start_once(MANAGER + cluster(member, options="growth=2"), workers=6)
    added = f"b=cluster&nonce=known&b_wyes=1&b_nwrkr=ws%3A//127.0.0.1%3A{other.port}"
    manager(server, added)
    manager(server, f"b=cluster&nonce=known&w={name_of(other)}&w_status_D=0")
    assert not member_figures(server, name_of(other), BALANCER)
    pairs = []
    for _ in range(8):
        client, connection, _ = open_through(server, "/lb/", [member, other])
        pairs.append((client, connection))
    wait_until(lambda: server.tunnels() == 8, what="all of them to be counted")
    mine = member_figures(server, name_of(other), BALANCER)["Tunnels"]
    assert mine > 0
    check_figures(server, name_of(member), BALANCER, Tunnels=8 - mine)

    def busy():
        return sorted(map(int, re.findall(r"<httpd:busy>(\d+)</httpd:busy>", manager(server))))

    wait_until(lambda: busy() == sorted([mine, 8 - mine]), what="busy of both")
    for client, connection in pairs:
        client.close()
        connection.close()
    wait_until(lambda: busy() == [0, 0], what="busy of both to be 0")
    check_adds_up(server)
    all_quiet(server)
