"""Tunnels over TLS: what plain TCP does not have. Records of any size, ends with and without a
close_notify, and what is no TLS at all. All else about tunnels over TLS is in the other files,
whose tests run over it as well."""

import os

import pytest

from frames import BINARY, CLOSE, TEXT, client_frame, close_payload, frame_by, read_frame
from http_message import parse_head, switching, upgrade_request
from ours import all_quiet
from raw_peer import connect
from tls_socket import RECORD
from tunnels import AT_ONCE, check_arrives, end_of, ends_within, in_thread, open_pair
from waiting import wait_until

pytestmark = pytest.mark.transports("tls")
each_side = pytest.mark.parametrize("side", ["client", "member"])


@pytest.fixture(scope="module")
def server(start_httpd, transport, shared_member):
    return start_httpd(f"ProxyPass /raw/ {transport.member_url('ws', shared_member.port)}")


def texts(side):
    """A text of this side, and one of the other, as frames."""
    opposite = "member" if side == "client" else "client"
    return frame_by(side, TEXT, b"question"), frame_by(opposite, TEXT, b"answer")


def finish(server, pair):
    pair.close()
    all_quiet(server)
    return end_of(server, pair.port)


# -- Records --------------------------------------------------------------------------------------

@each_side
@pytest.mark.parametrize("size", [1, 100, 4096, RECORD - 1])
def test_records_of_any_size(server, member, side, size):
    """Many records in one write, and frames that end anywhere in them."""
    pair = open_pair(server, member)
    source, destination = pair.side(side)
    source.sock.record_size = size
    data = frame_by(side, BINARY, os.urandom(min(300 * size, 1 << 20))) * 3
    with in_thread(source.send, data):
        check_arrives(destination, data)
    end = finish(server, pair)
    passed = end.to_member if side == "client" else end.to_client
    assert (passed.bytes, passed.messages) == (len(data), 3)


@pytest.mark.parametrize("size", [1, 50, RECORD])
def test_early_frames_in_records_of_any_size(server, member, size):
    """The handshake, and in one write with it frames: httpd has decrypted some of them and has
    some more as it came, when the tunnel begins."""
    early = frame_by("client", BINARY, os.urandom(900))
    first = frame_by("member", TEXT, b"first" * 50)
    client = connect(server.port, server.transport)
    client.sock.record_size = size
    client.send(upgrade_request("/raw/") + early)
    connection = member.accept()
    connection.read_head()
    connection.sock.record_size = size
    connection.send(switching() + first)
    check_arrives(connection, early)
    assert parse_head(client.read_head()).status == 101
    check_arrives(client, first)
    client.close()
    connection.close()
    all_quiet(server)


# -- Ends -----------------------------------------------------------------------------------------

@each_side
def test_a_close_notify_without_a_fin(server, member, side):
    """It is the end of its direction, whatever TCP says; the other direction goes on."""
    pair = open_pair(server, member)
    ender, answerer = pair.side(side)
    question, answer = texts(side)
    ender.send(question)
    ender.sock.close_notify()
    assert answerer.read_until_eof() == question and not answerer.was_truncated
    answerer.send(answer)
    assert ender.read_exactly(len(answer)) == answer and server.tunnels() == 1
    end = finish(server, pair)
    assert (end.reason, end.tls) == (f"{side}-eof", None)


@each_side
def test_a_fin_without_a_close_notify(server, member, side):
    """It is an end of file too, the other direction goes on, and the line tells it."""
    pair = open_pair(server, member)
    ender, answerer = pair.side(side)
    question, answer = texts(side)
    ender.send(question)
    ender.sock.cut()
    assert answerer.read_until_eof() == question
    answerer.send(answer)
    assert ender.read_exactly(len(answer)) == answer
    end = finish(server, pair)
    assert end.reason == f"{side}-eof" and end.tls.startswith("truncated")


@each_side
def test_no_close_notify_behind_a_close_frame(server, member, side):
    """Many peers leave it out: after the WebSocket's own end nothing can have been cut off."""
    pair = open_pair(server, member)
    closer, answerer = pair.side(side)
    data = frame_by(side, CLOSE, close_payload(1000))
    closer.send(data)
    check_arrives(answerer, data)
    closer.sock.cut()
    assert ends_within(answerer, AT_ONCE)
    end = finish(server, pair)
    assert (end.reason, end.close_code, end.tls) == (f"{side}-close", 1000, None)


@each_side
def test_a_record_cut_by_a_fin(server, member, side):
    """The whole records before it are delivered, nothing of the cut one is."""
    pair = open_pair(server, member)
    ender, answerer = pair.side(side)
    whole = frame_by(side, TEXT, b"whole")
    ender.send(whole)
    ender.sock.send_raw(b"\x17\x03\x03\x00\x40" + bytes(20))
    ender.sock.cut()
    assert answerer.read_until_eof() == whole
    assert finish(server, pair).tls.startswith("truncated")


@each_side
@pytest.mark.parametrize("garbage", [
    b"GET / HTTP/1.1\r\n\r\n", b"\x17\x03\x03\x00\x40" + bytes(64),
    b"\x17\x03\x03\xff\xff" + bytes(99)],
    ids=["no record", "a record that cannot be decrypted", "a record that is too long"])
def test_garbage_ends_its_own_tunnel(server, member, side, garbage):
    """What was sent before it is delivered; both sides end at once; others are not disturbed."""
    bystander, pair = open_pair(server, member), open_pair(server, member)
    breaker, partner = pair.side(side)
    before = frame_by(side, TEXT, b"before")
    breaker.send(before)
    breaker.sock.send_raw(garbage)
    assert partner.read_until_eof() == before
    wait_until(lambda: server.tunnels() == 1, AT_ONCE, "the tunnel to end")
    bystander.client.send(client_frame(TEXT, b"hello"))
    assert read_frame(bystander.member) == (TEXT, b"hello", True)
    bystander.close()
    assert finish(server, pair).reason == f"{side}-error"
