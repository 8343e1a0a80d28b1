"""A handshake moves to another member of its balancer before the client has seen anything."""

import json

import pytest

import h2_peer
import httpd_config
from certificates import certificates
from counters import check_adds_up, check_busy, check_figures, member_figures
from http_message import answer, read_response, switching, upgrade_request
from ours import all_quiet
from players import (REFUSAL, Player, close, hang, refusing_urls, saying, switch,
                     wrongly_certified)
from ports import free_ports, refusing_port
from raw_peer import connect
from transport import MEMBER_LINES, SESSION_CACHE
from waiting import SLOWNESS, wait_until
from ws_peer import connected

pytestmark = [pytest.mark.transports("plain"),
              pytest.mark.parametrize("mpm", ["event"], indirect=True)]

TRIED, FAILED = "WSB0521", "WSB0522"
# What mod_proxy says of members that are not reached.
OF_PROXY = ("AH00957", "AH00959", "AH01114", "AH01084", "AH00898", "AH01961", "AH02039", "AH02004",
            "AH02003")
NO_NAME = "no-such-host.invalid"
# For members that hang; the others are never as slow as that.
SHORT = f"WSBalanceHandshakeTimeout {int(800 * SLOWNESS)}ms\n"


def url(member, path=""):
    return f"ws://127.0.0.1:{getattr(member, 'port', member)}{path}"


def balancer(name, *members, lines=""):
    """A balancer at /name/ whose members are asked one after the other: each in a set of its own,
    unless it says otherwise."""
    listed = "\n".join(
        f"  BalancerMember {member}" + ("" if "lbset" in member else f" lbset={number}")
        for number, member in enumerate(members))
    return f"""
<Proxy balancer://{name}>
{listed}
{lines}
</Proxy>
ProxyPass /{name}/ balancer://{name}/
"""


COMMON = """
ProxyStatus On
WSBalanceCloseTimeout 500ms
Header always set X-Attempts expr=%{env:WSBALANCE_ATTEMPTS}
Header always set X-Worker expr=%{env:BALANCER_WORKER_NAME}
"""


def ask(server, path, **options):
    """The answer to a handshake, and the raw client."""
    client = connect(server.port)
    client.send(upgrade_request(path, **options))
    return read_response(client), client


def status_of(server, path, **options):
    response, client = ask(server, path, **options)
    client.close()
    return response.head.status


def state(server, name):
    """mod_proxy's words about a member."""
    status = server.status()
    found = [key for key, value in status.items()
             if key.startswith("ProxyBalancer") and key.endswith("Name") and value == name]
    assert len(found) == 1, f"{name}: {found}"
    return status[found[0][:-len("Name")] + "Status"]


def check_state(server, name, is_in_error):
    assert ("Err" in state(server, name)) == is_in_error, state(server, name)


def lines(server, number):
    return server.log.matching(number)


# -- What moves a handshake on --------------------------------------------------------------------

BAD_101 = switching("AQIDBAUGBwgJCgsMDQ4PEA==")

# What a member does: what the log says, and whether it is in error after that.
KINDS = {
    "refused": ("unreachable", True),
    "unknown": ("name not found", True),
    "tls": ("no TLS: ", True),
    "closes": ("closed the connection: WSB0121", True),
    "hangs": ("no answer in time", False),
    "bad-101": ("no valid answer: WSB0145", False),
    "no-http": ("no valid answer: WSB0122", False),
    "says-502": ("answered 502", False),
    "says-503": ("answered 503", False),
    "says-504": ("answered 504", False),
}


@pytest.fixture(scope="module", name="players")
def all_players():
    acts = {"closes": close, "hangs": hang, "bad-101": saying(BAD_101),
            "no-http": saying(b"hello\r\n\r\n"), "says-502": saying(answer(502)),
            "says-503": saying(REFUSAL), "says-504": saying(answer(504))}
    players = {name: Player(act) for name, act in acts.items()}
    yield players
    for player in players.values():
        player.__exit__()


@pytest.fixture(scope="module", name="names")
def names_of_bad_members(players):
    """{what it does: the name of the member}."""
    with wrongly_certified() as port:
        yield {"refused": url(refusing_port()), "unknown": f"ws://{NO_NAME}:3000",
               "tls": f"wss://127.0.0.1:{port}",
               **{name: url(player) for name, player in players.items()}}


@pytest.fixture(scope="module", name="server")
def server_of_all(start_httpd, names, echo_member):
    def conf(kind):
        lines = "WSBalanceTries 3 100\n"
        if kind == "hangs":
            lines += SHORT
        return balancer(kind, f"{names[kind]} retry=600", url(echo_member, f"/of-{kind}"),
                        lines=lines)

    tls = SESSION_CACHE + MEMBER_LINES.format(authority=certificates().authority)
    return start_httpd(tls + COMMON + "".join(map(conf, names)),
                       modules=httpd_config.default_modules(add=["socache_shmcb", "ssl"]))


@pytest.mark.parametrize("kind", KINDS)
def test_the_next_member_takes_it(server, names, players, echo_member, kind):
    """The client notices nothing; what happened stands in one line; who is down is not asked again
    and who is not is not punished; no count stays."""
    server.allow_log(*OF_PROXY, NO_NAME)
    text, is_in_error = KINDS[kind]
    with connected(server, f"/{kind}/a%20b?x=%2F", extra_headers={"X-Own": "1"}) as client:
        assert client.headers["X-Attempts"] == "2"
        assert client.headers["X-Worker"].endswith(f"/of-{kind}")
        assert client.ask("path") == f"/of-{kind}/a%20b?x=%2F"
        fields = json.loads(client.ask("headers"))
        found = [name.lower() for name, _ in fields]
        assert len(found) == len(set(found)), f"a field stands twice: {fields}"
        assert dict(fields)["X-Forwarded-For"] == "127.0.0.1" and dict(fields)["X-Own"] == "1"
        check_figures(server, names[kind], f"balancer://{kind}", Tunnels=0, HandshakesFailed=1)
    line, = lines(server, TRIED)
    assert f"{names[kind]} {text}" in line and f"/of-{kind} switched (" in line, line
    assert not lines(server, FAILED)
    check_state(server, names[kind], is_in_error)
    if kind in players:
        assert len(players[kind].asked) == 1
    with connected(server, f"/{kind}/again") as client:
        assert client.headers["X-Attempts"] == ("1" if is_in_error else "2")
    all_quiet(server)
    for name in (names[kind], url(echo_member, f"/of-{kind}")):
        check_busy(server, name, 0)
    check_adds_up(server)


@pytest.mark.parametrize("status", [400, 403, 404, 426, 429, 500, 501, 505])
def test_another_answer_is_the_answer(start_once, status):
    """It goes to the client, and no other member is asked."""
    with Player(saying(answer(status, b"no"))) as first, Player(switch) as second:
        server = start_once(COMMON + balancer("b", url(first), url(second)))
        response, client = ask(server, "/b/x")
        assert response.head.status == status and response.body == b"no"
        assert response.head.get("X-Attempts") == "1"
        client.close()
        assert len(first.asked) == 1 and not second.asked
        assert not lines(server, TRIED) and not lines(server, FAILED)
        check_state(server, url(first), False)


def test_which_answers_can_be_said(start_once):
    """`WSBalanceRetryOn`."""
    with Player(saying(answer(403))) as forbids, Player(saying(REFUSAL)) as refuses, \
            Player(switch) as takes:
        server = start_once(COMMON
                            + balancer("none", url(refuses), url(takes),
                                       lines="WSBalanceRetryOn none")
                            + balancer("own", url(forbids, "/o"), url(takes, "/o"),
                                       lines="WSBalanceRetryOn 403 404")
                            + balancer("own-503", url(refuses, "/p"), url(takes, "/p"),
                                       lines="WSBalanceRetryOn 403"))
        assert status_of(server, "/none/x") == 503
        assert status_of(server, "/own-503/x") == 503
        assert not takes.asked
        assert status_of(server, "/own/x") == 101
        assert len(takes.asked) == 1


# -- Whom nothing is held against -----------------------------------------------------------------

def test_one_url_that_always_answers_503(start_once):
    """The last answer goes to the client whole, and every member goes on to serve other URLs."""
    with Player(refusing_urls) as one, Player(refusing_urls) as two:
        server = start_once(COMMON + balancer("b", url(one) + " retry=600 lbset=0",
                                              url(two) + " retry=600 lbset=0"))
        for _ in range(4):
            response, client = ask(server, "/b/bad")
            assert response.head.status == 503 and response.body == b"come back later"
            assert response.head.get("X-Member") == "it"
            assert response.head.all("Retry-After") == ["77"]
            assert response.head.get("X-Attempts") == "2"
            client.close()
        assert len(one.asked) == len(two.asked) == 4
        server.expect_log(FAILED, level="error")
        found = lines(server, FAILED)
        assert len(found) == 4 and "no other member is left" in found[0]
        for player in (one, two):
            check_state(server, url(player), False)
            check_busy(server, url(player), 0)
        open_clients = [ask(server, "/b/good") for _ in range(4)]
        assert [response.head.status for response, _ in open_clients] == [101] * 4
        assert len(one.asked) == len(two.asked) == 6
        for _, client in open_clients:
            client.close()


def test_what_an_administrator_wants_punished(start_once):
    """`failonstatus` and `failontimeout` are for the member that did it, whichever comes after it;
    `status=+I` is never in error."""
    with Player(saying(REFUSAL)) as refuses, Player(hang) as hangs, Player(close) as closes, \
            Player(switch) as takes:
        server = start_once(COMMON + SHORT + balancer(
            "b", url(refuses) + " retry=600", url(hangs) + " retry=600",
            url(closes) + " retry=600 status=+I", url(takes),
            lines="WSBalanceTries 4\nProxySet failonstatus=503,504 failontimeout=On"))
        server.expect_log("AH01174", "AH02460", level="error")
        assert status_of(server, "/b/x") == 101
        wait_until(lambda: lines(server, TRIED), what="the line")
        for player in (refuses, hangs, closes, takes):
            check_state(server, url(player), player in (refuses, hangs))
        assert len(lines(server, "AH01174")) == len(lines(server, "AH02460")) == 1


def test_the_answer_is_held_against_who_gave_it(start_once):
    """Not against the member that mod_proxy had chosen."""
    with Player(saying(BAD_101)) as first, Player(saying(answer(404))) as second:
        server = start_once(COMMON + balancer("b", url(first), url(second),
                                              lines="ProxySet failonstatus=404"))
        server.expect_log("AH01174", level="error")
        assert status_of(server, "/b/x") == 404
        all_quiet(server)
        check_state(server, url(first), False)
        check_state(server, url(second), True)
        assert len(lines(server, "AH01174")) == 1


def test_a_timeout_is_no_status(start_once):
    """`failonstatus=504` is for members that say so."""
    with Player(hang) as hangs, Player(switch) as takes:
        server = start_once(COMMON + SHORT + balancer(
            "b", url(hangs), url(takes), lines="ProxySet failonstatus=504"))
        assert status_of(server, "/b/x") == 101
        check_state(server, url(hangs), False)


def test_the_access_log(start_once):
    """S1-36, S1-38: which member it was in the end, at the time of the 101, and how many were
    asked."""
    with Player(saying(REFUSAL)) as one, Player(switch) as two:
        server = start_once(COMMON + balancer("b", url(one), url(two)) + 'CustomLog members.log '
                            '"%>s %{BALANCER_NAME}e %{BALANCER_WORKER_NAME}e %{WSBALANCE_MEMBER}e '
                            '%{WSBALANCE_ATTEMPTS}e"\n')
        response, client = ask(server, "/b/x")
        assert response.head.status == 101
        log = server.directory / "members.log"
        line = f"101 balancer://b {url(two)} {url(two)} 2\n"
        wait_until(lambda: line in log.read_text(), what="the line")
        wait_until(lambda: server.tunnels() == 1, what="the tunnel, which is still open")
        client.close()
        all_quiet(server)


# -- How far it goes ------------------------------------------------------------------------------

@pytest.mark.parametrize("line,tries", [
    ("", 3), ("WSBalanceTries 2", 2), ("WSBalanceTries 1", 1), ("WSBalanceTries 5 1h", 5),
    ("ProxySet maxattempts=1", 2), ("ProxySet maxattempts=3", 4), ("ProxySet maxattempts=0", 1),
    ("ProxySet maxattempts=4\nWSBalanceTries 2", 2)])
def test_the_number_of_tries(start_once, line, tries):
    """Three where nothing is said, whatever mod_proxy makes of that itself; the last answer goes to
    the client."""
    with Player(saying(REFUSAL)) as refuses:
        server = start_once(COMMON + balancer(
            "b", *[url(refuses, f"/{number}") for number in range(6)], lines=line))
        server.allow_log(FAILED)
        response, client = ask(server, "/b/x")
        client.close()
        assert response.head.status == 503 and response.head.get("X-Attempts") == str(tries)
        assert [head.start_line for head in refuses.asked] == [
            f"GET /{number}/x HTTP/1.1" for number in range(tries)]
        assert len(lines(server, FAILED)) == (0 if tries == 1 else 1)


def test_the_time_of_all_tries(start_once):
    """The last one has what is left of it. Its member is not to blame for that."""
    with Player(hang) as one, Player(hang) as two, Player(switch) as three:
        server = start_once(COMMON + "WSBalanceHandshakeTimeout 600ms\n" + balancer(
            "b", url(one), url(two), url(three), lines="WSBalanceTries 9 1s"))
        server.expect_log(FAILED, level="error")
        response, client = ask(server, "/b/x")
        client.close()
        assert response.head.status == 504
        assert one.asked and not three.asked
        assert "no other member" not in lines(server, FAILED)[0]


def test_nobody_is_left(start_once):
    """503 with Retry-After, also when mod_proxy_balancer finds nobody by itself."""
    server = start_once(COMMON + balancer(
        "b", *[url(refusing_port()) + " retry=600" for _ in range(2)],
        lines="ProxySet forcerecovery=Off"))
    server.expect_log(FAILED, "AH01170", level="error")
    server.allow_log(*OF_PROXY)
    for _ in range(2):
        response, client = ask(server, "/b/x")
        client.close()
        assert response.head.status == 503 and int(response.head.get("Retry-After")) > 0
    assert len(lines(server, FAILED)) == len(lines(server, "AH01170")) == 1
    all_quiet(server)
    assert server.handshakes() == 0


def test_a_client_that_goes_away_ends_it(start_once):
    with Player(hang) as one, Player(switch) as two:
        server = start_once(COMMON + balancer("b", url(one), url(two)))
        client = connect(server.port)
        client.send(upgrade_request("/b/x"))
        wait_until(lambda: one.asked, what="the member to be asked")
        client.close()
        all_quiet(server)
        assert not two.asked and server.handshakes() == 0
        check_state(server, url(one), False)
        assert len(lines(server, "WSB0225")) == 1
        assert member_figures(server, url(one), "balancer://b")["HandshakesFailed"] == 0


# -- Which member is next -------------------------------------------------------------------------

@pytest.mark.parametrize("method", ["byrequests", "bybusyness", "bytraffic"])
def test_spares_and_standbys(start_once, method):
    """A spare for each member that fails in its set, a hot standby when nobody else is left, those
    that are stopped never."""
    acts = {"one": [503], "two": [503], "spare": [503], "standby": [503], "stopped": [503]}

    def act_of(name):
        return lambda connection, head: (saying(REFUSAL) if acts[name][0] == 503 else switch)(
            connection, head)

    players = {name: Player(act_of(name)) for name in acts}
    try:
        extra = {"spare": "status=+R", "standby": "status=+H", "stopped": "status=+S"}
        server = start_once(COMMON + balancer(
            "b", *[f"{url(player)} lbset={int(name == 'stopped')} {extra.get(name, '')}"
                   for name, player in players.items()],
            lines=f"WSBalanceTries 9\nProxySet lbmethod={method}"),
            modules=httpd_config.default_modules(
                add=["lbmethod_bybusyness", "lbmethod_bytraffic"]))
        server.allow_log(FAILED)

        def asked():
            """Who was asked by one more handshake."""
            for player in players.values():
                player.asked.clear()
            status = status_of(server, "/b/x")
            return status, {name for name, player in players.items() if player.asked}

        assert asked() == (503, {"one", "two", "spare", "standby"})
        acts["standby"][0] = 101
        assert asked() == (101, {"one", "two", "spare", "standby"})
        acts["spare"][0] = 101
        status, names = asked()
        assert status == 101 and "spare" in names and "standby" not in names
        acts["spare"][0] = 503
        acts["one"][0] = acts["two"][0] = 101
        status, names = asked()
        assert status == 101 and len(names) == 1 and names < {"one", "two"}
        for player in players.values():
            check_busy(server, url(player), 0)
    finally:
        for player in players.values():
            player.__exit__()


def test_sessions(start_once):
    """`nofailover`: a session stays with its member, others move on; `redirect` helps it."""
    with Player(saying(REFUSAL)) as one, Player(switch) as two:
        def members(path, more=""):
            return (f"{url(one, path)} route=a {more}", f"{url(two, path)} route=b")
        sticky = "ProxySet stickysession=route"
        server = start_once(COMMON
                            + balancer("strict", *members("/s"), lines=sticky + " nofailover=On")
                            + balancer("moved", *members("/m", "redirect=b"),
                                       lines=sticky + " nofailover=On")
                            + balancer("loose", *members("/l"), lines=sticky))
        server.allow_log(FAILED)
        assert status_of(server, "/strict/x?route=.a") == 503
        assert not two.asked
        for path in ("/strict/x", "/strict/x?route=.unknown", "/loose/x?route=.a",
                     "/moved/x?route=.a", "/strict/x?route=.b"):
            assert status_of(server, path) == 101, path
        assert len(two.asked) == 5 and len(one.asked) == 5


def test_many_balancers(start_once):
    """More than mod_proxy first has room for, and the hosts that inherit them."""
    with Player(saying(REFUSAL)) as one, Player(switch) as two:
        names = [f"b{number}" for number in range(25)]
        ports = free_ports(2)
        server = start_once(COMMON + "".join(
            balancer(name, url(one, f"/{name}"), url(two, f"/{name}")) for name in names)
            + f"<VirtualHost *:{ports[1]}>\n  BalancerInherit On\n</VirtualHost>", listen=ports)
        for name in (names[0], names[12], names[-1]):
            for port in ports:
                with connect(port) as client:
                    client.send(upgrade_request(f"/{name}/x"))
                    head = read_response(client).head
                assert head.status == 101 and head.get("X-Worker") == url(two, f"/{name}")
            check_figures(server, url(two, f"/{name}"), f"balancer://{name}", Opened=2)
        all_quiet(server)


@h2_peer.needs_websockets
def test_http2(start_once):
    """A stream, which holds a thread, moves on too; and its tunnel is counted once."""
    with Player(saying(REFUSAL)) as one, Player(switch) as two:
        server = start_once("H2WebSockets on\nProtocols h2c http/1.1\nProxyStatus On\n"
                            + balancer("b", url(one), url(two)),
                            modules=httpd_config.default_modules(add=["http2"]))
        with h2_peer.connect(server.port) as connection:
            stream = connection.start_websocket("/b/x")
            wait_until(lambda: server.tunnels() == 1, what="the tunnel to open")
            assert len(lines(server, TRIED)) == 1
            check_busy(server, url(one), 0)
            check_busy(server, url(two), 1)
            stream.reset()
        all_quiet(server)
        check_busy(server, url(two), 0)
