"""Clients and members by npm ws and socket.io, which we did not write."""

import fcntl
import json
import os
import pathlib
import subprocess
import tempfile

from certificates import certificates
from transport import PLAIN
from waiting import SLOWNESS

NODE = pathlib.Path(__file__).parent / "node"


def _installed(name):
    """The version of a package; None if it is not there."""
    path = NODE / "node_modules" / name / "package.json"
    return json.loads(path.read_text())["version"] if path.exists() else None


def install():
    """Installs what node/package.json names unless it is there; safe in two runs at once."""
    lock_path = pathlib.Path(tempfile.gettempdir()) / "wsb-npm-install.lock"
    with open(lock_path, "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = json.loads((NODE / "package.json").read_text())["dependencies"]
        if all(_installed(name) == version for name, version in wanted.items()):
            return
        subprocess.run(["npm", "install", "--no-package-lock", "--no-audit", "--no-fund"],
                       cwd=NODE, check=True, timeout=120, stdout=subprocess.DEVNULL)


class NodeMember:
    """node/echo_member.js as a process of its own; with `deflate` it agrees to compression, and each
    of its messages comes in so many `pieces`."""

    def __init__(self, transport=PLAIN, *, path=None, deflate=False, pieces=1):
        install()
        environment = dict(os.environ)
        if transport.member_tls and not path:
            environment["TLS_CERTIFICATE"] = str(certificates().certificate)
            environment["TLS_KEY"] = str(certificates().key)
        environment.update({"PIECES": str(pieces)}, **({"DEFLATE": "1"} if deflate else {}))
        self._start("echo_member.js", *([str(path)] if path else []), env=environment)

    def _start(self, *command, env=None):
        self._process = subprocess.Popen(  # pylint: disable=consider-using-with
            ["setpriv", "--pdeathsig", "TERM", "--", "node", *command],
            cwd=NODE, env=env, stdout=subprocess.PIPE, text=True)
        first = self._process.stdout.readline().strip()
        assert first, "the node member did not start"
        self.port = int(first) if first.isdigit() else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._process.terminate()
        self._process.wait(30)
        self._process.stdout.close()


class SocketIoMember(NodeMember):
    """node/socket_io_member.js as a process of its own."""

    def __init__(self, name):  # pylint: disable=super-init-not-called
        install()
        self._start("socket_io_member.js", name)


def run_client(url, transport=PLAIN, **wish):
    """Runs node/client.js to its end and returns what it saw."""
    install()
    environment = dict(os.environ)
    if transport.client_tls:
        environment["NODE_EXTRA_CA_CERTS"] = str(certificates().authority)
    result = subprocess.run(["node", "client.js", json.dumps(dict(wish, url=url))], cwd=NODE,
                            env=environment, check=True, capture_output=True, text=True,
                            timeout=60 * SLOWNESS)
    return json.loads(result.stdout)


def run_socket_io_clients(server, **wish):
    """Runs node/socket_io_clients.js through a server to its end and returns what they saw."""
    wish = {"url": f"http://127.0.0.1:{server.port}", "path": "/socket.io/", "cookies": True, **wish}
    result = subprocess.run(["node", "socket_io_clients.js", json.dumps(wish)], cwd=NODE,
                            check=True, capture_output=True, text=True, timeout=90 * SLOWNESS)
    return json.loads(result.stdout)
