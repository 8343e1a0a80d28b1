"""What the status page counts of members, ours and mod_proxy_balancer's."""

import re

from frames import client_frame, read_frame
from http_message import switching, upgrade_request
from raw_peer import connect
from waiting import wait_until

BALANCER = "balancer://cluster"

# A child that is killed is taken out of all sums within this time; the rest is for a busy machine.
HEALED_SECONDS = 2 + 6

MEMBER = re.compile(r"WSBalanceMember\[(\d+)\](\S+)")
WORKER = re.compile(r"ProxyBalancer\[(\d+)\]Worker\[(\d+)\](\w+)")


def members(server):
    """Our figures of each member: {its number: {key: text}}."""
    found = {}
    for key, value in server.status().items():
        if match := MEMBER.fullmatch(key):
            found.setdefault(int(match[1]), {})[match[2]] = value
    return found


def member_figures(server, name, balancer="-"):
    """Our figures of the only member with this name: {key: number}; {} if it is not there."""
    found = [figures for figures in members(server).values()
             if figures["Name"] == name and figures["Balancer"] == balancer]
    assert len(found) <= 1, found
    return {key: int(value) for key, value in (found[0] if found else {}).items()
            if value.isdigit()}


def ends(figures):
    """How many tunnels are over, in the figures of a member."""
    return figures["Lost"] + sum(value for key, value in figures.items()
                                 if key.startswith("Ended["))


def proxy_figures(server, name, key):
    """What mod_proxy says of a member of a balancer in server-status (ProxyStatus On)."""
    status = server.status()
    found = {int(status[f"ProxyBalancer[{match[1]}]Worker[{match[2]}]{key}"].rstrip("K"))
             for match in (WORKER.fullmatch(text) for text in status)
             if match and match[3] == "Name" and status[match[0]] == name}
    assert len(found) == 1, f"{name}: {found}"
    return found.pop()


def check_busy(server, name, count, seconds=10):
    """mod_proxy's busy of a member comes to this."""
    wait_until(lambda: proxy_figures(server, name, "Busy") == count, seconds,
               f"Busy of {name} to be {count}")


def name_of(member, path=""):
    return f"ws://127.0.0.1:{member.port}{path}"


def route(path, member):
    return f"ProxyPass {path} {name_of(member)}/\n"


def cluster(*added, method="byrequests", options=""):
    """A balancer with these members at /lb/, and mod_proxy's figures in server-status."""
    lines = "\n".join(f"BalancerMember {name_of(member)}" for member in added)
    return f"""
ProxyStatus On
<Proxy {BALANCER}>
{lines}
ProxySet lbmethod={method} nonce=known {options}
</Proxy>
ProxyPass /lb/ {BALANCER}/
"""


def open_through(server, path, choices, *, port=None, add=()):
    """Opens a tunnel; returns it and the member that was chosen."""
    client = connect(port or server.port)
    client.send(upgrade_request(path, add=add))
    chosen = wait_until(lambda: [member for member in choices if member.is_called()],
                        what="a member to be called")[0]
    connection = chosen.accept()
    connection.read_head()
    connection.send(switching())
    assert b" 101 " in client.read_head()
    return client, connection, chosen


def close_pairs(pairs):
    for pair in pairs:
        pair.client.send(client_frame(8, b"\x03\xe8"))
        read_frame(pair.member)
        pair.close()


def check_figures(server, name, balancer="-", seconds=10, **expected):
    """The figures of a member come to these; 0 stands for a line that is not there."""
    def is_so():
        found = member_figures(server, name, balancer)
        return found and {key: found.get(key, 0) for key in expected} == expected

    wait_until(is_so, seconds, f"{name} to have {expected}")


def check_adds_up(server):
    """Of each member: what was opened is open or over; and all together is what the server has."""
    status, found = server.status(), members(server).values()
    for figures in found:
        numbers = {key: int(value) for key, value in figures.items() if value.isdigit()}
        assert numbers["Opened"] == numbers["Tunnels"] + ends(numbers), figures
    assert int(status["WSBalanceTunnels"]) == sum(int(figures["Tunnels"]) for figures in found)
    assert int(status["WSBalanceLost"]) == sum(int(figures["Lost"]) for figures in found)


def is_failed(server, name):
    """Is the member of a balancer out for mod_proxy, by its health (ProxyStatus On)?"""
    status = server.status()
    found = {status[f"ProxyBalancer[{match[1]}]Worker[{match[2]}]Status"]
             for match in (WORKER.fullmatch(text) for text in status)
             if match and match[3] == "Name" and status[match[0]] == name}
    assert len(found) == 1, f"{name}: {found}"
    return "HcFl" in found.pop()


def text_of(server, name, key):
    """One of our figures of the only member with this name, as text."""
    known = members(server).values()
    found = [figures[key] for figures in known if figures["Name"] == name]
    assert len(found) == 1, f"{name}: {[figures['Name'] for figures in known]}"
    return found[0]
