"""What a client can and cannot learn from answers, and where a path leads."""

import pytest

from http_message import get_request, read_response, upgrade_request
from ours import check_echo
from ports import refusing_port
from raw_peer import connect

pytestmark = pytest.mark.parametrize("mpm", ["event"], indirect=True)


@pytest.fixture(scope="module")
def dead_port():
    return refusing_port()


@pytest.fixture(scope="module")
def server(start_httpd, transport, echo_member, dead_port):
    def echo(path):
        return transport.member_url("ws", echo_member.port).rstrip("/") + path

    return start_httpd(f"""
ServerSignature On
ProxyPass /dead/ {transport.member_url("ws", dead_port)} retry=0
ProxyPass /slashes/ {echo("/")}
ProxyPass /none {echo("/app")}
ProxyPass /same/ws/ {echo("/same/ws/")}
""")


@pytest.mark.parametrize("request_bytes,status", [
    (upgrade_request("/dead/x"), 503),
    (upgrade_request("/slashes/x", change={"Sec-WebSocket-Version": "8"}), 426),
    (get_request("/slashes/x"), 426),
], ids=["nobody listens", "a rule is broken", "no upgrade"])
def test_an_answer_of_ours_names_no_member(server, dead_port, request_bytes, status):
    """S2-02: members are not exposed: no address, port or name of them in any page."""
    server.allow_log("AH00957", "AH01114", "AH00959")
    with connect(server.port, server.transport) as client:
        client.send(request_bytes)
        got = read_response(client)
    assert got.status == status
    text = repr(got.head) + got.body.decode()
    # The signature has the server's own port.
    text = text.replace(f"Port {server.port}", "")
    assert not any(word in text for word in (str(dead_port), "ws://", "wss://", "WSB"))


@pytest.mark.parametrize("path,member_path", [
    ("/slashes/x", "/x"), ("/slashes/", "/"), ("/none/x", "/app/x"), ("/none", "/app"),
    ("/same/ws/chat?room=1", "/same/ws/chat?room=1"),
])
def test_slashes_on_both_sides(server, path, member_path):
    """S0-36: what follows the route's path is put behind the member's, slash for slash."""
    check_echo(server, path, member_path)


def test_a_websocket_route_is_never_without_a_handler(server):
    """S0-37: AH01144 (scheme 'ws') is never reached."""
    check_echo(server, "/slashes/x", "/x")
    assert not server.log.matching("AH01144")
