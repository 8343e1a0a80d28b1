"""The MPM settings of conf/recipes: what their comments reckon is true of the directives below them,
and what they say that the module keeps for httpd is what it keeps."""

import re

import pytest

import recipes
from waiting import wait_until

pytestmark = [pytest.mark.transports("plain"), recipes.WITHOUT_SANITIZER,
              pytest.mark.parametrize("mpm", ["event"], indirect=True)]

FILES = {"mpm-100.conf": 100, "mpm-10000.conf": 10000, "mpm-50000.conf": 50000}

# "#   name:  2 x 3 + 1 = 7", or without a sum.
LINE = re.compile(r"^#   ([A-Za-z_ ]+): +(?:([\d.x+/ -]+) = )?(\d[\d.]*)(?:  .*)?$")


def reckoned(name):
    """{name of a line: (its sum, its result)}, each of which is right as far as it is written."""
    found = {}
    for line in (recipes.FOLDER / name).read_text().splitlines():
        if match := LINE.match(line):
            label, text, result = match.groups()
            found[label] = (text, float(result))
            if text:
                value = eval(text.replace("x", "*"), {})  # pylint: disable=eval-used
                places = len(result.partition(".")[2])
                assert round(value, places) == float(result), line
    return found


def directives(name):
    """{name: value} of those that stand by themselves."""
    lines = (recipes.FOLDER / name).read_text().splitlines()
    return dict(line.split() for line in lines if re.match(r"\s*[A-Z]\w+ +\S+$", line))


@pytest.mark.parametrize("name,tunnels", FILES.items())
def test_arithmetic(mpm, name, tunnels):  # pylint: disable=unused-argument
    sums, have = reckoned(name), directives(name)
    result = {label: value for label, (_, value) in sums.items()}
    threads, children = int(have["ThreadsPerChild"]), int(have["StartServers"])
    workers = int(have["MaxRequestWorkers"])
    assert result["MaxRequestWorkers"] == workers == children * threads >= result["at peaks"]
    assert result["children"] == children
    assert result["ServerLimit"] == int(have["ServerLimit"]) == 2 * children
    assert int(have["MaxSpareThreads"]) == workers
    assert result["handshakes"] == workers // 2
    factor = int(have.get("AsyncRequestWorkerFactor", 2))
    members = int(re.search(r"with (\d+) members?", (recipes.FOLDER / name).read_text())[1])
    assert result["kept for httpd"] == threads * (2 + factor) + 4 * threads + members * threads + 16
    assert result["descriptors"] == 2 * tunnels + result["kept for httpd"] + 40
    assert result["LimitNOFILE"] > result["descriptors"]
    total = int(have["WSBalanceBufferTotal"].removesuffix("m"))
    assert sums["slow readers"] == (f"{children} x {total}", children * total)
    for label, (text, _) in sums.items():
        if label in ("plain tunnels", "tunnels with TLS", "and to members"):
            assert text.startswith(f"{tunnels} x "), label
    said = (recipes.FOLDER / name).read_text()
    for limit in re.findall(r"(?:ulimit -n |LimitNOFILE=)(\d+)", said):
        assert int(limit) == result["LimitNOFILE"]


@pytest.fixture
def start_mpm(start_once):
    def start(name, *, members, **options):
        lines = "\n".join(f"ProxyPass /{i}/ ws://127.0.0.{i + 1}:9/" for i in range(members))
        return start_once(recipes.text(name, {}) + lines, workers=64,
                          modules=recipes.modules(name), **options)
    return start


def check(server, name, limit):
    """httpd has these workers, and the module keeps what the file says of so many descriptors."""
    have, sums = directives(name), reckoned(name)
    threads, children = int(have["ThreadsPerChild"]), int(have["StartServers"])
    kept = int(sums["kept for httpd"][1])
    line, = server.log.matching("WSB0021")
    found = re.search(r"about (\d+) tunnels fit into a child, (\d+) into (\d+) children: of (\d+) "
                      r"descriptors a child (\d+) are always open, (\d+) .*\((\d+) threads\)", line)
    each, total, in_children, of, always, reserved, for_threads = map(int, found.groups())
    assert (in_children, for_threads, of) == (children, threads, limit)
    assert reserved == kept and always <= 40
    assert each == (limit - always - kept) // 2 and total == children * each
    status = server.status
    wait_until(lambda: int(status()["BusyWorkers"]) + int(status()["IdleWorkers"]) ==
               int(have["MaxRequestWorkers"]), 30, what="all workers")


def test_100(start_mpm):
    check(start_mpm("mpm-100.conf", members=1, descriptors="8192:8192"), "mpm-100.conf", 8192)


def test_10000(start_mpm):
    check(start_mpm("mpm-10000.conf", members=4, descriptors="8192:8192"), "mpm-10000.conf", 8192)


def test_50000(start_mpm):
    check(start_mpm("mpm-50000.conf", members=4, descriptors="8192:8192"), "mpm-50000.conf", 8192)
