"""Programs of others that recipes put behind httpd, each as a process of its own on free ports."""

import contextlib
import os
import signal
import socket
import subprocess
import threading

import processes
from ports import free_port, free_ports, release
from waiting import SLOWNESS, wait_until


def listens(process, port):
    """The process itself, and not somebody who took the port."""
    if not processes.listens(process.pid):
        return False
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


class EndedAtOnce(Exception):
    """A program ended instead of listening; with what it said."""


@contextlib.contextmanager
def running(command, port, output):
    """Runs it until the end of the block, with what it starts itself; waits until it listens."""
    with open(output, "ab") as log:
        process = subprocess.Popen(  # pylint: disable=consider-using-with
            ["setpriv", "--pdeathsig", "TERM", "--", *map(str, command)], stdin=subprocess.DEVNULL,
            stdout=log, stderr=log, start_new_session=True)
    try:
        wait_until(lambda: process.poll() is not None or listens(process, port), 20,
                   f"{command[0]} to listen")
        if process.poll() is not None:
            raise EndedAtOnce(output.read_text())
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(5 * SLOWNESS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def mosquitto(directory, configuration, user, password):
    """The broker with these lines, in which ports and /etc/mosquitto/passwd are replaced; its port
    for WebSockets."""
    passwords = directory / "passwd"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), user, password], check=True,
                   capture_output=True)
    passwords.chmod(0o644)  # The broker reads it as nobody in particular.
    with contextlib.ExitStack() as stack:
        for tries_left in reversed(range(5)):
            port, other_port = free_ports(2)
            lines = configuration
            for old, new in (("9001", str(port)), ("1883", str(other_port)),
                             ("/etc/mosquitto/passwd", str(passwords))):
                assert configuration.count(old) == 1, configuration
                lines = lines.replace(old, new)
            (directory / "mosquitto.conf").write_text(lines)
            release(port)  # It listens without SO_REUSEADDR, so somebody may be faster.
            release(other_port)
            try:
                stack.enter_context(running(["mosquitto", "-c", directory / "mosquitto.conf"], port,
                                            directory / "mosquitto.out"))
                break
            except EndedAtOnce:
                if not tries_left:
                    raise
        yield port


@contextlib.contextmanager
def websockify(directory, target_port):
    """websockify to a TCP server on loopback; its port."""
    port = free_port()
    command = ["websockify", f"127.0.0.1:{port}", f"127.0.0.1:{target_port}"]
    with running(command, port, directory / "websockify.out"):
        yield port


@contextlib.contextmanager
def vnc_server():
    """What begins as a VNC server does (RFC 6143 7.1.1), and echoes from there on; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(sock):
        with contextlib.suppress(OSError), sock:
            sock.sendall(b"RFB 003.008\n")
            while data := sock.recv(65536):
                sock.sendall(data)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
