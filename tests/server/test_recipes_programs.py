"""The recipes of conf/recipes for programs that we did not write: mosquitto and paho, websockify,
socket.io."""

import contextlib
import os
import queue
import re
import socket
import subprocess

import paho.mqtt.client
import pytest

import programs
import recipes
from certificates import certificates
from http_message import get_request, read_response, upgrade_request
from node_peer import SocketIoMember, run_socket_io_clients
from ours import all_quiet, check_ours
from ports import free_port
from raw_peer import connect
from transport import TRANSPORTS
from waiting import wait_until
from ws_peer import TIMEOUT
from ws_peer import connect as connect_to

pytestmark = [pytest.mark.transports("plain"), recipes.WITHOUT_SANITIZER,
              pytest.mark.parametrize("mpm", ["event"], indirect=True)]

TLS = TRANSPORTS["tls-client"]


def of_tls(port, host):
    return {"*:443>": f"*:{port}>", **recipes.certificate_of(host)}


@pytest.fixture
def start(start_once):
    def start_recipe(name, table, added="", **options):
        return start_once(recipes.text(name, table) + added, modules=recipes.modules(name),
                          **options)
    return start_recipe


class MqttClient:
    """paho over WebSocket and TLS; its loop is a thread of its own."""

    def __init__(self, port, password):
        self.results, self.messages = queue.Queue(), queue.Queue()
        versions = getattr(paho.mqtt.client, "CallbackAPIVersion", None)  # Since paho 2.
        options = {"callback_api_version": versions.VERSION1} if versions else {}
        self.client = client = paho.mqtt.client.Client(transport="websockets", **options)
        client.ws_set_options(path="/mqtt")
        client.tls_set_context(certificates().client_context)
        client.username_pw_set("tester", password)
        client.on_connect = lambda *arguments: self.results.put(arguments[3])
        client.on_subscribe = lambda *_: self.results.put("subscribed")
        client.on_message = lambda _, __, message: self.messages.put(message.payload)
        client.connect("127.0.0.1", port, keepalive=60)
        client.loop_start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.disconnect()
        self.client.loop_stop()

    def result(self):
        return self.results.get(timeout=TIMEOUT)

    def segments_sent(self):
        """How often it has sent something, in the count of the kernel."""
        with socket.socket(fileno=os.dup(self.client.socket().fileno())) as sock:
            port = sock.getsockname()[1]
        shown = subprocess.run(["ss", "-tniHO", f"sport = :{port}"], check=True,
                               capture_output=True, text=True).stdout
        return int(re.search(r"data_segs_out:(\d+)", shown)[1])


def broker_lines():
    """The configuration of mosquitto that stands in the recipe."""
    lines = (recipes.FOLDER / "mqtt.conf").read_text()
    found = re.search(r"/etc/mosquitto/conf\.d/\S+:\n((?:#   .*\n)+)", lines)[1]
    return re.sub(r"^#   ", "", found, flags=re.MULTILINE)


def test_mqtt(start, public_dir):
    """A broker and clients of MQTT: what is published arrives, with pings of ours
    in between; a wrong password is the broker's to refuse; a page of that path is 426."""
    with programs.mosquitto(public_dir, broker_lines(), "tester", "secret") as broker:
        port = free_port()
        server = start("mqtt.conf", {
            **of_tls(port, "mqtt.example.com"), "127.0.0.1:9001": f"127.0.0.1:{broker}",
            "WSBalancePing 30s": "WSBalancePing 100ms"}, listen=[port], added="""
WSBalanceLog tunnels.log "%{subprotocol}x %{pings_to_client}x %{reason}x"
""")
        with MqttClient(port, "wrong") as client:
            assert client.result() == 5  # Not authorized.
        with MqttClient(port, "secret") as client:
            assert client.result() == 0
            client.client.subscribe("a/#", qos=1)
            assert client.result() == "subscribed"
            check_ours(server)
            sent = [b"x" * size for size in (0, 1, 125, 126, 5000)] + [b"small"] * 2
            for payload in sent:
                client.client.publish("a/b", payload, qos=1)
            assert [client.messages.get(timeout=TIMEOUT) for _ in sent] == sent
            # Left to be sent are the acknowledgement of the last message, and answers to pings.
            enough = client.segments_sent() + 4
            wait_until(lambda: client.segments_sent() >= enough, 30, "answers to pings")
            assert client.messages.empty()
            client.client.publish("a/b", b"still here", qos=1)
            assert client.messages.get(timeout=TIMEOUT) == b"still here"
        log = server.directory / "tunnels.log"
        wait_until(lambda: re.search(r"^mqtt [1-9]\d* (client|member)-(close|eof)$", log.read_text(),
                                     re.MULTILINE), what="the line of the tunnel")
        with connect(port, TLS) as client:
            client.send(get_request("/mqtt"))
            assert read_response(client).status == 426
        all_quiet(server)


def test_novnc(start, public_dir):
    """The page from httpd, a VNC server through websockify, both only for those who may."""
    (public_dir / "novnc").mkdir()
    (public_dir / "novnc" / "vnc.html").write_text("the page")
    with programs.vnc_server() as vnc, programs.websockify(public_dir, vnc) as gateway:
        port = free_port()
        table = {**of_tls(port, "desk.example.com"), "127.0.0.1:6080": f"127.0.0.1:{gateway}",
                 "/usr/share/novnc": public_dir / "novnc", "203.0.113.0/24": "127.0.0.1"}
        server = start("novnc.conf", table, listen=[port])
        with connect(port, TLS) as client:
            client.send(get_request("/novnc/vnc.html"))
            assert read_response(client).body == b"the page"
        for path in ("/websockify", "/novnc/websockify"):
            for offered in (["binary"], None):
                with connect_to(TLS.client_url(port, path), TLS, subprotocols=offered) as client:
                    assert client.subprotocol == (offered and "binary")
                    assert client.receive() == b"RFB 003.008\n"
                    check_ours(server)
                    data, came = bytes(range(256)) * 1024, b""
                    client.send(data)
                    while len(came) < len(data):
                        came += client.receive()
                    assert came == data
                all_quiet(server)
        server.stop()
        refusing = start("novnc.conf", dict(table, **{"203.0.113.0/24": "127.0.0.2"}), listen=[port])
        refusing.expect_log("AH01630")
        for request in (get_request("/novnc/vnc.html"), upgrade_request("/websockify")):
            with connect(port, TLS) as client:
                client.send(request)
                assert read_response(client).status == 403


def test_socket_io(start):
    """Clients that begin with polling: each meets one member, all members have clients, and the
    health check is one that socket.io takes."""
    with contextlib.ExitStack() as stack:
        members = [stack.enter_context(SocketIoMember(name)) for name in "abc"]
        port = free_port()
        table = {f"127.0.0.1:300{number}": f"127.0.0.1:{member.port}"
                 for number, member in enumerate(members, 1)}
        server = start("socket.io.conf", {
            **table, "*:80>": f"*:{port}>", "interval=5s timeout=2s": "interval=200ms timeout=10s"},
            listen=[port], workers=64)
        seen = run_socket_io_clients(server, clients=12, messages=2)
        assert seen["well"] == 12 and seen["began_by_polling"] == 12, seen
        assert seen["met_several"] == 0
        assert sorted(seen["members"]) == ["a", "b", "c"]

        def checks():
            return [int(value) for key, value in server.status().items() if key.endswith("]Checks")]

        wait_until(lambda: len(checks()) == 3 and min(checks()) >= 2, what="two checks of each")
        status = server.status()
        assert [value for key, value in status.items() if key.endswith("]Health")] == ["up"] * 3
        assert [value for key, value in status.items() if key.endswith("]ChecksFailed")] == ["0"] * 3
        server.stop()  # Before the members, or checks find them gone.
