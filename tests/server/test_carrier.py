"""Carriers: the tunnels of a child that ends gracefully go on in a process of their own (S1-15,
docs/decisions/0009-carriers.md)."""

import contextlib
import time

import pytest

import processes
from carrying import (ENDS_SECONDS, carried_pairs, check_echoes, close_all, event_only,
                      move, number, plain_only, titles, wait_for_carried, wait_for_no_carrier)
from frames import BINARY, TEXT, client_frame, frame, frame_by, read_frame
from http_message import get_request
from ours import all_quiet, check_ours
from raw_peer import connect
from transport import under
from tunnels import (Flood, carriers, check_arrives, end_of, in_thread, narrow, open_pair, stream)
from waiting import SLOWNESS, stays, wait_until

KB, MB = 1024, 1024 * 1024


@pytest.fixture(scope="module")
def conf(transport, shared_member):
    return f"""
ProxyPass /raw/ {transport.member_url("ws", shared_member.port)}
ProxyPass /http/ {transport.member_url("http", shared_member.port)}
"""


# -- Ways to a carrier ----------------------------------------------------------------------------

@under("event-tls", "worker-plain", "prefork-tls-client")
def test_tunnels_go_on_over_reloads(start_once, conf, member):
    """Three reloads: a message goes each way after each of them, no worker and no slot is held,
    each generation has its carriers, and those end with their last tunnel."""
    server = start_once(conf)
    groups = []
    for count in range(1, 4):
        groups.append(carried_pairs(server, member, 4))
        for group in groups:
            check_echoes(group)
        check_ours(server, 4 * count)
        check_no_slot_is_held(server)
    assert generations(server) == {0, 1, 2}
    ports = [pair.port for group in groups for pair in group]
    for group in groups[:2]:
        close_all(group)
    wait_until(lambda: generations(server) == {2}, ENDS_SECONDS,
               "the carriers of two generations to end")
    check_echoes(groups[2])
    close_all(groups[2])
    wait_until(lambda: not server.carriers(), ENDS_SECONDS, "the last carriers to end")
    all_quiet(server)
    for port in ports:
        end_of(server, port)


def generations(server):
    return {generation for generation, _ in titles(server).values()}


def check_no_slot_is_held(server):
    """No process or worker of an old generation has a place in the scoreboard."""
    def is_free():
        status = server.status()
        return "G" not in status["Scoreboard"] and status.get("Stopping", "0") == "0"

    wait_until(is_free, 5, "no slot of an old generation")


@under("event-plain", "worker-tls", "prefork-plain")
def test_too_many_spare_processes(start_once, mpm, conf, member):
    """MaxSpareThreads, MaxSpareServers."""
    small = {"prefork": "StartServers 6\nMinSpareServers 1\nMaxSpareServers 2\n"}
    server = start_once(conf + small.get(mpm, "MinSpareThreads 1\nMaxSpareThreads 3\n"),
                        workers=6, children=3)
    pairs = []

    def has_carrier():
        pairs.append(open_pair(server, member))
        return server.carriers()

    wait_until(has_carrier, 20, "a child with tunnels to be too many")
    check_echoes(pairs)
    check_ours(server, len(pairs))
    assert number(server, "ParentServerMPMGeneration") == 0


@under("event-tls", "prefork-plain")
def test_max_connections_per_child(start_once, conf, member):
    server = start_once(f"MaxConnectionsPerChild 4\n{conf}", workers=4, children=2)
    # What httpd says while a child ends and none is there yet.
    server.allow_log("AH00288", "AH03490")
    pairs = [open_pair(server, member) for _ in range(16)]
    wait_until(lambda: len(server.carriers()) > 1, 20, "two carriers")
    check_echoes(pairs)
    wait_until(lambda: server.tunnels() == len(pairs), what="all tunnels to be counted")
    assert number(server, "ParentServerMPMGeneration") == 0


@under("prefork-plain")
def test_no_tunnel_no_carrier(start_once, conf, member):
    """Also not where there was one before."""
    server = start_once(conf, workers=4)
    open_pair(server, member).close()
    all_quiet(server)
    server.graceful()
    assert stays(lambda: not server.carriers(), 0.3)
    assert not server.log.matching("WSB0400")
    assert number(server, "WSBalanceCarriers") == 0


@event_only
@plain_only
def test_a_slow_request_holds_the_old_child(start_once, conf, member):
    """Its tunnels go on there, and go to a carrier when the request is done."""
    server = start_once(conf, workers=8, children=2)
    request = connect(server.port, server.transport)
    request.send(get_request("/http/slow"))
    answering = member.accept()
    answering.read_head()
    slow = carriers(server, {request.sock.getsockname()[1]})
    pairs = []

    def has_both():
        pairs.append(open_pair(server, member))
        found = carriers(server, {pair.port for pair in pairs})
        return len(found) == 2 and slow.keys() <= found.keys() and found

    found = wait_until(has_both, 20, "both children to have tunnels")
    held, = slow
    server.graceful()
    wait_for_carried(server, len(pairs) - len(found[held]))
    check_echoes(pairs)
    assert processes.is_alive(held) and held not in server.carriers()
    answering.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
    assert request.read_head().startswith(b"HTTP/1.1 200") and request.read_exactly(4) == b"done"
    request.close()
    wait_for_carried(server, len(pairs))
    wait_until(lambda: not processes.is_alive(held), 5, "the old child to end")
    check_echoes(pairs)


# -- Bytes ----------------------------------------------------------------------------------------

def open_endless(server, member):
    """A tunnel inside a frame without end each way, with queues that are soon full."""
    pair = open_pair(server, member)
    narrow(pair.client)
    narrow(pair.member)
    pair.endless("client")
    pair.endless("member")
    return pair


@under("event-tls", "worker-plain", "prefork-tls-member")
def test_bytes_that_wait(start_once, conf, member):
    """Both sides of some tunnels have sent until nobody took more, TLS records cut anywhere; what
    was on the way in kernels and queues arrives behind the reload, and more behind that."""
    server = start_once(conf, workers=6)
    pairs = [open_endless(server, member) for _ in range(2)]
    flood = Flood([connection for pair in pairs for connection in (pair.client, pair.member)])
    flood.until_blocked(quiet=0.3)
    flood.end()
    assert min(flood.sent.values()) > 64 * KB
    move(server, len(pairs))
    more = 512 * KB
    for pair in pairs:
        for side in ("client", "member"):
            sender, receiver = pair.side(side)
            with in_thread(send_more, sender, flood.sent[sender], more):
                check_arrives(receiver, stream(flood.sent[sender] + more))
    close_all(pairs)


def send_more(sender, at, count):
    sender.flush()
    sender.send(stream(count, at))


@under("event-tls", "worker-tls-client", "prefork-plain")
def test_bytes_that_pass_during_a_reload(start_once, conf, member):
    """Both sides send all the time while the process changes, and a slow reader takes it."""
    server = start_once(conf, workers=6)
    pair = open_endless(server, member)
    has_moved = []
    with contextlib.ExitStack() as stack:
        for side in ("client", "member"):
            sender, receiver = pair.side(side)
            stack.enter_context(in_thread(pump, sender, has_moved))
            stack.enter_context(in_thread(take, receiver, side == "client"))
        move(server, 1)
        has_moved.append(True)
    pair.close()


END = b"the end of it all"


def pump(sender, has_moved):
    """Sends the stream until a MB behind the move, and END."""
    sent, end = 0, None
    while end is None or sent < end:
        sender.send(stream(16 * KB, sent))
        sent += 16 * KB
        if has_moved and end is None:
            end = sent + MB
    sender.send(END.ljust(16 * KB))


def take(receiver, is_slow):
    """Reads until END; every byte is at its place."""
    got = 0
    while True:
        part = receiver.read_exactly(16 * KB)
        if part.startswith(END):
            return
        assert part == stream(16 * KB, got)
        got += len(part)
        if is_slow:
            time.sleep(0.002)


@under("event-tls")
def test_messages_every_ten_milliseconds(start_once, conf, member):
    """None is lost or out of order over two reloads. The largest gap is printed: another program
    may have the processor at that time."""
    server = start_once(conf, workers=6)
    pairs = [open_pair(server, member) for _ in range(4)]
    stop, arrivals = [], []
    with contextlib.ExitStack() as stack:
        for pair in pairs:
            for side in ("client", "member"):
                stack.enter_context(in_thread(send_messages, pair.side(side)[0], side, stop))
                arrivals.append([])
                stack.enter_context(in_thread(read_messages, pair.side(side)[1], arrivals[-1]))
        move(server, len(pairs))
        server.graceful()
        stop.append(True)
    gaps = [max(b - a for a, b in zip(times, times[1:])) for times in arrivals]
    print("largest gap between two messages, in ms:", round(max(gaps) * 1000))
    assert max(gaps) < 3 * SLOWNESS
    close_all(pairs)


def send_messages(sender, side, stop):
    count = 0
    while not stop:
        sender.send(frame_by(side, TEXT, b"%d" % count))
        count += 1
        time.sleep(0.01)
    sender.send(frame_by(side, BINARY, b"%d" % count))


def read_messages(receiver, times):
    opcode, count = TEXT, 0
    while opcode == TEXT:
        opcode, payload, _ = read_frame(receiver)
        assert payload == b"%d" % count
        times.append(time.monotonic())
        count += 1


@under("event-tls", "prefork-plain")
def test_a_frame_that_is_cut(start_once, conf, member):
    """The process changes in the middle of a head, of a payload and, with TLS, of a record."""
    server = start_once(conf, workers=6)
    message = {"client": client_frame(BINARY, b"x" * 300), "member": frame(BINARY, b"y" * 300)}
    pairs = [(open_pair(server, member), at) for at in (1, 3, 7, 150)]
    for pair, at in pairs:
        for side in ("client", "member"):
            pair.side(side)[0].send(message[side][:at])
    if server.transport.client_tls:
        halves = {}
        pair = open_pair(server, member)
        for side in ("client", "member"):
            halves[side] = send_half_a_record(pair.side(side)[0], message[side])
    move(server, len(pairs) + (1 if server.transport.client_tls else 0))
    for cut, at in pairs:
        for side in ("client", "member"):
            sender, receiver = cut.side(side)
            sender.send(message[side][at:])
            check_arrives(receiver, message[side])
    if server.transport.client_tls:
        for side in ("client", "member"):
            halves[side]()
            check_arrives(pair.side(side)[1], message[side])


def send_half_a_record(sender, data):
    """Sends the first half of the record with this data; returns what sends the other half."""
    record = sender.sock.encrypted(data)
    half = len(record) // 2
    sender.sock.send_raw(record[:half])
    return lambda: sender.sock.send_raw(record[half:])


@event_only
@plain_only
def test_half_closed(start_once, conf, member):
    """A side that has ended its stream before gets what the other still sends."""
    server = start_once(conf, workers=6)
    pair = open_pair(server, member)
    pair.member.end_sending()
    assert pair.client.is_ended()
    move(server, 1)
    pair.client.send(client_frame(TEXT, b"late"))
    assert read_frame(pair.member) == (TEXT, b"late", True)
    pair.client.close()
    assert pair.member.is_ended()
    wait_for_no_carrier(server)
    assert end_of(server, pair.port).reason == "member-eof"
