"""A headless Chromium that a test drives by chromedriver's HTTP interface (W3C WebDriver)."""

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import uuid

import processes
from waiting import SLOWNESS, wait_until

START_SECONDS = 20.0 / SLOWNESS  # wait_until() stretches it, and a driver has no sanitizer.
START_ATTEMPTS = 3
SCRIPT_SECONDS = 20.0 * SLOWNESS

ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",  # Chromium refuses to run as root with it.
    "--ignore-certificate-errors",
    "--disable-gpu",
    "--disable-dev-shm-usage",  # It is small in containers.
    "--remote-debugging-pipe",  # It ends with chromedriver, whatever way that ends.
    # Nothing but the pages of the test, and not one packet to another machine.
    "--disable-background-networking", "--disable-component-update", "--disable-default-apps",
    "--disable-extensions", "--disable-sync", "--no-first-run", "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]

# No connections that no request has asked for.
PREFERENCES = {"net.network_prediction_options": 2}

STARTED = re.compile(r"started successfully on port (\d+)")


class Chromium:
    """One browser with a profile of its own; `stop()` ends all of its processes."""

    def __init__(self):
        self._directory = tempfile.mkdtemp(prefix="wsb-chromium-")
        self._mark = uuid.uuid4().hex
        self._session = None
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _start(self):
        environment = dict(os.environ, WSB_BROWSER_ID=self._mark, HOME=self._directory,
                           XDG_CONFIG_HOME=self._directory, XDG_CACHE_HOME=self._directory)
        environment.pop("DBUS_SESSION_BUS_ADDRESS", None)
        self._port = self._start_driver(environment)
        options = {"args": ARGUMENTS + [f"--user-data-dir={self._directory}/profile"],
                   "binary": shutil.which("chromium"), "prefs": PREFERENCES}
        answer = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": options, "acceptInsecureCerts": True,
            "timeouts": {"script": int(SCRIPT_SECONDS * 1000),
                         "pageLoad": int(SCRIPT_SECONDS * 1000)}}}})
        self._session = f"/session/{answer['sessionId']}"

    def _start_driver(self, environment):
        """The port of a chromedriver; it does not start each time on a machine that is busy."""
        for attempt in range(START_ATTEMPTS):
            log = os.path.join(self._directory, f"chromedriver.{attempt}.log")
            with open(log, "wb") as output:
                self._process = subprocess.Popen(  # pylint: disable=consider-using-with
                    ["setpriv", "--pdeathsig", "TERM", "--", "chromedriver", "--port=0"],
                    env=environment, cwd=self._directory, stdin=subprocess.DEVNULL, stdout=output,
                    stderr=output)

            def port(log=log):
                with open(log, encoding="utf-8", errors="replace") as output:
                    return STARTED.search(output.read())

            with contextlib.suppress(AssertionError):
                return int(wait_until(port, START_SECONDS, "chromedriver to start")[1])
            self._process.kill()
            self._process.wait()
        raise AssertionError(f"chromedriver did not start in {START_ATTEMPTS} attempts")

    def _ask(self, method, path, body=None):
        """One WebDriver command; its value, or an AssertionError with what went wrong."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port,
                                                timeout=60.0 + SCRIPT_SECONDS)
        try:
            connection.request(method, path, None if body is None else json.dumps(body),
                               {"Content-Type": "application/json"})
            response = connection.getresponse()
            value = json.loads(response.read())["value"]
        finally:
            connection.close()
        assert response.status == 200, f"{method} {path}: {value.get('message', value)}"
        return value

    def open(self, url):
        """Loads a page; returns when it is complete."""
        self._ask("POST", self._session + "/url", {"url": url})

    def run(self, script, *arguments):
        """Runs the body of an async function in the page; what it returns."""
        wrapped = f"""
const done = arguments[arguments.length - 1];
(async (...arguments) => {{ {script} }})(...arguments)
  .then(value => done({{value}}), error => done({{error: String(error)}}));
"""
        answer = self._ask("POST", self._session + "/execute/async",
                           {"script": wrapped, "args": list(arguments)})
        assert "error" not in answer, f"the script failed: {answer['error']}"
        return answer.get("value")

    def stop(self):
        """Ends all processes, by the mark in their environment, and removes the profile."""
        if self._session:
            with contextlib.suppress(OSError, AssertionError, http.client.HTTPException):
                self._ask("DELETE", self._session)
        self._session = None
        for pid in processes.pids_with_environment(f"WSB_BROWSER_ID={self._mark}"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._process:
            self._process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)
