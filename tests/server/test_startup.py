"""What the error log says at each start: versions, limits (S1-28, S2-43), and what does not go
together (S1-05)."""

import atexit
import functools
import pathlib
import re
import shutil
import subprocess
import tempfile

import pytest

import extra_module
import httpd_config
from carrying import ROOM
from http_message import get_request, read_response
from raw_peer import connect

plain_only = pytest.mark.transports("plain")
event_only = pytest.mark.parametrize("mpm", ["event"], indirect=True)

ROOT = pathlib.Path(__file__).resolve().parents[2]

LINE = re.compile(
    r"\[wsbalance:notice\] .*WSB0014: mod_wsbalance (?P<version>\S+), built for httpd (?P<built>\S+) "
    r"with (?P<library_built>OpenSSL/\S+), running in httpd (?P<running>\S+) with "
    r"(?P<library>OpenSSL/[^:]+): (?P<threads>\d+) relay thread\(s\) a child, at most "
    r"(?P<handshakes>\d+) handshakes waiting, at most (?P<bytes>\d+) bytes kept in a process; "
    r"MaxRequestWorkers allows (?P<requests>\d+) requests at once"
    r"(?: on up to (?P<connections>\d+) connections \(AsyncRequestWorkerFactor (?P<factor>\S+)\))?, "
    r"and open tunnels take none of these$")

QUIET = "LogLevel warn wsbalance:warn\n"  # httpd's default.


def facts(server):
    """Of the only line."""
    (line,) = server.log.matching("WSB0014")
    match = LINE.search(line)
    assert match, line
    return match.groupdict()


def number(version):
    return tuple(int(part) for part in version.split("."))


def header_of(server):
    client = connect(server.port, server.transport)
    client.send(get_request("/alive.txt"))
    response = read_response(client)
    client.close()
    return response.head.get("Server")


@plain_only
def test_s1_28_one_line_at_each_start(start_once, mpm):
    """At httpd's default LogLevel, once, and again after a restart: a rotated log has it too."""
    server = start_once(QUIET + ROOM)
    found = facts(server)
    project = re.search(r"project\(mod_wsbalance VERSION (\S+)",
                        (ROOT / "CMakeLists.txt").read_text(encoding="utf-8"))
    assert found["version"] == project[1]
    assert number(found["running"]) == httpd_config.version()
    assert int(found["threads"]) >= 1 and int(found["bytes"]) > 0
    assert int(found["handshakes"]) == server.workers // 2
    # S1-05: an httpd older than the one built for is told, and only that.
    is_older = number(found["running"]) < number(found["built"])
    assert bool(server.log.matching("WSB0027")) == is_older
    server.allow_log("WSB0027")
    if mpm != "worker":  # A restart is the same under each, and slow there.
        server.graceful()
        assert len(server.log.matching("WSB0014")) == 2


@plain_only
def test_s2_43_requests_have_a_ceiling_and_tunnels_another(start_once, mpm):
    """MaxRequestWorkers is the ceiling of requests; what event holds beside them is said; tunnels
    fit as descriptors allow, far more than workers."""
    factor = "AsyncRequestWorkerFactor 1.5" * (mpm == "event")
    server = start_once(QUIET + factor, workers=8, children=2, descriptors="4000:4000")
    found = facts(server)
    assert found["requests"] == "8"
    if mpm == "event":
        assert (found["connections"], found["factor"]) == ("20", "1.5")
    else:
        assert found["connections"] is None
    server.allow_log("WSB0027")
    (line,) = server.log.matching("WSB0021")
    assert int(re.search(r"about (\d+) tunnels fit into a child", line)[1]) > 1500


@plain_only
@event_only
def test_the_server_field_is_httpds_own(start_once):
    """With and without the module the same, also where it names modules."""
    fields = []
    for modules in (httpd_config.default_modules(), httpd_config.default_modules(["wsbalance"])):
        server = start_once("ServerTokens Full", modules=modules)
        server.allow_log("WSB0027")
        fields.append(header_of(server))
    assert fields[0] == fields[1]
    assert re.match(r"Apache/2\.4\.\d+", fields[0])


@functools.lru_cache
def other_openssl():
    directory = pathlib.Path(tempfile.mkdtemp(prefix="wsb-openssl-"))
    directory.chmod(0o755)
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    library = directory / "openssl.so"
    source = pathlib.Path(__file__).with_name("other_openssl.c")
    subprocess.run(["gcc", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, source],
                   check=True, timeout=60)
    return str(library)


@plain_only
@event_only
@pytest.mark.parametrize("version,text,is_told", [
    ("10000000", "OpenSSL 1.0.0 29 Mar 2010", True),
    ("f0000000", "OpenSSL 15.0.0 1 Jan 2100", True),
    ("3ff00000", "OpenSSL 3.255.0 1 Jan 2100", False)], ids=["older", "another major", "newer minor"])
def test_an_openssl_that_does_not_go_with_the_build(start_once, version, text, is_told):
    """Told with both versions, and the server starts."""
    server = start_once(preload=other_openssl(),
                        environment={"WSB_OPENSSL_NUMBER": version, "WSB_OPENSSL_TEXT": text})
    server.allow_log("WSB0027")
    name = "/".join(text.split()[:2])
    found = facts(server)
    assert found["library"] == name
    if is_told or found["library_built"].startswith("OpenSSL/1."):
        server.expect_log(f"WSB0028: the module runs with {name} and was built with "
                          f"{found['library_built']}", level="warn")
    else:
        assert not server.log.matching("WSB0028")


@plain_only
@event_only
def test_a_mod_ssl_with_another_openssl(start_once):
    """Said at the start, as its TLS cannot be taken over."""
    line = extra_module.load_line("other_mod_ssl.c", "other_mod_ssl_module")
    server = start_once(line)
    server.allow_log("WSB0027")
    server.expect_log("WSB0029: mod_ssl uses OpenSSL/9.9.9 and this module OpenSSL/", level="warn")


@pytest.mark.transports("tls")
@event_only
def test_one_openssl_for_mod_ssl_and_the_module(start_once):
    """As installed: no warning."""
    server = start_once()
    server.allow_log("WSB0027")
    assert facts(server) and not server.log.matching("WSB002[89]:")
