"""WSBalanceLog: a line for each tunnel that has ended, in a file or a program, and what becomes of
tunnels whose log takes nothing. What the access log learns of a tunnel."""

import base64
import datetime
import hashlib
import json
import os

import pytest

import processes
from frames import BINARY, CLOSE, PING, TEXT, client_frame, close_payload, frame, read_frame
from http_message import answer, parse_head, read_response, switching, upgrade_request
from httpd_env import Httpd, StartError
from ours import all_quiet
from ports import free_ports
from proxy_frames import read_close
from raw_peer import connect
from tail import Tail
from tunnels import Pair, check_arrives, ended, open_many
from waiting import SLOWNESS, wait_until

event_only = pytest.mark.parametrize("mpm", ["event"], indirect=True)
each_side = pytest.mark.parametrize("side", ["client", "member"])

KEYS = [
    "time", "tunnel", "vhost", "client", "client_port", "user", "uri", "member", "route",
    "balancer", "client_transport", "member_transport", "pumped", "subprotocol", "handshake_ms",
    "duration_ms", "bytes_from_client", "frames_from_client", "messages_from_client",
    "bytes_from_member", "frames_from_member", "messages_from_member", "pings_to_client",
    "pings_to_member", "throttled", "violations_by_client", "violations_by_member", "close_code",
    "closer", "reason", "tls_truncated"]

HOSTS = ["main", "format", "off", "program", "same"]

USER, PASSWORD = 'al"i\\ce', "s3cret-password"


@pytest.fixture(scope="module")
def ports():
    return dict(zip(HOSTS, free_ports(len(HOSTS))))


@pytest.fixture(scope="module")
def server(start_httpd, transport, ports, shared_member, public_dir):
    url = transport.member_url("ws", shared_member.port)
    digest = base64.b64encode(hashlib.sha1(PASSWORD.encode()).digest()).decode()
    (public_dir / "users").write_text(f"{USER}:{{SHA}}{digest}\n")
    hosts = {
        "main": "ServerName localhost",
        "format": r'WSBalanceLog format.log "%{reason}x 100%% \"%{user}x\" %{uri}x"',
        "off": "WSBalanceLog OFF",
        "program": 'WSBalanceLog "|$cat >> program.log"',
        "same": "WSBalanceLog ./tunnels.json",
    }
    return start_httpd("WSBalanceLog tunnels.json\n" + "\n".join(f"""
<VirtualHost *:{ports[name]}>
  {lines}
  CustomLog env.log "%{{WSBALANCE_TUNNEL}}e %{{WSBALANCE_MEMBER}}e %{{WSBALANCE_ATTEMPTS}}e %>s"
  Header always set X-Tunnel "%{{WSBALANCE_TUNNEL}}e"
  <Proxy balancer://pool>
    BalancerMember {url.rstrip("/")} route=n1
  </Proxy>
  ProxyPass /raw/ {url}
  ProxyPass /pool/ balancer://pool/
  <Location /raw/private/>
    AuthType Basic
    AuthName private
    AuthBasicProvider file
    AuthUserFile {public_dir}/users
    Require valid-user
  </Location>
</VirtualHost>""" for name, lines in hosts.items()), listen=list(ports.values()))


def open_tunnel(server, member, port, path="/raw/", *, add=(), more=()):
    client = connect(port, server.transport)
    client.send(upgrade_request(path, add=add))
    connection = member.accept(client=client)
    head = parse_head(connection.read_head())
    connection.send(switching(head.get("Sec-WebSocket-Key"), add=more))
    pair = Pair(client, connection)
    pair.head = parse_head(client.read_head())
    assert pair.head.status == 101
    return pair


def close_by(pair, side, code=1000):
    """A closing handshake that this side begins, and the ends of both connections."""
    first, second = pair.side(side)
    build = {"client": client_frame, "member": frame}
    other = "member" if side == "client" else "client"
    first.send(build[side](CLOSE, close_payload(code)))
    assert read_frame(second)[0] == CLOSE
    second.send(build[other](CLOSE, close_payload(code)))
    assert read_frame(first)[0] == CLOSE
    pair.close()


# -- Lines ----------------------------------------------------------------------------------------

def test_a_line_of_json(server, ports, member, transport):
    """S2-08: one object with all keys, in their order; every value is that of the tunnel."""
    tail = Tail(server.directory / "tunnels.json")
    before = datetime.datetime.now(datetime.timezone.utc)
    pair = open_tunnel(server, member, ports["main"], "/raw/chat/room?token=SECRET",
                       add=[("Sec-WebSocket-Protocol", "v1.chat, v2.chat"),
                            ("Cookie", "session=SECRET"), ("X-Token", "SECRET")],
                       more=[("Sec-WebSocket-Protocol", "v2.chat"), ("Set-Cookie", "a=SECRET")])
    to_member = client_frame(TEXT, b"SECRET") * 3 + client_frame(PING, b"SECRET")
    to_client = frame(BINARY, os.urandom(70000)) + frame(TEXT, b"SECRET", fin=False)
    pair.client.send(to_member)
    check_arrives(pair.member, to_member)
    pair.member.send(to_client)
    check_arrives(pair.client, to_client)
    close = client_frame(CLOSE, close_payload(4321, b"SECRET"))
    pair.client.send(close)
    check_arrives(pair.member, close)
    pair.close()
    line = tail.line()
    assert "SECRET" not in line
    found = json.loads(line)
    assert list(found) == KEYS
    name = {True: "tls", False: "tcp"}
    expected = {
        "vhost": f"localhost:{ports['main']}", "client": "127.0.0.1", "client_port": pair.port,
        "user": None, "uri": "/raw/chat/room",
        "member": transport.member_url("ws", member.port), "route": None, "balancer": None,
        "client_transport": name[transport.client_tls],
        "member_transport": name[transport.member_tls], "pumped": False, "subprotocol": "v2.chat",
        "bytes_from_client": len(to_member + close), "frames_from_client": 5,
        "messages_from_client": 3, "bytes_from_member": len(to_client), "frames_from_member": 2,
        "messages_from_member": 1, "pings_to_client": 0, "pings_to_member": 0, "throttled": 0,
        "violations_by_client": 0, "violations_by_member": 0, "close_code": 4321,
        "closer": "client", "reason": "client-close"}
    assert {key: found[key] for key in expected} == expected
    assert 0 <= found["handshake_ms"] < 5000 * SLOWNESS
    assert 0 <= found["duration_ms"] < 5000 * SLOWNESS
    assert not found["tls_truncated"]
    time = datetime.datetime.strptime(found["time"], "%Y-%m-%dT%H:%M:%S.%fZ")
    time = time.replace(tzinfo=datetime.timezone.utc)
    assert -0.01 < (time - before).total_seconds() < 10 * SLOWNESS
    assert len(found["tunnel"]) == 16 and int(found["tunnel"], 16) >= 0
    end, = wait_until(lambda: ended(server), what="the line in the error log")
    assert (end.tunnel, end.closer) == (found["tunnel"], "client")


@each_side
def test_reasons(server, ports, member, side):
    """Who ended it and how: close frame, end of file, reset."""
    tail = Tail(server.directory / "tunnels.json")
    close_by(open_tunnel(server, member, ports["main"]), side, 1001)
    found = json.loads(tail.line())
    assert (found["reason"], found["close_code"], found["closer"]) == (f"{side}-close", 1001, side)

    tail = Tail(server.directory / "tunnels.json")
    first, second = (pair := open_tunnel(server, member, ports["main"])).side(side)
    first.end_sending()
    assert second.is_ended()
    pair.close()
    found = json.loads(tail.line())
    assert (found["reason"], found["close_code"], found["closer"]) == (f"{side}-eof", 0, None)

    tail = Tail(server.directory / "tunnels.json")
    first, second = (pair := open_tunnel(server, member, ports["main"])).side(side)
    first.reset()
    assert second.is_ended()
    pair.close()
    assert json.loads(tail.line())["reason"] == f"{side}-error"


@event_only
@pytest.mark.transports("tls")
def test_a_truncated_end(server, ports, member):
    tail = Tail(server.directory / "tunnels.json")
    pair = open_tunnel(server, member, ports["main"])
    pair.member.sock.cut()
    assert pair.client.is_ended()
    pair.close()
    assert json.loads(tail.line())["tls_truncated"] is True


@event_only
def test_member_of_a_balancer(server, ports, member, transport):
    tail = Tail(server.directory / "tunnels.json")
    close_by(open_tunnel(server, member, ports["main"], "/pool/x"), "client")
    found = json.loads(tail.line())
    assert (found["balancer"], found["route"]) == ("balancer://pool", "n1")
    assert found["member"] == transport.member_url("ws", member.port).rstrip("/")


@event_only
def test_what_a_client_chose_is_escaped(server, ports, member):
    """Quotes, control characters, bytes that are not UTF-8; and no parameters of paths."""
    user = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    path = "/raw/private/%22a%5C%0A%0Db%1B%C3%A9%FF;jsessionid=SECRET/c;v=1?d=SECRET"
    decoded = "/raw/private/\"a\\\n\rb\x1b\u00e9\ufffd/c"
    tail, formatted = (Tail(server.directory / name) for name in ("tunnels.json", "format.log"))
    for host in ("main", "format"):
        close_by(open_tunnel(server, member, ports[host], path,
                             add=[("Authorization", f"Basic {user}")]), "client")
    line = tail.line()
    found = json.loads(line)
    assert (found["user"], found["uri"]) == (USER, decoded)
    assert formatted.line() == ("client-close 100% \"al\\\"i\\\\ce\" /raw/private/"
                                "\\\"a\\\\\\n\\rb\\x1b\\xc3\\xa9\\xff/c")
    for text in (line, formatted.line()):
        assert "SECRET" not in text and PASSWORD not in text and user not in text
        assert text.isprintable()


def test_each_virtual_host_has_its_log(server, ports, member):
    """Its own replaces that of the main server; off is none; a program gets the same lines."""
    tails = {name: Tail(server.directory / name)
             for name in ("tunnels.json", "format.log", "program.log")}
    for host in ("format", "off", "program", "same", "main"):
        close_by(open_tunnel(server, member, ports[host]), "member")
    wait_until(lambda: len(ended(server)) == 5, what="5 lines in the error log")
    assert tails["format.log"].line() == "member-close 100% \"-\" /raw/"
    assert json.loads(tails["program.log"].line())["vhost"].endswith(f":{ports['program']}")
    # Under prefork two processes write them.
    hosts = {json.loads(line)["vhost"] for line in tails["tunnels.json"].lines(2)}
    assert hosts == {f"localhost:{ports['same']}", f"localhost:{ports['main']}"}


def test_a_file_of_several_hosts_is_open_once(server):
    path = str(server.directory / "tunnels.json")
    counts = {list(processes.open_descriptors(pid).values()).count(path)
              for pid in server.children() if "wsb-log" in thread_names(pid)}
    assert counts == {1}


def thread_names(pid):
    found = set()
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/comm", encoding="ascii", errors="replace") as file:
            found.add(file.read().strip())
    return found


# -- The access log -------------------------------------------------------------------------------

def test_the_access_log_has_the_tunnels_id(server, ports, member, transport):
    """The line of the 101 and that of the tunnel's end have the same id, and so has the client."""
    tail, env = (Tail(server.directory / name) for name in ("tunnels.json", "env.log"))
    url = transport.member_url("ws", member.port)
    pair = open_tunnel(server, member, ports["main"])
    tunnel, chosen, attempts, status = env.line().split()
    assert (chosen, attempts, status) == (url, "1", "101")
    assert pair.head.get("X-Tunnel") == tunnel
    close_by(pair, "client")
    assert json.loads(tail.line())["tunnel"] == tunnel


@event_only
def test_the_access_log_has_the_member_of_a_refusal(server, ports, member, transport):
    """Of an answer that the member gave, and of one that we gave for it; there is no tunnel."""
    url = transport.member_url("ws", member.port)
    server.expect_log("WSB0145")
    for sent, status in ((answer(403, b"no"), 403), (switching("AAAA"), 502)):
        env = Tail(server.directory / "env.log")
        client = connect(ports["main"], transport)
        client.send(upgrade_request("/raw/"))
        connection = member.accept(client=client)
        connection.read_head()
        connection.send(sent)
        assert read_response(client).status == status
        client.close()
        connection.close()
        assert env.line().split() == ["-", url, "1", str(status)]
    env = Tail(server.directory / "env.log")
    client = connect(ports["main"], transport)
    client.send(upgrade_request("/raw/", drop=["Sec-WebSocket-Key"]))
    assert read_response(client).status == 400
    assert env.line().split() == ["-", "-", "-", "400"]


def test_ids_are_of_one_tunnel_only(start_once, member, transport):
    """In all children, and after a restart."""
    conf = f"""
WSBalanceLog ids.log "%{{tunnel}}x"
ProxyPass /raw/ {transport.member_url('ws', member.port)}
"""
    server = start_once(conf, workers=24, children=3)
    for round_number in (1, 2):
        for _ in range(40):
            close_by(open_tunnel(server, member, server.port), "client")
        all_quiet(server)
        tail = Tail.whole(server.directory / "ids.log")
        assert len(set(tail.lines(40 * round_number))) == 40 * round_number
        if round_number == 1:
            server.graceful()


# -- Broken rules ---------------------------------------------------------------------------------

@event_only
@each_side
def test_a_broken_rule_is_told_once(start_once, member, transport, side):
    """RFC 6455 5.1: a client's frames are masked, a member's are not. The error log names the rule
    and the member once, the tunnel log counts."""
    url = transport.member_url('ws', member.port)
    server = start_once(f"""
WSBalanceFrames lenient
WSBalanceLog tunnels.json
ProxyPass /raw/ {url}
""")
    number, level = ("WSB0303", "info") if side == "client" else ("WSB0302", "warn")
    server.expect_log(number, level=level)
    wrong = {"client": frame, "member": client_frame}[side]
    for _ in range(3):
        pair = open_tunnel(server, member, server.port)
        sender, receiver = pair.side(side)
        data = wrong(TEXT, b"one") + wrong(TEXT, b"two")
        sender.send(data)
        check_arrives(receiver, data)
        close_by(pair, "client")
    lines = Tail.whole(server.directory / "tunnels.json").lines(3)
    other = "member" if side == "client" else "client"
    for line in map(json.loads, lines):
        assert (line[f"violations_by_{side}"], line[f"violations_by_{other}"]) == (2, 0)
    wait_until(lambda: len(ended(server)) == 3, what="3 lines in the error log")
    told, = server.log.matching(number)
    assert f"member {url} broke RFC 6455 5.1: " in told
    assert told.endswith("; further cases are counted in the tunnel log only")


# -- Logs that take nothing -----------------------------------------------------------------------

def echo_once(server, member, port=None):
    """A tunnel that carries something and ends."""
    pair = open_tunnel(server, member, port or server.port)
    pair.client.send(client_frame(TEXT, b"question"))
    assert read_frame(pair.member) == (TEXT, b"question", True)
    close_by(pair, "client")


@event_only
def test_a_full_disk_is_told_once(start_once, member, transport):
    """Tunnels go on, and the error log has their lines."""
    server = start_once(f"""
WSBalanceLog /dev/full
ProxyPass /raw/ {transport.member_url('ws', member.port)}
""")
    server.expect_log("WSB0305", level="error")
    for _ in range(5):
        echo_once(server, member)
    wait_until(lambda: len(ended(server)) == 5, what="5 lines in the error log")
    line, = server.log.matching("WSB0305")
    assert "No space left" in line and "/dev/full" in line
    assert not server.log.matching("WSB0304")


def test_a_program_that_never_reads(start_once, member, echo_member, transport):
    """S0-02: it costs lines, which the error log counts, once a second at most. Tunnels begin, carry
    and end as ever, the other host's log goes on, and the stop takes no longer."""
    other, = free_ports(1)
    server = start_once(f"""
WSBalanceLog "|exec sleep 1000" "{'x' * 3000} %{{tunnel}}x"
WSBalanceMaxHandshakes 0
ProxyPass /raw/ {transport.member_url('ws', member.port)}
ProxyPass /echo/ {transport.member_url('ws', echo_member.port)}
Listen 127.0.0.1:{other}
<VirtualHost *:{other}>
  WSBalanceLog other.json
</VirtualHost>
""".replace('"|exec', '"|$exec'))
    server.allow_log("WSB0304")
    for client in open_many(server, "/echo/", 40):
        client.close()
    wait_until(lambda: server.log.matching("WSB0304"), 10, "the line that tells of lost lines")
    assert "lines of the tunnel log lost" in server.log.matching("WSB0304")[0]
    for _ in range(3):
        echo_once(server, member)
    tail = Tail(server.directory / "other.json")
    echo_once(server, member, other)
    tail.line()
    wait_until(lambda: len(ended(server)) == 44, 10, "44 lines in the error log")
    pair = open_tunnel(server, member, server.port)
    wait_until(lambda: server.tunnels() == 1, what="the relay to have it")
    server.stop()
    assert server.stop_seconds < 5 * SLOWNESS
    read_close(pair.client, "client", b"going away")
    assert pair.client.is_ended()
    pair.close()


def test_what_waits_is_written_at_a_stop(start_once, echo_member, transport):
    server = start_once(f"""
WSBalanceLog tunnels.json
WSBalanceMaxHandshakes 0
ProxyPass /echo/ {transport.member_url('ws', echo_member.port)}
""")
    clients = open_many(server, "/echo/", 60)
    for client in clients:
        client.close()
    wait_until(lambda: server.tunnels() == 0, what="all tunnels to end")
    server.stop()
    lines = (server.directory / "tunnels.json").read_text().splitlines()
    assert len(lines) == 60 and all(json.loads(line) for line in lines)


@event_only
def test_a_program_that_ends_is_started_again(start_once, member, transport):
    server = start_once(f"""
WSBalanceLog "|$head -n 1 >> program.log" "%{{tunnel}}x"
ProxyPass /raw/ {transport.member_url('ws', member.port)}
""")
    server.allow_log("AH00106", "AH00107")
    tail = Tail(server.directory / "program.log")
    echo_once(server, member)
    first = tail.line()
    # httpd looks after its programs once a second.
    wait_until(lambda: server.log.matching("AH00106|AH00107"), what="httpd to notice its end")
    echo_once(server, member)
    assert tail.lines(2)[0] == first


# -- Start ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("target,number", [("/tmp", "WSB0307"),
                                           ("|/missing/program", "WSB0308")])
def test_a_log_that_cannot_be_opened_stops_the_start(target, number):
    server = Httpd("event", f'WSBalanceLog "{target}"')
    try:
        with pytest.raises(StartError, match=number):
            server.start()
    finally:
        server.stop()
        server.remove()


@pytest.mark.parametrize("line,words", [
    ('WSBalanceLog x "%{query}x"', "there is no %{query}x, only: time tunnel vhost client "),
    ('WSBalanceLog x "%h"', "'%h' is neither %{name}x nor %%"),
    ('WSBalanceLog off "%{time}x"', "WSBalanceLog off takes no format"),
    ('WSBalanceLog "|"', "is neither a file nor |program"),
    ("WSBalanceLog missing/x.json", "missing/, for the log 'missing/x.json'"),
    ("<Location />\nWSBalanceLog x\n</Location>", "WSBalanceLog not allowed")])
def test_a_mistake_is_told_in_words(line, words):
    server = Httpd("event", line)
    try:
        code, said = server.check_config()
        assert code != 0 and words in said, said
    finally:
        server.remove()


# -- What the status page counts ------------------------------------------------------------------

@event_only
@each_side
def test_ends_are_counted(server, ports, member, side):
    def counts():
        status = server.status()
        return {key: int(value) for key, value in status.items()
                if key.startswith(("WSBalanceEnded[", "WSBalanceViolations"))}

    before = counts()
    pair = open_tunnel(server, member, ports["main"])
    close_by(pair, side)
    expected = before | {f"WSBalanceEnded[{side}-close]": before[f"WSBalanceEnded[{side}-close]"] + 1}
    wait_until(lambda: counts() == expected, what="the tunnel among those that ended")
    broken = open_tunnel(server, member, ports["main"])
    broken.client.send(frame(TEXT, b"not masked"))
    assert read_frame(broken.client)[:2] == (CLOSE, close_payload(1002, b"protocol error"))
    broken.close()
    expected["WSBalanceEnded[protocol-client]"] += 1
    expected["WSBalanceViolations"] += 1
    wait_until(lambda: counts() == expected, what="the tunnel among those that ended")
    all_quiet(server)
