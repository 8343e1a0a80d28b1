"""Chromium as the client: a page opens a WebSocket to its own origin, over HTTP/2 and HTTP/1.1."""

import pytest

import h2_peer
import httpd_config
from browser import Chromium
from certificates import certificates
from ours import check_ours
from ports import free_ports
from transport import CLIENT_LINES, SESSION_CACHE
from tunnels import ended
from waiting import wait_until
from ws_peer import EchoMember

# TLS with clients is a matter of the virtual host here; mod_http2 does not work with prefork.
pytestmark = [pytest.mark.transports("plain"),
              pytest.mark.parametrize("mpm", ["event"], indirect=True)]

HOSTS = ["h2", "off", "http1", "plain"]
MODULES = httpd_config.default_modules(add=["socache_shmcb", "ssl", "http2"])

# Opens a WebSocket and keeps it in the page; `tunnel.next()` is its next message.
OPEN = """
const url = location.origin.replace('http', 'ws') + '/ws/page';
const socket = new WebSocket(url, ['chat', 'other']);
socket.binaryType = 'arraybuffer';
const messages = [], waiting = [];
socket.onmessage = ({data}) => waiting.length ? waiting.shift()(data) : messages.push(data);
const next = () => new Promise(
  resolve => messages.length ? resolve(messages.shift()) : waiting.push(resolve));
const closed = new Promise(resolve => socket.onclose = resolve);
window.tunnel = {socket, next, closed};
await new Promise((resolve, reject) => {
  socket.onopen = resolve;
  closed.then(({code}) => reject(`closed with ${code}`));
});
return {subprotocol: socket.protocol, page: performance.getEntries()[0].nextHopProtocol};
"""

# Sends a text and 1 MB, and compares what comes back.
TALK = """
const {socket, next} = tunnel;
socket.send('grüß dich');
const text = await next();
socket.send('path');
const path = await next();
const data = new Uint8Array(1 << 20);
for (let at = 0; at < data.length; at += 1 << 16)
  crypto.getRandomValues(data.subarray(at, at + (1 << 16)));
socket.send(data);
const back = new Uint8Array(await next());
const same = back.length === data.length && back.every((byte, at) => byte === data[at]);
return {text, path, same};
"""

CLOSE = """
tunnel.socket.close(1000, 'done');
const {code, reason, wasClean} = await tunnel.closed;
return {code, reason, wasClean};
"""


@pytest.fixture(scope="module")
def chat_member():
    with EchoMember("chromium's", subprotocols=["chat"]) as member:
        yield member


@pytest.fixture(scope="module")
def server(start_httpd, chat_member):
    ports, files = free_ports(len(HOSTS)), certificates()
    tls = CLIENT_LINES.format(certificate=files.certificate, key=files.key)
    server = start_httpd(f"""
{SESSION_CACHE}
<Files page.html>
  ForceType text/html
</Files>
ProxyPass /ws/ ws://127.0.0.1:{chat_member.port}/
<VirtualHost *:{ports[0]}>
  Protocols h2 http/1.1
  {h2_peer.websockets("on")}
  {tls}
</VirtualHost>
<VirtualHost *:{ports[1]}>
  Protocols h2 http/1.1
  {h2_peer.websockets("off")}
  {tls}
</VirtualHost>
<VirtualHost *:{ports[2]}>
  {tls}
</VirtualHost>
""", listen=ports, modules=MODULES)
    (server.directory / "htdocs" / "page.html").write_text("<!DOCTYPE html><title>page</title>\n")
    (server.directory / "htdocs" / "favicon.ico").write_bytes(b"")
    return server


@pytest.fixture
def browser():
    """A new one for each test: it keeps connections, and pages."""
    with Chromium() as browser:
        yield browser


@pytest.mark.parametrize("host,page,websocket", [
    pytest.param("h2", "h2", "HTTP/2.0", marks=h2_peer.needs_websockets),
    ("off", "h2", "HTTP/1.1"), ("http1", "http/1.1", "HTTP/1.1"),
    ("plain", "http/1.1", "HTTP/1.1")], ids=HOSTS)
def test_page_with_a_websocket(server, browser, host, page, websocket):
    """Opens, echoes a text and 1 MB, closes. Over HTTP/2 where the server announces it, else
    detached from an HTTP/1.1 connection of its own."""
    before = len(requests(server))
    scheme = "http" if host == "plain" else "https"
    browser.open(f"{scheme}://127.0.0.1:{server.listen[HOSTS.index(host)]}/page.html")
    assert browser.run(OPEN) == {"subprotocol": "chat", "page": page}
    if websocket == "HTTP/2.0":
        wait_until(lambda: server.tunnels() == 1, what="the tunnel to be counted")
    else:
        check_ours(server)
    assert browser.run(TALK) == {"text": "grüß dich", "path": "/page", "same": True}
    assert browser.run(CLOSE) == {"code": 1000, "reason": "done", "wasClean": True}
    wait_until(lambda: len(requests(server)) > before, what="the line in the access log")
    assert requests(server)[before:] == [f"GET /ws/page {websocket}"]
    end, = wait_until(lambda: ended(server), what="the line of the tunnel's end")
    assert (end.reason, end.close_code) == ("client-close", 1000)
    wait_until(lambda: server.tunnels() == 0, what="no tunnels")


def requests(server):
    """The WebSockets in the access log."""
    lines = (server.directory / "access.log").read_text().splitlines()
    return [line.split('"')[1] for line in lines if "/ws/" in line]
