"""Carriers go on with the settings that their tunnels began with: timers, pings, limits, logs and
counters. A new generation has its own at once."""

import re

import pytest

from carrying import (LOG, ROOM, check_echo, check_echoes, close_all, end_by_client, event_only,
                      number, plain_only, wait_for_carried)
from frames import CLOSE, PING, TEXT, client_frame, close_payload, frame, read_frame
from http_message import get_request
from ours import all_quiet
from proxy_frames import answer_ping, check_ended, check_refused, line_of, read_ping
from raw_peer import RawMember, connect
from transport import under
from tunnels import AT_ONCE, ends_within, open_pair
from waiting import wait_until

# Pings begin behind the reload also where that is slow: a ping that nobody has answered yet would
# end the tunnel.
OLD = {
    "ping": "WSBalancePing 400ms 20s client",
    "dead": "WSBalancePing 1500ms 500ms client",
    "idle": "WSBalanceIdleTimeout 2s",
    "data": "WSBalanceDataTimeout 2s",
    "life": "WSBalanceLifetime 2s",
    "size": "WSBalanceMaxMessage 1000",
    "close": "WSBalanceCloseTimeout 400ms",
    "lenient": "WSBalanceFrames lenient",
}
NEW = dict({name: "" for name in OLD}, close="WSBalanceCloseTimeout 60s",
           lenient="WSBalanceFrames strict", life="WSBalanceLifetime 1h")


def conf_of(settings, transport, port):
    return ROOM + LOG + "".join(
        f'<Location /{name}/>\n{line}\nProxyPass {transport.member_url("ws", port)}\n</Location>\n'
        for name, line in settings.items())


@under("event-tls", "prefork-plain")
def test_settings_of_the_tunnel(start_once, transport, member):
    """All of it over one reload that changes everything."""
    server = start_once(conf_of(OLD, transport, member.port), workers=12)
    old = {name: open_pair(server, member, f"/{name}/") for name in OLD}
    server.graceful(conf_of(NEW, transport, member.port))
    wait_until(server.carriers, 5, "carriers")
    new = {name: open_pair(server, member, f"/{name}/") for name in OLD}

    check_ended_by(server, old.pop("dead"), "ping-timeout-client", pings=1)
    check_ended_by(server, old.pop("idle"), "idle")
    check_ended_by(server, old.pop("data"), "data-idle")
    check_ended_by(server, old.pop("life"), "lifetime")
    check_more_pings(server, old.pop("ping"))

    size = old.pop("size")
    size.client.send(client_frame(TEXT, b"x" * 1001))
    check_refused(size, "client", 1009, "message too big")
    check_ended(server, size.port, "limit-message", 1009)

    close = old.pop("close")
    close.client.send(client_frame(CLOSE, close_payload(1000)))
    assert read_frame(close.member)[0] == CLOSE
    assert ends_within(close.client, AT_ONCE) and ends_within(close.member, AT_ONCE)
    check_ended_by_client(server, close)

    lenient = old.pop("lenient")
    lenient.client.send(frame(TEXT, b"not masked"))
    assert read_frame(lenient.member) == (TEXT, b"not masked", True)
    lenient.close()
    assert not old

    for name, pair in new.items():
        check_echo(pair)
        pair.client.send(client_frame(TEXT, b"x" * 1001))
        assert read_frame(pair.member) == (TEXT, b"x" * 1001, True), name
    close_all(new.values())
    all_quiet(server)


def check_ended_by(server, pair, reason, pings=0):
    for _ in range(pings):
        read_ping(pair.client, "client")
    payload = read_frame(pair.client)
    assert payload[0] == CLOSE and payload[1][:2] == close_payload(1001), (reason, payload)
    pair.close()
    check_ended(server, pair.port, reason, 1001)


def check_more_pings(server, pair):
    """In the carrier, whose pongs the member does not see."""
    for _ in range(3):
        answer_ping(pair.client, "client")
    check_echo_between_pings(pair)
    pair.close()
    assert line_of(server, pair.port)["pings_to_client"] >= 3


def check_echo_between_pings(pair):
    pair.client.send(client_frame(TEXT, b"question"))
    assert read_frame(pair.member) == (TEXT, b"question", True)
    pair.member.send(frame(TEXT, b"answer"))
    found = read_frame(pair.client)
    while found[0] == PING:
        found = read_frame(pair.client)
    assert found == (TEXT, b"answer", True)


def check_ended_by_client(server, pair):
    line = line_of(server, pair.port)
    assert (line["reason"], line["close_code"], line["closer"]) == ("client-close", 1000, "client")
    pair.close()


# -- Counters -------------------------------------------------------------------------------------

def balancer(*lines):
    members = "\n".join(lines)
    return f"""
{ROOM}
{LOG}
<Proxy balancer://pool>
{members}
</Proxy>
ProxyPass /pool/ balancer://pool/ stickysession=to scolonpathdelim=on
<Location /manager>
  SetHandler balancer-manager
</Location>
"""


@pytest.fixture
def second():
    with RawMember() as found:
        yield found


def member_figures(server):
    """{port of a member: its figures} of the members of server-status."""
    found = {}
    status = server.status()
    for key, value in status.items():
        if match := re.fullmatch(r"(WSBalanceMember\[\d+\])Name", key):
            prefix = match[1]
            figures = {name[len(prefix):]: text for name, text in status.items()
                       if name.startswith(prefix)}
            if port := re.search(r":(\d+)", value):
                found[int(port[1])] = figures
    return found


def busy_of(server, port):
    """Of a member, as balancer-manager shows it."""
    client = connect(server.port)
    client.send(get_request("/manager", add=[
        ("Connection", "close"), ("Referer", "http://localhost/manager")]))
    text = client.read_until_eof().decode()
    client.close()
    row = re.search(rf">ws://127\.0\.0\.1:{port}</a></td>(.*?)</tr>", text, re.DOTALL)
    cells = re.findall(r"<td>(.*?)</td>", row[1])
    return int(cells[6])  # Behind route, redirect, factor, set, status, elected.


@event_only
@plain_only
def test_counters_and_members(start_once, member, second):
    """Members are known by name over a reload that adds one and puts it first: open tunnels, those
    opened, bytes and messages, ends; and busy, which balancer-manager shows."""
    first_line = f"BalancerMember ws://127.0.0.1:{member.port} route=a"
    second_line = f"BalancerMember ws://127.0.0.1:{second.port} route=b"
    server = start_once(balancer(first_line), workers=8)
    pairs = [open_pair(server, member, "/pool/") for _ in range(3)]
    check_echo(pairs[0])
    wait_until(lambda: busy_of(server, member.port) == 3, 5, "busy: 3")
    server.graceful(balancer(second_line, first_line))
    wait_for_carried(server, len(pairs))
    wait_until(lambda: busy_of(server, member.port) == 3, 5, "busy: 3 again")
    assert busy_of(server, second.port) == 0

    check_echo(pairs[1])
    pairs_of_second = [open_pair(server, second, "/pool/;to=.b") for _ in range(2)]
    check_echoes(pairs_of_second)
    expect_tunnels(server, {member.port: ("3", "3"), second.port: ("2", "2")})
    wait_until(lambda: busy_of(server, second.port) == 2, 5, "busy: 2")

    end_by_client(pairs[0])
    pairs[1].client.send(client_frame(CLOSE, close_payload(1000)))
    assert read_frame(pairs[1].member)[0] == CLOSE
    pairs[1].close()
    pairs_of_second[0].close()
    expect_tunnels(server, {member.port: ("1", "3"), second.port: ("1", "2")})
    wait_until(lambda: (busy_of(server, member.port), busy_of(server, second.port)) == (1, 1), 5,
               "busy: 1 and 1")
    figures = member_figures(server)[member.port]
    assert figures["MessagesToMember"] == figures["MessagesToClient"] == "2"
    assert int(figures["BytesToMember"]) > 2 * len("question")
    assert (figures["Ended[client-eof]"], figures["Ended[client-close]"]) == ("1", "1")
    assert number(server, "WSBalanceEnded[client-close]") == 1
    assert (number(server, "WSBalanceTunnels"), number(server, "WSBalanceCarrierTunnels")) == (2, 1)
    server.graceful(balancer(second_line))  # The carrier's member has gone.
    check_echo(pairs[2])
    assert member_figures(server)[member.port]["Configured"] == "0"
    wait_until(lambda: busy_of(server, second.port) == 1, 5, "busy: 1 of a carrier")
    close_all([pairs[2], pairs_of_second[1]])
    all_quiet(server)
    wait_until(lambda: busy_of(server, second.port) == 0, 5, "busy: 0")


def expect_tunnels(server, expected):
    def is_so():
        found = member_figures(server)
        return {port: (found[port]["Tunnels"], found[port]["Opened"]) for port in expected
                if port in found} == expected

    try:
        wait_until(is_so, 5, "the figures")
    except AssertionError as error:
        raise AssertionError(f"{member_figures(server)} but {expected} was expected") from error
