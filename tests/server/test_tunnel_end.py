"""How a tunnel ends: half-closes, resets, close frames, time; and the line that says so
(docs/status.md, end reasons)."""

import contextlib
import os
import socket
import time

import pytest

import node_peer
from frames import (BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, client_frame, close_payload,
                    frame, frame_by, opposite, read_frame)
from http_message import parse_head, switching
from ours import all_quiet
from raw_peer import RawMember
from tls_socket import RECORD
from transport import every_transport
from tunnels import (AT_ONCE, check_arrives, digest, end_of, ended, ends_within, in_thread,
                     narrow, open_pair, send_until_blocked, stream, unsent)
from waiting import SLOWNESS, wait_until
from ws_peer import connected, event_loop, start_connecting

pytestmark = every_transport
event_only = pytest.mark.parametrize("mpm", ["event"], indirect=True)
each_side = pytest.mark.parametrize("side", ["client", "member"])

KB, MB = 1024, 1024 * 1024


@pytest.fixture(scope="module")
def node_member(transport):
    with node_peer.NodeMember(transport) as member:
        yield member


@pytest.fixture(scope="module")
def unix_member(transport, public_dir):
    with RawMember(transport, path=public_dir / "end.sock") as member:
        yield member


@pytest.fixture(scope="module")
def server(start_httpd, transport, shared_member, echo_member, node_member, unix_member,
           public_dir):
    def ws(member):
        return transport.member_url("ws", member.port)

    assert unix_member
    return start_httpd(f"""
SendBufferSize 65536
ProxyPass /raw/ {ws(shared_member)}
ProxyPass /unix/ unix:{public_dir}/end.sock|ws://localhost/
ProxyPass /echo/ {ws(echo_member)}
ProxyPass /node/ {ws(node_member)}
""")


def message(side, size):
    """A binary message of random bytes as this side sends it."""
    return frame_by(side, BINARY, os.urandom(size))


def finish(server, pair):
    """Closes what the test left open and returns the line of the tunnel's end."""
    pair.close()
    all_quiet(server)
    return end_of(server, pair.port)


# -- End of file ----------------------------------------------------------------------------------

@each_side
def test_half_close(server, member, side):
    """An end of file on one side reaches the other behind all data; what that one still sends
    arrives; when both have ended both are closed, without waiting for anything."""
    pair = open_pair(server, member)
    ender, answerer = pair.side(side)
    question, answer = message(side, 300 * KB), message(opposite(side), MB)
    with in_thread(ender.send, question):
        check_arrives(answerer, question)
    ender.end_sending()
    assert ends_within(answerer, AT_ONCE) and not answerer.was_truncated
    with in_thread(answerer.send, answer):
        check_arrives(ender, answer)
    assert not ender.has_data(0.05) and server.tunnels() == 1
    answerer.end_sending()
    assert ends_within(ender, AT_ONCE) and not ender.was_truncated
    wait_until(lambda: server.tunnels() == 0, AT_ONCE, "the tunnel to end")
    end = finish(server, pair)
    assert (end.reason, end.close_code, end.tls) == (f"{side}-eof", 0, None)


@each_side
def test_half_close_with_a_unix_member(server, unix_member, side):
    """The same with a member on a unix socket."""
    pair = open_pair(server, unix_member, "/unix/")
    ender, answerer = pair.side(side)
    question, answer = message(side, 8), message(opposite(side), MB)
    ender.send(question)
    ender.end_sending()
    assert answerer.read_until_eof() == question
    with in_thread(answerer.send, answer):
        check_arrives(ender, answer)
    answerer.close()
    assert ends_within(ender, AT_ONCE)
    assert finish(server, pair).reason == f"{side}-eof"


@each_side
def test_a_half_close_at_once(server, member, side):
    """An end of file right behind the handshake is one too: the other's answer still arrives."""
    pair = open_pair(server, member)
    ender, answerer = pair.side(side)
    ender.end_sending()
    assert ends_within(answerer, AT_ONCE)
    answer = message(opposite(side), 10)
    answerer.send(answer)
    answerer.end_sending()
    assert ender.read_until_eof() == answer
    assert finish(server, pair).reason == f"{side}-eof"


@each_side
def test_both_end_at_the_same_time(server, member, side):
    """Both send a last message and end: both messages arrive."""
    pair = open_pair(server, member)
    first, second = pair.side(side)
    from_first, from_second = message(side, 14), message(opposite(side), 15)
    first.send(from_first)
    first.end_sending()
    second.send(from_second)
    second.end_sending()
    assert first.read_until_eof() == from_second
    assert second.read_until_eof() == from_first
    assert finish(server, pair).reason in ("client-eof", "member-eof")


@each_side
def test_data_before_an_end_of_file_reaches_a_slow_reader(server, member, side):
    """16 MB and then the end of file, while the other side has not read a byte yet: it gets all of
    it, and then the end."""
    pair = open_pair(server, member)
    sender, reader = pair.side(side)
    data = message(side, 16 * MB)

    def send():
        sender.send(data)
        sender.end_sending()

    with in_thread(send):
        wait_until(reader.has_data, what="the first bytes")
        check_arrives(reader, data)
        assert ends_within(reader, AT_ONCE)
    assert finish(server, pair).reason == f"{side}-eof"


# -- Resets ---------------------------------------------------------------------------------------

@each_side
def test_a_reset_ends_the_other_side_at_once(server, member, side):
    """S0-02: nobody waits for 5 seconds, and the counters are right at once."""
    pair = open_pair(server, member)
    breaker, partner = pair.side(side)
    breaker.reset()
    assert ends_within(partner, AT_ONCE)
    wait_until(lambda: server.tunnels() == 0, AT_ONCE, "the tunnel to end")
    assert finish(server, pair).reason == f"{side}-error"


@each_side
@pytest.mark.parametrize("is_full", [False, True], ids=["a little", "all buffers full"])
def test_data_before_a_reset_arrives(server, member, side, is_full):
    """What httpd had of the data before the reset is delivered, in full, also where it has to be
    kept because the other side does not read yet."""
    pair = open_pair(server, member)
    breaker, reader = pair.endless(side)
    narrow(reader)
    if is_full:
        taken = send_until_blocked(breaker) - unsent(breaker)
        if server.transport.has_tls(side):
            taken -= 2 * RECORD  # One is still here, of another one only a part is there.
        assert taken > 100 * KB
    else:
        taken = 20 * KB
        breaker.send(stream(taken))
        wait_until(lambda: unsent(breaker) == 0, what="the bytes to be taken")
    breaker.reset()
    data = reader.read_until_eof()
    assert len(data) >= taken
    assert digest(data) == digest(stream(len(data)))
    assert finish(server, pair).reason == f"{side}-error"


@each_side
def test_a_reset_while_the_other_side_sends(server, member, side):
    """A side that sends without reading learns of the reset too, and others are not disturbed."""
    bystander = open_pair(server, member)
    pair = open_pair(server, member)
    sender, breaker = pair.endless(opposite(side))

    def send_until_it_breaks():
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while True:
                sender.send(bytes(64 * KB))

    with in_thread(send_until_it_breaks):
        breaker.read_exactly(MB)
        breaker.reset()
    bystander.client.send(client_frame(TEXT, b"hello"))
    assert read_frame(bystander.member) == (TEXT, b"hello", True)
    bystander.close()
    assert finish(server, pair).reason == f"{side}-error"


def test_a_reset_after_an_end_of_file(server, member):
    """A half-close and then a reset: the other side has both, one after the other."""
    pair = open_pair(server, member)
    pair.client.end_sending()
    assert ends_within(pair.member, AT_ONCE)
    pair.client.reset()
    wait_until(lambda: server.tunnels() == 0, AT_ONCE, "the tunnel to end")
    assert finish(server, pair).reason == "client-error"


# -- Time after the first end ---------------------------------------------------------------------

@event_only
def test_five_seconds_without_a_byte_after_the_first_end(server, member):
    """After the first end both sides are closed when no byte has moved for 5 s; the clock starts
    anew with every byte, whichever way; without an end a silent tunnel stays."""
    silent = open_pair(server, member)
    by_client, by_member = open_pair(server, member), open_pair(server, member)
    answered, asked = open_pair(server, member), open_pair(server, member)
    began = time.monotonic()
    for connection in (by_client.client, by_member.member, answered.client, asked.member):
        connection.end_sending()
    for connection in (by_client.member, by_member.client, answered.member, asked.client):
        assert ends_within(connection, AT_ONCE)

    wait_until(lambda: time.monotonic() > began + 3, 4, "3 s")
    restarted = time.monotonic()
    answered.member.send(frame(TEXT, b"answer"))
    asked.client.send(client_frame(TEXT, b"question"))
    assert read_frame(answered.client) == (TEXT, b"answer", True)
    assert read_frame(asked.member) == (TEXT, b"question", True)

    for pair, start in ((by_client, began), (by_member, began), (answered, restarted),
                        (asked, restarted)):
        ended_one = pair.client if pair in (by_client, answered) else pair.member
        assert ends_within(ended_one, 9)
        seconds = time.monotonic() - start
        assert 4.9 < seconds < 5.0 + 3 * SLOWNESS, f"closed after {seconds:.2f} s"
    wait_until(lambda: server.tunnels() == 1, what="four tunnels to end")
    silent.client.send(client_frame(TEXT, b"still open"))
    assert read_frame(silent.member) == (TEXT, b"still open", True)
    for pair, reason in ((by_client, "client-eof"), (by_member, "member-eof"),
                         (answered, "client-eof"), (asked, "member-eof")):
        end = end_of(server, pair.port)
        assert end.reason == reason
        pair.close()
    assert 4900 < end_of(server, by_client.port).duration_ms < 5000 + 3000 * SLOWNESS
    finish(server, silent)


def read_slowly(connection, data, seconds, pause, meanwhile=None):
    """Reads fast up to the last 300 KB and those over `seconds`, with a pause of `pause` without a
    single read in the middle; then the end of file."""
    slow, parts = 300 * KB, []
    parts.append(connection.read_exactly(len(data) - slow))
    began = time.monotonic()
    steps, step = 60, slow // 60
    for number in range(steps):
        if meanwhile:
            meanwhile()
        if number == steps // 2:
            time.sleep(pause)
        due = began + (seconds - pause) * number / steps + (pause if number >= steps // 2 else 0)
        time.sleep(max(0.0, due - time.monotonic()))
        parts.append(connection.read_exactly(step))
    assert digest(b"".join(parts)) == digest(data)
    assert connection.is_ended()


@event_only
def test_sixteen_megabytes_and_a_close_before_a_slow_reader(server, member):
    """A member (or a client) that sends 16 MB and closes loses nothing before a reader that needs
    longer than 5 seconds for the rest of it and makes a pause of 3; not even where that reader
    goes on sending to the side that has gone."""
    data, reverse_data = message("member", 16 * MB), message("client", 16 * MB)
    quiet, talking, reverse = (open_pair(server, member) for _ in range(3))
    for connection in (quiet.client, talking.client, reverse.member):
        narrow(connection, 32 * KB)

    def send_and_close(connection, data=data):
        connection.send(data)
        connection.close()

    def ping():
        # httpd may close when its kernel has no byte left to send, before all of them are read.
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            talking.client.send(client_frame(PING, b"are you there?"))

    with in_thread(send_and_close, quiet.member), in_thread(send_and_close, talking.member), \
            in_thread(send_and_close, reverse.client, reverse_data), \
            in_thread(read_slowly, talking.client, data, 9, 3, ping), \
            in_thread(read_slowly, reverse.member, reverse_data, 9, 3):
        read_slowly(quiet.client, data, 9, 3)
    for pair in (quiet, talking, reverse):
        pair.close()
    all_quiet(server)
    end = end_of(server, quiet.port)
    assert (end.reason, end.to_client.bytes) == ("member-eof", len(data))
    assert end_of(server, talking.port).to_client.bytes == len(data)
    assert end_of(server, reverse.port).to_member.bytes == len(reverse_data)


# -- Close frames and the line of the end ---------------------------------------------------------

@pytest.mark.parametrize("path", ["/echo/", "/node/"])
@pytest.mark.parametrize("code,reason", [(1000, ""), (1001, "away"), (4321, "\u00e4" * 60)])
def test_a_close_frame_of_the_client(server, path, code, reason):
    """S2-08: the line says who closed first, with which code."""
    with connected(server, path) as client:
        port = client._socket.local_address[1]  # pylint: disable=protected-access
        assert client.ask("hello") == "hello"
        client.close(code, reason)
        assert client.close_code == code
    all_quiet(server)
    end = end_of(server, port)
    assert (end.reason, end.close_code, end.level) == ("client-close", code, "info")
    assert end.to_member.messages == end.to_client.messages == 1


@pytest.mark.parametrize("code,reason", [(1000, ""), (1012, "restart"), (3999, "x" * 123)])
def test_a_close_frame_of_the_member(server, echo_member, code, reason):
    """S2-08: the same for the member; its code and reason reach the client."""
    client = connected(server, "/echo/")
    socket = client._socket  # pylint: disable=protected-access
    port = socket.local_address[1]
    assert client.ask("hello") == "hello"
    # The member may learn of an earlier test's end only now.
    wait_until(lambda: len(echo_member.open_sockets) == 1, what="one WebSocket at the member")
    (members_end,) = echo_member.open_sockets
    event_loop().run(members_end.close(code, reason))
    event_loop().run(socket.wait_closed())
    assert (socket.close_code, socket.close_reason) == (code, reason)
    all_quiet(server)
    end = end_of(server, port)
    assert (end.reason, end.close_code) == ("member-close", code)


def check_close_code(server, member, side, payload, code):
    """The first close frame counts, wherever it was cut, and the tunnel goes on until the
    connections end."""
    pair = open_pair(server, member)
    closer, answerer = pair.side(side)
    data = frame_by(side, CLOSE, payload)
    closer.send_pieces([data[:1], data[1:3], data[3:]])
    check_arrives(answerer, data)
    answer = frame_by(opposite(side), CLOSE, close_payload(1002))
    answerer.send(answer)
    check_arrives(closer, answer)
    assert server.tunnels() == 1
    end = finish(server, pair)
    assert (end.reason, end.close_code) == (f"{side}-close", code)


@each_side
@pytest.mark.parametrize("payload,code", [
    (b"", 1005), (close_payload(1000), 1000), (close_payload(4999, b"r" * 123), 4999)])
def test_the_close_code_in_the_line(server, member, side, payload, code):
    """1005 stands for a close frame without a code."""
    check_close_code(server, member, side, payload, code)


@event_only
@each_side
def test_a_close_code_that_may_not_be_sent(start_once, transport, member, side):
    """Where it passes it stands in the line as any other."""
    server = start_once(f"""
WSBalanceFrames lenient
ProxyPass /raw/ {transport.member_url("ws", member.port)}
""")
    server.expect_log("WSB0302" if side == "member" else "WSB0303")
    check_close_code(server, member, side, close_payload(65535, b"r" * 123), 65535)


@each_side
def test_a_reset_after_a_close_frame(server, member, side):
    """Who has sent a close frame and then resets has broken the connection; the code stays."""
    pair = open_pair(server, member)
    closer, partner = pair.side(side)
    data = frame_by(side, CLOSE, close_payload(1000))
    closer.send(data)
    check_arrives(partner, data)
    closer.reset()
    assert ends_within(partner, AT_ONCE)
    end = finish(server, pair)
    assert (end.reason, end.close_code) == (f"{side}-error", 1000)


@each_side
def test_an_end_in_the_middle_of_a_frame(server, member, side):
    """A cut frame is delivered as far as it came and is no message; a cut close frame closes
    nothing."""
    pair = open_pair(server, member)
    ender, partner = pair.side(side)
    data = frame_by(side, TEXT, b"whole") + frame_by(side, CLOSE, close_payload(1000))[:-1]
    ender.send(data)
    ender.close()
    assert partner.read_until_eof() == data
    end = finish(server, pair)
    passed = end.to_member if side == "client" else end.to_client
    assert (end.reason, end.close_code) == (f"{side}-eof", 0)
    assert (passed.bytes, passed.messages) == (len(data), 1)


def test_the_counts_in_the_line_are_exact(server, member):
    """S2-08: every byte counts, with the heads of frames, from the first early one; a message
    counts once, however many fragments it has; control frames are no messages."""
    early = client_frame(TEXT, b"early")
    first = frame(BINARY, b"first")
    to_member = (client_frame(TEXT, b"a", fin=False) + client_frame(PING, b"p")
                 + client_frame(CONTINUATION, b"b", fin=False) + client_frame(CONTINUATION, b"c")
                 + client_frame(BINARY, os.urandom(100_000)) * 7 + client_frame(TEXT))
    to_client = frame(PONG, b"p") + frame(TEXT, os.urandom(3)) * 11 + frame(TEXT, b"x", fin=False)
    pair = open_pair(server, member, early=early, first=first)
    with in_thread(pair.client.send, to_member):
        check_arrives(pair.member, early + to_member)
    pair.member.send(to_client)
    check_arrives(pair.client, first + to_client)
    pair.client.end_sending()
    assert ends_within(pair.member, AT_ONCE)
    end = finish(server, pair)
    assert (end.to_member.bytes, end.to_member.messages) == (len(early + to_member), 1 + 9)
    assert (end.to_client.bytes, end.to_client.messages) == (len(first + to_client), 1 + 11)


def test_one_line_for_each_tunnel(server):
    """S2-08: as many lines as tunnels, at level info, and the duration is that of the tunnel."""
    began = time.monotonic()
    clients = [connected(server, "/echo/") for _ in range(10)]
    ports = {client._socket.local_address[1]  # pylint: disable=protected-access
             for client in clients}
    wait_until(lambda: server.tunnels() == 10, what="ten tunnels")
    opened = time.monotonic()
    wait_until(lambda: time.monotonic() > opened + 0.3, what="a moment")
    for client in clients:
        client.close()
    all_quiet(server)
    longest = (time.monotonic() - began) * 1000 + 1
    for port in ports:
        end = end_of(server, port)
        assert end.level == "info" and 300 <= end.duration_ms < longest
    assert {end.port for end in ended(server)} == ports


@each_side
def test_an_end_behind_the_101(server, member, transport, side):
    """A library's client whose member goes without a close frame sees it at once (1006), and the
    reverse."""
    future = start_connecting(transport.client_url(server.port, "/raw/"), transport)
    connection = member.accept()
    key = parse_head(connection.read_head()).get("Sec-WebSocket-Key")
    connection.send(switching(key))
    socket = future.result(5 * SLOWNESS)._socket  # pylint: disable=protected-access
    port = socket.local_address[1]
    if side == "member":
        connection.close()
        event_loop().run(socket.wait_closed())
        assert socket.close_code == 1006
    else:
        event_loop().loop.call_soon_threadsafe(socket.transport.abort)
        assert ends_within(connection, AT_ONCE)
        connection.close()
    all_quiet(server)
    assert end_of(server, port).reason in (f"{side}-eof", f"{side}-error")


# -- Small frames ---------------------------------------------------------------------------------

def test_small_frames_never_wait(server, member):
    """TCP_NODELAY on both sides: two small frames, the second sent when the first has arrived, are
    both delivered at once. With Nagle's algorithm the second would wait for the acknowledgement
    of the first, 40 ms."""
    pair = open_pair(server, member)
    rounds, lost = 40, []
    for connection in (pair.client, pair.member):
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for number in range(rounds):
        for side in ("client", "member"):
            source, destination = pair.side(side)
            for part in (frame_by(side, TEXT, b"one"), frame_by(side, TEXT, b"two")):
                began = time.monotonic()
                source.send(part)
                check_arrives(destination, part)
                if time.monotonic() - began > 0.03 * SLOWNESS:
                    lost.append(number)
    finish(server, pair)
    # Every second frame of a side would be late, 40 of each.
    assert len(lost) < 30, f"{len(lost)} of {4 * rounds} frames took more than 30 ms"
