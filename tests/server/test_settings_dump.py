"""httpd -t -D DUMP_WSBALANCE: the settings that hold."""

import pytest

from settings_dump import balancer, dump, not_started, settings

pytestmark = pytest.mark.transports("plain")

# Each directive with a value that is not its default, as the dump writes it.
SERVER = """WSBalance Off
WSBalanceThreads 3
WSBalanceBuffer 1m
WSBalanceBufferTotal 3g
WSBalanceMaxHandshakes 7
WSBalanceMaxPumped 5
WSBalanceMaxCarriers 0
WSBalanceMessageRate 50 burst=200 action=close
WSBalanceByteRate 65k burst=1m action=throttle
WSBalanceHandshakeTimeout 1500ms
WSBalanceIdleTimeout 8h
WSBalanceDataTimeout 90s
WSBalancePing 30s 500ms client
WSBalanceLifetime 1h 10%
WSBalanceCloseTimeout 2min
WSBalanceKeepAlive off
WSBalanceDrainTimeout 100ms
WSBalanceFrames off client
WSBalanceFrames strict member
WSBalanceMaxFrame 64k
WSBalanceMaxMessage 1001
WSBalanceLog "|/bin/cat \\\\ \\"a b\\"" "%{time}x \\"%{uri}x\\" %{reason}x"
"""
BALANCER = """WSBalanceSticky cookie=R path=/a/ domain=example.com secure=off httponly=off samesite=off maxage=1h
WSBalanceHashKey "%{HTTP:X-A} %{REMOTE_ADDR}"
WSBalanceHashBound 25%
WSBalanceSlowStart 1min
WSBalanceRetryOn 429 503
WSBalanceTries 9 5s
WSBalanceMaxPerMember 12
WSBalanceHealthCheck path=/x?y interval=1s timeout=100ms rise=1 fall=5 method=upgrade host=h origin=o subprotocol=a,b expect=101,403
WSBalanceEject 5 in 10s for 1min
WSBalanceEjectMax 25%
WSBalanceOnMemberDown close
WSBalanceOnDrain close 0
WSBalanceRebalance 10% 5s
"""


def lines(text):
    return [line.strip() for line in text.splitlines() if line.strip()]


def test_what_is_set_is_printed_as_it_can_be_written():
    """Each line goes back into the configuration."""
    text = dump(SERVER + balancer(BALANCER))
    assert lines(text) == [*lines(SERVER), '<Proxy balancer://app>', *lines(BALANCER), "</Proxy>"]
    assert dump(text.replace("<Proxy balancer://app>",
                             '<Proxy balancer://app>\nBalancerMember "http://192.0.2.1:3000"')) == text


@pytest.mark.parametrize("line,printed", [
    ("WSBalancePing 90", "WSBalancePing 90s 10s"),
    ("WSBalancePing 1min member", "WSBalancePing 1min 10s member"),
    ("WSBalanceKeepAlive 120 5 3", "WSBalanceKeepAlive 120s 5s 3"),
    ("WSBalanceFrames off", "WSBalanceFrames off client\nWSBalanceFrames off member"),
    ("WSBalanceLog t", "WSBalanceLog {}/t"),
    ("WSBalanceMessageRate 5", "WSBalanceMessageRate 5 burst=5 action=throttle"),
    ("ProxyWebsocketIdleTimeout 600", "WSBalanceIdleTimeout 10min"),
], ids=lambda value: value.split()[0])
def test_what_was_left_out_is_printed(line, printed):
    with not_started(line) as httpd:
        text = httpd.ask("-t", "-D", "DUMP_WSBALANCE").stdout
    before = text.partition("\n")[2].partition("# default\n")[0]
    assert before == printed.format(httpd.directory) + "\n"


def test_what_was_left_out_in_a_balancer():
    text = dump(balancer(
        "WSBalanceSticky cookie=R", "WSBalanceHealthCheck method=ping", "WSBalanceEject 3 in 5",
        "WSBalanceOnDrain close 90")).partition("<Proxy")[2]
    assert lines(text.partition("# default")[0])[1:] == [
        "WSBalanceSticky cookie=R path=/ secure=auto httponly=on samesite=Lax",
        "WSBalanceHealthCheck path=/ interval=10s timeout=2s rise=2 fall=3 method=ping",
        "WSBalanceEject 3 in 5s for 30s",
        "WSBalanceOnDrain close 90s"]


def test_defaults_that_follow_from_something_else():
    """25 workers of one child; the comment says how each came about."""
    found = settings(dump(balancer("ProxySet maxattempts=4")))
    assert found["WSBalanceMaxHandshakes"] == [("default: half of MaxRequestWorkers", "12")]
    assert found["WSBalanceMaxPumped"][0][1] == "12"
    assert found["WSBalanceMaxCarriers"][0][1] == "64"
    assert found["WSBalanceTries"] == [("default: maxattempts= and one more", "5 30s")]


@pytest.mark.parametrize("name,pumped", [("prefork", "1"), ("worker", "12")])
def test_other_mpms(name, pumped):
    found = settings(dump("ServerLimit 25", name))
    assert [value for _, value in found["WSBalanceMaxPumped"]] == [pumped]
    assert found["WSBalanceMaxHandshakes"][0][1] == "12"


def test_http2():
    """Two numbers, which no line says."""
    found = settings(dump("H2MaxWorkers 40", modules=("http2", "proxy", "wsbalance")))
    (comment, value), = found["WSBalanceMaxPumped"]
    assert comment.endswith("H2MaxWorkers less 2 (12, over HTTP/2 38)") and value is None


def host(*content):
    return "\n".join(["<VirtualHost 127.0.0.1:8001 [::1]:*>", "ServerName one.example", *content,
                      "</VirtualHost>"])


def test_a_virtual_host_shows_what_is_different():
    main = balancer("WSBalanceTries 2") + "\nWSBalanceIdleTimeout 10\n"
    text = dump(main + host("WSBalanceIdleTimeout 10", "WSBalanceBuffer 64k", "WSBalanceLog off",
                            balancer("WSBalanceTries 4", name="own")) + "\n" + host())
    of_host = text.partition("# one.example, ")[2]
    heading, *found = lines(of_host)
    assert heading.endswith(tuple("0123456789")) and "httpd.conf:" in heading
    assert found[:4] == ["<VirtualHost 127.0.0.1:8001 [::1]:*>", "WSBalanceBuffer 64k",
                         "<Proxy balancer://own>", "WSBalanceTries 4 30s"]
    assert found[-2:] == ["</Proxy>", "</VirtualHost>"]
    # The second host is as the main server, and has its balancer too.
    assert text.count("<VirtualHost") == 1 and text.count("balancer://app") == 1


def test_a_virtual_host_with_its_own_section_for_the_same_balancer():
    text = dump(balancer("WSBalanceTries 2") + "\n"
                + host(balancer("WSBalanceTries 4", members=())))
    assert [line for line in lines(text) if line.startswith(("WSBalanceTries", "<Proxy"))] == [
        "<Proxy balancer://app>", "WSBalanceTries 2 30s",
        "<Proxy balancer://app>", "WSBalanceTries 4 30s"]


def test_nothing_is_printed_unless_asked_for():
    with not_started() as httpd:
        result = httpd.ask("-t")
    assert (result.returncode, result.stdout) == (0, "")
