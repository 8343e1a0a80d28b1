"""The lines of a carrier's tunnels stand, whole, in the logs that the server has open now: after a
rotation, with programs, with a virtual host's own, without the module in between."""

import contextlib
import json
import os
import signal

import pytest

import processes
from carrying import (LOG, ROOM, check_all_going_away, check_echoes, close_all, end_by_client, move,
                      number, pairs_in_carrier_and_child, titles, wait_for_carried,
                      wait_for_no_carrier)
from http_message import get_request
from httpd_config import apxs, default_modules
from ours import all_quiet
from raw_peer import connect
from transport import under
from tunnels import carriers, ended, in_thread, open_pair
from waiting import wait_until


@pytest.fixture(scope="module")
def routes(transport, shared_member):
    return f"ProxyPass /raw/ {transport.member_url('ws', shared_member.port)}\n"


def json_lines(path):
    """The whole lines of a tunnel log, by the client's port; each is JSON."""
    if not path.exists():
        return {}
    text = path.read_text(encoding="utf-8").rpartition("\n")[0]
    found = [json.loads(line) for line in text.splitlines()]
    lines = {line["client_port"]: line for line in found}
    assert len(lines) == len(found), "two lines of one tunnel"
    return lines


def error_lines(path, port):
    """The lines of the end of this tunnel in an error log."""
    if not path.exists():
        return []
    return [line for line in path.read_text(encoding="utf-8").splitlines()
            if f"WSB0301: tunnel ended: client=127.0.0.1:{port} " in line]


def check_line_in(path, pair):
    """Closes the tunnel; its line comes to this tunnel log."""
    pair.close()
    line = wait_until(lambda: json_lines(path).get(pair.port), 10, f"a line in {path.name}")
    assert line["reason"].endswith(("-eof", "-error"))


def check_error_line_in(path, pair):
    found = wait_until(lambda: error_lines(path, pair.port), 10, f"a line in {path.name}")
    assert len(found) == 1


@under("event-plain", "prefork-tls")
def test_rotated_files(start_once, routes, member):
    """As logrotate does it: rename, reload. A carrier from before that and one from before another
    reload both write to the new files, and nobody to the old ones."""
    server = start_once(ROOM + LOG + routes, workers=6)
    pairs = [open_pair(server, member) for _ in range(4)]
    server.graceful()
    wait_for_carried(server, 4)
    pairs += [open_pair(server, member) for _ in range(2)]
    tunnels, errors = server.directory / "tunnels.json", server.directory / "error.log"
    check_line_in(tunnels, pairs[0])
    check_error_line_in(errors, pairs.pop(0))
    old = server.directory / "error.log.1", server.directory / "tunnels.json.1"
    server.log.rename(errors, old[0])
    tunnels.rename(old[1])
    server.graceful()
    wait_for_carried(server, len(pairs))
    before = [path.read_bytes() for path in old]
    for pair in pairs:
        check_line_in(tunnels, pair)
        check_error_line_in(errors, pair)
    assert not [pair for pair in pairs if error_lines(old[0], pair.port)]
    assert old[1].read_bytes() == before[1]
    wait_for_no_carrier(server)


@under("event-plain")
def test_a_child_that_lingers(start_once, routes, member):
    """A slow request holds a child of the old generation, and the old files with it: no line of a
    carrier goes there."""
    server = start_once(ROOM + LOG + routes + f"ProxyPass /slow http://127.0.0.1:{member.port}/\n",
                        workers=8)
    pairs = [open_pair(server, member) for _ in range(20)]
    server.graceful()
    wait_for_carried(server, len(pairs))
    request = connect(server.port)
    request.send(get_request("/slow"))
    answering = member.accept()
    answering.read_head()
    held, = carriers(server, {request.sock.getsockname()[1]})
    logs = [server.directory / name for name in ("error.log", "tunnels.json")]
    old = [path.with_suffix(".old") for path in logs]
    server.log.rename(logs[0], old[0])
    logs[1].rename(old[1])
    server.graceful()
    for pair in pairs:
        check_line_in(logs[1], pair)
        check_error_line_in(logs[0], pair)
    assert processes.is_alive(held)
    answering.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert request.read_head().startswith(b"HTTP/1.1 200")
    answering.close()
    request.close()
    wait_for_no_carrier(server)


def programs(server):
    """The rotatelogs of a server: {pid: its file}."""
    found = {}
    for pid in server.children():
        with contextlib.suppress(OSError):
            if "rotatelogs" in processes.title(pid):
                found[pid] = processes.title(pid)
    return found


def check_line_in_one(directory, pair):
    """The same where the name of the file is rotatelogs'."""
    pair.close()
    wait_until(lambda: any(pair.port in json_lines(path) for path in directory.glob("tunnels.*")),
               what="a line in the tunnel log")


@under("event-plain", "prefork-plain")
def test_rotatelogs(start_once, routes, member, public_dir):
    """Programs of the old generation end at the reload; lines go to those of the new one."""
    rotatelogs = os.path.join(apxs("BINDIR"), "rotatelogs")
    errors, tunnels = public_dir / "errors.%Y", public_dir / "tunnels.%Y"
    for path in public_dir.glob("*.2*"):
        path.unlink()
    server = start_once(f"""
{ROOM}
ErrorLog "|{rotatelogs} {errors} 86400"
WSBalanceLog "|{rotatelogs} {tunnels} 86400"
{routes}""", workers=6)
    pairs = [open_pair(server, member) for _ in range(3)]
    old = wait_until(lambda: len(programs(server)) == 2 and programs(server), what="two programs")
    server.graceful()
    wait_for_carried(server, 3)
    check_line_in_one(public_dir, pairs[0])
    errors, tunnels = [next(public_dir.glob(f"{name}.2*")) for name in ("errors", "tunnels")]
    server.log.add(errors)
    check_error_line_in(errors, pairs[0])
    for pid in old.keys() & programs(server).keys():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not old.keys() & programs(server).keys(), 10, "the old programs to end")
    for pair in pairs:
        check_line_in(tunnels, pair)
        check_error_line_in(errors, pair)
    wait_for_no_carrier(server)


@under("prefork-plain")
def test_logs_of_a_virtual_host(start_once, routes, member):
    """Rotated as well."""
    conf = f"""
{LOG}
<VirtualHost *>
  ServerName site.invalid
  ErrorLog site-error.log
  WSBalanceLog site-tunnels.json
  {routes}
</VirtualHost>
"""
    server = start_once(conf, workers=6)
    pairs = [open_pair(server, member) for _ in range(2)]
    names = ["site-error.log", "site-tunnels.json"]
    server.graceful()
    wait_for_carried(server, 2)
    for name in names:
        (server.directory / name).rename(server.directory / f"{name}.1")
    server.graceful()
    for pair in pairs:
        check_line_in(server.directory / names[1], pair)
        check_error_line_in(server.directory / names[0], pair)
        assert not error_lines(server.directory / "error.log", pair.port)
    assert not json_lines(server.directory / "tunnels.json")


@under("prefork-plain")
def test_logs_that_are_not_configured_any_more(start_once, routes, member):
    """The virtual host and its logs have gone: the error log of the main server has the line, and
    the tunnel log's is in the file that the carrier has, or is told to be lost."""
    server = start_once(f"""
<VirtualHost *>
  ServerName site.invalid
  ErrorLog site-error.log
  WSBalanceLog site-tunnels.json
  {routes}
</VirtualHost>
""", workers=6)
    pair = open_pair(server, member)
    server.graceful(ROOM + LOG + routes)
    wait_for_carried(server, 1)
    server.allow_log("WSB0304")
    pair.close()
    check_error_line_in(server.directory / "error.log", pair)
    wait_until(lambda: json_lines(server.directory / "site-tunnels.json").get(pair.port)
               or server.log.matching("WSB0304"), 10, "the line, or a word about it")
    all_quiet(server)


@under("prefork-plain")
def test_the_module_is_removed_and_added(start_once, routes, member):
    """By graceful restarts, with tunnels open: they go on, and counters, too. The line of one that
    ends in between waits until somebody has its log again."""
    server = start_once(ROOM + LOG + routes, workers=6)
    pairs = [open_pair(server, member) for _ in range(3)]
    without = default_modules(without=["wsbalance"])
    with_it, server.modules = server.modules, without
    server.graceful("")
    wait_for_carried(server, 3)
    assert "mod_wsbalance" not in maps(server.parent_pid())
    check_echoes(pairs)
    end_by_client(pairs[0])
    wait_until(lambda: sum(count for _, count in titles(server).values()) == 2, 5, "its end")
    server.modules = with_it
    server.graceful(ROOM + LOG + routes)
    assert "mod_wsbalance" in maps(server.parent_pid())
    assert server.tunnels() == number(server, "WSBalanceCarrierTunnels") == 2
    assert number(server, "WSBalanceEnded[client-eof]") == 1
    pairs.append(open_pair(server, member))
    check_echoes(pairs[1:])
    for pair in pairs:
        check_line_in(server.directory / "tunnels.json", pair)
        check_error_line_in(server.directory / "error.log", pair)
    wait_for_no_carrier(server)
    all_quiet(server)


def maps(pid):
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
        return file.read()


@under("event-plain")
def test_many_ends_at_once(start_once, routes, member):
    """300 lines, whole, in each log."""
    server = start_once(ROOM + LOG + routes, workers=8)
    pairs = [open_pair(server, member) for _ in range(300)]
    move(server, len(pairs))
    ports = {pair.port for pair in pairs}
    close_all(pairs)
    path = server.directory / "tunnels.json"
    wait_until(lambda: len(json_lines(path)) >= len(ports), 20, "the lines")
    assert json_lines(path).keys() == ports
    wait_until(lambda: len(ended(server)) >= len(ports), 20, "the lines of the error log")
    assert sorted(end.port for end in ended(server)) == sorted(ports)
    wait_until(lambda: not server.carriers(), 5, "the carrier to end")


@under("event-plain", "prefork-plain")
def test_ends_at_a_stop(start_once, routes, member):
    """No child is left that could write the lines of carriers."""
    server = start_once(ROOM + LOG + routes, workers=6)
    pairs = pairs_in_carrier_and_child(server, member)
    path = server.directory / "tunnels.json"
    with in_thread(lambda: server.stop(settle=False)):
        check_all_going_away(sum(pairs, []))
    lines = json_lines(path)
    for pair in sum(pairs, []):
        assert lines[pair.port]["reason"] == "shutdown"
        assert len(error_lines(server.directory / "error.log", pair.port)) == 1
