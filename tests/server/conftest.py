"""Fixtures of the server tests.

`mpm` and `transport` are parameters of every test that starts a server: it runs under each MPM and
over the usual transports, unless its file or mark names others (`transport.under()` names pairs of
both). Servers are started by
`start_httpd` (for a whole file) or `start_once` (for one test), and every test ends with a look at
the error logs of all servers that ran beside it.
"""

import contextlib
import pathlib
import tempfile

import pytest

import checked_member
import h2_peer
import httpd_config
import raw_peer
import ws_peer
from failing_calls import FailingCalls
from httpd_env import Httpd
from transport import PLAIN, TRANSPORTS, USUAL
from waiting import SLOWNESS

# The servers whose error logs are still to be looked at, running or just stopped.
_servers = []


def pytest_addoption(parser):
    parser.addoption("--transport", action="append", choices=list(TRANSPORTS),
                     help="only tests over this one, may stand more than once; tests that use "
                          "none count as plain")


def pytest_configure(config):
    config.addinivalue_line("markers", "transports(*names): instead of the usual ones")
    config.addinivalue_line("markers", "httpd_has(version, what, mpm=None): skipped with an older "
                            "httpd, under that MPM if one is named")


def pytest_generate_tests(metafunc):
    pairs = any(mark.args[0] == "mpm, transport"
                for mark in metafunc.definition.iter_markers("parametrize"))
    if "transport" in metafunc.fixturenames and not pairs:
        mark = metafunc.definition.get_closest_marker("transports")
        names = mark.args if mark else USUAL
        metafunc.parametrize("transport", [TRANSPORTS[name] for name in names], ids=names,
                             indirect=True)


def pytest_collection_modifyitems(config, items):
    """Only what was asked for. With a sanitizer, which is slow, without what runs the same code as
    another MPM or transport of the same test."""
    wanted = config.getoption("transport") or list(TRANSPORTS)

    def is_wanted(item):
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        transport = parameters.get("transport", PLAIN).name
        if SLOWNESS > 1:
            mark = item.get_closest_marker("transports")
            if parameters.get("mpm") == "worker":
                return False
            if transport == "tls-member" and mark and "tls" in mark.args:
                return False
        return transport in wanted

    config.hook.pytest_deselected(items=[item for item in items if not is_wanted(item)])
    items[:] = [item for item in items if is_wanted(item)]
    for item in items:
        if {"start_h2", "start_h2_once"} & set(item.fixturenames):
            item.add_marker(h2_peer.needs_websockets)
        for mark in item.iter_markers("httpd_has"):
            first, what = mark.args
            parameters = item.callspec.params if hasattr(item, "callspec") else {}
            is_meant = mark.kwargs.get("mpm") in (None, parameters.get("mpm"))
            if is_meant and not httpd_config.is_at_least(first):
                item.add_marker(pytest.mark.skip(reason=f"needs httpd {first}: {what}"))


def pytest_sessionstart():
    try:
        httpd_config.module_under_test()
    except AssertionError as error:
        pytest.exit(str(error), returncode=2)


@pytest.fixture(scope="module", params=["event", "worker", "prefork"])
def mpm(request):
    """The MPM of the server. Only under one: pytest.mark.parametrize("mpm", ["event"],
    indirect=True)."""
    return request.param


@pytest.fixture(scope="module")
def transport(request):
    """How the peers reach each other."""
    return request.param


@contextlib.contextmanager
def _starter(mpm, transport):
    with contextlib.ExitStack() as stack:
        def start(conf="", **options):
            server = Httpd(options.pop("mpm", mpm), conf, transport=transport, **options)
            stack.callback(server.stop)  # All of them, also where one does not stop in time.
            _servers.append(server)
            return server.start()

        yield start


def _problems():
    """What nobody announced, since the last look; forgets the servers that are stopped."""
    found = []
    for server in list(_servers):
        found += server.log.problems(final=not server.is_running())
        server.log.mark()
        if not server.is_running():
            _servers.remove(server)
            server.remove()
    return found


@pytest.fixture(scope="module")
def start_httpd(mpm, transport):
    """Starts servers that the tests of a file share."""
    with _starter(mpm, transport) as start:
        yield start
    found = _problems()
    assert not found, "in the error log after the last test:\n" + "\n".join(found[:20])


@pytest.fixture
def start_once(mpm, transport):
    """Starts servers for one test."""
    with _starter(mpm, transport) as start:
        yield start


@pytest.fixture(autouse=True)
def check_error_logs():
    """Ends every test: nothing in the error logs that it did not announce."""
    yield
    found = _problems()
    assert not found, "in the error log:\n" + "\n".join(found[:20])


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport():
    """Shows what the servers logged during a test that failed."""
    report = (yield).get_result()
    if report.failed:
        for server in _servers:
            lines = server.log.lines()[-25:]
            report.sections.append((f"error log of port {server.port}", "\n".join(lines)))


@pytest.fixture
def calls():
    """System calls of the test's server that fail on demand; start it with `calls.options()`."""
    failing = FailingCalls()
    yield failing
    failing.close()


@pytest.fixture(scope="module")
def public_dir():
    """A directory that httpd's children, who are nobody in particular, may read."""
    with tempfile.TemporaryDirectory(prefix="wsb-public-") as name:
        path = pathlib.Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture(scope="module")
def shared_member(transport):
    """A raw member for all tests of a file; tests ask for `member`."""
    with raw_peer.RawMember(transport) as member:
        yield member


@pytest.fixture
def member(shared_member):
    """The raw member, without connections of earlier tests."""
    shared_member.forget()
    yield shared_member
    shared_member.forget()


@pytest.fixture
def new_member():
    """Makes members whose behaviour a test changes (CheckedMember). To be asked for before
    `start_once`: they are there until its servers are stopped, so no check finds them gone."""
    with contextlib.ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(
            checked_member.CheckedMember(*args, **options))


@pytest.fixture(scope="module")
def echo_member(transport):
    """An echo member by python3-websockets."""
    with ws_peer.EchoMember(transport=transport) as member:
        yield member
