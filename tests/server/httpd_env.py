"""Starts a private httpd, watches it and stops it."""

import http.client
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import uuid

import httpd_config
import processes
from log_check import ErrorLog
from ports import free_port, release
from transport import PLAIN
from waiting import SLOWNESS, wait_until

# Starts a program that gets a SIGTERM when this process dies, whatever way.
END_WITH_US = ["setpriv", "--pdeathsig", "TERM", "--"]


class StartError(Exception):
    """httpd did not start; the text is what it said."""


class Httpd:
    """One httpd with its own directory, ports, configuration and logs.

    `conf` are the lines of the test, in server config; `listen` its ports, the first of which is
    `port`. Status questions go to a port of their own. `descriptors` is its limit of open files,
    "soft:hard"; `preload` a library for LD_PRELOAD; `wrapper` a command that starts httpd as a
    process of its own.
    """

    def __init__(self, mpm, conf="", *, listen=None, transport=None, modules=None, workers=25,
                 children=1, descriptors=None, preload=None, environment=None, wrapper=()):
        self._wrapper = list(wrapper)
        self.mpm, self.transport = mpm, transport or PLAIN
        self.workers, self.children_wanted = workers, children
        self._own_ports = [free_port()] if listen else [free_port(), free_port()]
        self.listen = listen or self._own_ports[1:]
        self.port, self.status_port = self.listen[0], self._own_ports[0]
        self.modules = httpd_config.DEFAULT_MODULES if modules is None else tuple(modules)
        self.modules += tuple(name for name in self.transport.modules if name not in self.modules)
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="wsb-httpd-"))
        self.directory.chmod(0o755)
        (self.directory / "htdocs").mkdir()
        (self.directory / "htdocs" / "alive.txt").write_text("alive\n")
        self.log = ErrorLog(self.directory / "error.log", self.directory / "stderr.txt",
                            tolerated=httpd_config.tolerated_lines(mpm))
        self._mark_value = uuid.uuid4().hex
        self._process = None
        self._prefix = ["prlimit", f"--nofile={descriptors}"] if descriptors else []
        self._preload, self._added_environment = preload, environment or {}
        self.stop_seconds = None
        self.configure(conf)

    def configure(self, conf):
        """Writes the configuration anew; a running server takes it with graceful()."""
        self.conf_path = httpd_config.write(
            self.directory, mpm=self.mpm, modules=self.modules, listen=self.listen,
            status_port=self.status_port, transport=self.transport, conf=conf,
            workers=self.workers, children=self.children_wanted)

    def _environment(self):
        environment = dict(os.environ, WSB_SERVER_ID=self._mark_value, LANG="C")
        environment.pop("LD_PRELOAD", None)
        if os.environ.get("WSB_LD_PRELOAD"):
            environment["LD_PRELOAD"] = os.environ["WSB_LD_PRELOAD"]
            # httpd has a handler of its own for these signals, which tells nothing.
            environment["ASAN_OPTIONS"] = ":".join([
                os.environ.get("WSB_ASAN_OPTIONS", "detect_leaks=0"),
                "handle_segv=2", "handle_abort=2", "handle_sigbus=2"])
        if self._preload:
            environment["LD_PRELOAD"] = f"{environment.get('LD_PRELOAD', '')} {self._preload}"
        return dict(environment, **self._added_environment)

    def _command(self, *arguments):
        return [httpd_config.program(), "-d", str(self.directory), "-f", str(self.conf_path),
                *arguments]

    # -- life ---------------------------------------------------------------------------------

    def check_config(self):
        """`httpd -t`: (exit code, all that it said)."""
        result = self.ask("-t", stderr=subprocess.STDOUT)
        return result.returncode, result.stdout

    def ask(self, *arguments, stderr=subprocess.PIPE):
        """Runs httpd with arguments that make it say something and end."""
        return subprocess.run(self._command(*arguments), env=self._environment(), check=False,
                              stdout=subprocess.PIPE, stderr=stderr, text=True,
                              timeout=30 * SLOWNESS)

    def start(self):
        """Starts it and waits until it answers; StartError when it does not."""
        with open(self.directory / "stderr.txt", "ab") as stderr:
            # A session of its own: prefork signals its whole process group.
            self._process = subprocess.Popen(  # pylint: disable=consider-using-with
                END_WITH_US + self._prefix + self._wrapper + self._command("-DFOREGROUND"),
                env=self._environment(), stdout=stderr,
                stderr=stderr, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            wait_until(lambda: self._process.poll() is not None or self.answers(), 30,
                       "httpd to answer")
        except AssertionError as error:
            self.kill()
            raise StartError(self.everything_logged()) from error
        if self._process.poll() is not None:
            raise StartError(self.everything_logged())
        return self

    def is_running(self):
        return self._process is not None

    def answers(self):
        try:
            return self._get("/alive.txt")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def everything_logged(self):
        found = ""
        for name in ("stderr.txt", "error.log"):
            path = self.directory / name
            if path.exists():
                found += path.read_text(encoding="utf-8", errors="backslashreplace")
        return found

    def settle(self, seconds=3):
        """Waits until no thread of a child does anything, for as long at most.

        Stock httpd's event MPM has a race at a stop: with a connection that a worker is just about
        to close, one child in a hundred crashes in close_worker_sockets() or logs AH03092, AH03093.
        """
        end, before = time.monotonic() + seconds, None
        while time.monotonic() < end:
            try:
                now = [processes.activity(pid) for pid in self.children()]
            except OSError:
                now = None
            if now and None not in now and now == before:
                return
            before = now
            time.sleep(0.005)

    def stop(self, seconds=10, settle=True, signal_number=signal.SIGTERM):
        """TERM, or another signal; all of its processes must be gone in time, carriers and orphans
        too."""
        if self._process is None:
            return
        if settle and self._process.poll() is None:
            self.settle()
        began = time.monotonic()
        if self._process.poll() is None:
            self.signal(signal_number)
        try:
            wait_until(lambda: self._process.poll() is not None and not self.pids(), seconds,
                       "httpd to stop")
        finally:
            self.stop_seconds = time.monotonic() - began
            self.kill()

    def kill(self):
        """Ends whatever is left, by pid."""
        for pid in self.pids():
            os.kill(pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
            self._process = None

    def remove(self):
        for port in self._own_ports:
            release(port)
        self._own_ports = []
        shutil.rmtree(self.directory, ignore_errors=True)

    def graceful(self, conf=None):
        """A graceful restart, with a new configuration if one is given; waits for it. httpd may
        say that an old child still has the place of a new one."""
        if conf is not None:
            self.configure(conf)
        self.allow_log("AH00288", "AH03490")
        old, before = self.children(), int(self.status()["ParentServerConfigGeneration"])
        self.signal(signal.SIGUSR1)
        wait_until(lambda: self._generation() > before, 30, "the graceful restart")
        # One that has not heard of it yet would take connections beside the new ones.
        wait_until(lambda: not any(processes.listens(pid) for pid in old), 30,
                   "the old children to take no more connections")

    def _generation(self):
        try:
            return int(self.status()["ParentServerConfigGeneration"])
        except (OSError, http.client.HTTPException):
            return -1

    # -- looks inside -------------------------------------------------------------------------

    def expect_log(self, *patterns, level=None):
        """Log lines that this test must cause (`ErrorLog.expect`)."""
        self.log.expect(*patterns, level=level)

    def allow_log(self, *patterns):
        self.log.allow(*patterns)

    def _get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.status_port,
                                                timeout=20 * SLOWNESS)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def status(self):
        """/server-status?auto as a dict of strings."""
        status, text = self._get("/server-status?auto")
        assert status == 200, f"server-status answers {status}"
        lines = [line.partition(": ") for line in text.splitlines() if ": " in line]
        return {name: value for name, _, value in lines}

    def busy_workers(self):
        """Busy workers; the one that answers this question is 1 of them."""
        return int(self.status()["BusyWorkers"])

    def tunnels(self):
        return int(self.status()["WSBalanceTunnels"])

    def handshakes(self):
        return int(self.status()["WSBalanceHandshakes"])

    def pids(self):
        """All living processes of this server, however they came to be."""
        return processes.pids_with_environment(f"WSB_SERVER_ID={self._mark_value}")

    def parent_pid(self):
        """httpd's; 0 with a wrapper that has not started it yet."""
        if not self._wrapper:
            return self._process.pid
        return next(iter(processes.children(self._process.pid)), 0)

    def signal(self, number):
        """To the parent."""
        os.kill(self.parent_pid(), number)

    def children(self):
        return sorted(self.pids() - {self._process.pid, self.parent_pid()})

    def carriers(self):
        """The processes that go on with tunnels of children that have ended."""
        return [pid for pid in self.children() if processes.name(pid) == "wsb-carrier"]

    def open_descriptors(self):
        """How many descriptors the children hold together."""
        return sum(len(processes.open_descriptors(pid)) for pid in self.children())

    def resident_kb(self):
        return sum(processes.resident_kb(pid) for pid in self.children())
