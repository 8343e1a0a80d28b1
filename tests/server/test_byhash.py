"""lbmethod=byhash: a key has its member, on each server, as long as that is there."""

import collections

import pytest

from http_message import parse_head, upgrade_request
from methods import echo_members, group, member_of, wait_for_tunnels
from ours import all_quiet
from raw_peer import connect

pytestmark = [pytest.mark.transports("plain"),
              pytest.mark.parametrize("mpm", ["event"], indirect=True)]

BY_FIELD = "WSBalanceHashKey %{HTTP:X-Key}"
BY_PROXY = "RemoteIPHeader X-Forwarded-For\nRemoteIPInternalProxy 127.0.0.1\n"
KEYS = 200


@pytest.fixture(name="members", scope="module")
def echo():
    with echo_members(5) as found:
        yield found


def all_keys(server):
    return [member_of(server, ("X-Key", f"user-{number}")) for number in range(KEYS)]


def test_servers_agree(start_once, members):
    """Two servers, with members in another order, from several children; a member that is not there
    moves its own keys only."""
    one = start_once(group(members, "byhash", BY_FIELD), workers=6, children=2)
    two = start_once(group(members[::-1], "byhash", BY_FIELD), workers=6, children=2)
    before = all_keys(one)
    assert before == all_keys(two)
    shares = collections.Counter(before)
    # Ports are others each time, and so are the shares; unit tests have what is to be expected.
    assert len(shares) == 5 and min(shares.values()) > KEYS / 5 / 4, shares

    two.graceful(group(members[1:], "byhash", BY_FIELD))
    gone = group(members[:1], "byhash").split("BalancerMember ")[1].split()[0]
    for old, new in zip(before, all_keys(two)):
        assert new != gone and old in (new, gone)
    all_quiet(one)
    all_quiet(two)


def test_the_client_s_address(start_once, members):
    """As mod_remoteip gives it; the same by expression; IPv6 by its network of 64 bits; mapped IPv4
    is IPv4."""
    server = start_once(BY_PROXY + group(members, "byhash"))
    expressed = start_once(BY_PROXY + group(members, "byhash", "WSBalanceHashKey %{REMOTE_ADDR}"))

    def member(address, of=server):
        return member_of(of, ("X-Forwarded-For", address))

    chosen = set()
    for number in range(20):
        address = f"203.0.113.{number}"
        chosen.add(member(address))
        assert member(address) == member(f"::ffff:{address}") == member(address, expressed)
    assert len(chosen) > 2, chosen
    networks = {f"2001:db8:0:{number:x}": member(f"2001:db8:0:{number:x}::1")
                for number in range(20)}
    assert len(set(networks.values())) > 2
    for network, found in networks.items():
        assert member(f"{network}:ffff::99") == found
    all_quiet(server)


def test_a_key_that_is_empty(start_once, members):
    """Then it is the address, or one member would get all of those clients."""
    server = start_once(BY_PROXY + group(members, "byhash", BY_FIELD))
    default = start_once(BY_PROXY + group(members, "byhash"))
    for number in range(10):
        field = ("X-Forwarded-For", f"203.0.113.{number}")
        assert member_of(server, field) == member_of(default, field)
        assert member_of(server, field, ("X-Key", "x")) == member_of(server, ("X-Key", "x"))
    all_quiet(server)


def test_plain_requests_have_the_same_member(start_once, members):
    """Polling and the upgrade of a client meet."""
    server = start_once(group(members, "byhash", BY_FIELD, scheme="http"))
    for number in range(10):
        field = ("X-Key", f"user-{number}")
        assert member_of(server, field) == member_of(server, field, plain=True)
    all_quiet(server)


def test_bound(start_once, members):
    """Many tunnels with one key: its member takes its part and what the bound allows, the next ones
    by score the rest. Without a bound one has all."""
    server = start_once(group(members, "byhash", BY_FIELD, "WSBalanceHashBound 25%"), workers=6,
                        children=2)

    def open_tunnels(count):
        clients = []
        for _ in range(count):
            clients.append(connect(server.port))
            clients[-1].send(upgrade_request("/lb/", add=[("X-Key", "popular")]))
            assert parse_head(clients[-1].read_head()).status == 101
        found = wait_for_tunnels(server, count)
        for client in clients:
            client.close()
        all_quiet(server)
        return sorted(found)

    assert open_tunnels(20) == [0, 5, 5, 5, 5]
    server.graceful(group(members, "byhash", BY_FIELD))
    assert open_tunnels(20) == [0, 0, 0, 0, 20]


def test_an_expression_that_fails(start_once, members):
    """It is told, and the address is taken."""
    server = start_once(group(members, "byhash", 'WSBalanceHashKey "%{file:/no/such/%{HTTP:X-Key}}"'))
    default = start_once(group(members, "byhash"))
    server.expect_log("WSB0501")
    server.allow_log("Cannot open file")
    assert member_of(server) == member_of(default)
    all_quiet(server)
