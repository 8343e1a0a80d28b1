"""Tunnels that hold a thread (WSBalanceMaxPumped) cannot go to a carrier: at a graceful end of
their child both sides get a close frame, and the reason is `drain`."""

import pytest

import filter_module
from carrying import begin_graceful, check_all_going_away
from frames import CLOSE, client_frame, close_payload, frame
from h2_tunnels import (check_alive, check_ends_at_once, check_tunnels, dial, ends_of,
                        event_only, open_pair as open_stream, start_h2_once)
from ours import all_quiet
from proxy_frames import read_close
from transport import under
from tunnels import AT_ONCE, end_of, ends_within, open_pair


@event_only
@pytest.mark.transports("plain")
def test_http2(start_h2_once, dial, member):
    server = start_h2_once(f"ProxyPass /raw/ ws://127.0.0.1:{member.port}/")
    client = dial(server)
    pairs = [open_stream(client, member) for _ in range(3)]
    for stream, raw in pairs:
        check_alive(stream, raw)
    begin_graceful(server)
    for stream, raw in pairs:
        read_close(stream, "client", b"going away")
        read_close(raw, "member", b"going away")
        stream.send(client_frame(CLOSE, close_payload(1001)))
        raw.send(frame(CLOSE, close_payload(1001)))
        check_ends_at_once(stream)
        assert ends_within(raw, AT_ONCE)
    for end in ends_of(server, client, len(pairs)):
        assert (end.reason, end.close_code, end.closer) == ("drain", 1001, "proxy")
    check_tunnels(server, 0)
    assert not server.carriers()


@under("event-plain", "worker-tls-client", "prefork-plain")
def test_a_filter_of_another_module(start_once, transport, member):
    """Nothing tells a busy child of prefork that it has to end: it looks."""
    server = start_once(f"""
{filter_module.load_line()}
TestFilter client 0
ProxyPass /raw/ {transport.member_url("ws", member.port)}
""", workers=8)
    pairs = [open_pair(server, member) for _ in range(2)]
    begin_graceful(server)
    check_all_going_away(pairs)
    for pair in pairs:
        end = end_of(server, pair.port)
        assert (end.reason, end.close_code, end.closer) == ("drain", 1001, "proxy")
    all_quiet(server)
    assert not server.carriers()
