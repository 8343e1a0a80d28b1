"""Balancers with a method, and which of their members requests come to."""

import collections
import contextlib

from counters import BALANCER, members, name_of
from http_message import get_request, parse_head, upgrade_request
from raw_peer import connect
from waiting import wait_until
from ws_peer import EchoMember

# The answer says which member gave it, also the 101.
TELLS = 'Header always set X-Member "%{BALANCER_WORKER_NAME}e"\n'


def group(choices, method, *lines, path="/lb/", scheme="ws", options=None):
    """A balancer of these members, each with options of its own if there are some."""
    added = [f"BalancerMember {name_of(member).replace('ws:', scheme + ':')} {option}"
             for member, option in zip(choices, options or [""] * len(choices))]
    return "\n".join([TELLS + "ProxyStatus On", f"<Proxy {BALANCER}>", *added,
                      f"ProxySet lbmethod={method} nonce=known", *lines, "</Proxy>",
                      f"ProxyPass {path} {BALANCER}/", ""])


@contextlib.contextmanager
def echo_members(count):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(EchoMember(str(number))) for number in range(count)]


def member_of(server, *fields, path="/lb/", plain=False):
    """The name of the member that a request with these fields comes to; its tunnel is closed."""
    with connect(server.port) as client:
        make = get_request if plain else upgrade_request
        client.send(make(path, add=fields))
        head = parse_head(client.read_head())
        assert head.status == (200 if plain else 101), head
        return head.get("X-Member")


def tunnels_of(server):
    """{name of each member: its open tunnels}."""
    return collections.Counter({figures["Name"]: int(figures["Tunnels"])
                                for figures in members(server).values()
                                if figures["Balancer"] == BALANCER})


def wait_for_tunnels(server, count):
    """Waits until so many are counted; those of each member, in the order of their names."""
    wait_until(lambda: sum(tunnels_of(server).values()) == count, what=f"{count} tunnels")
    found = tunnels_of(server)
    return [found[name] for name in sorted(found)]
