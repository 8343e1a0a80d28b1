"""The directives of the code are those of docs/directives.md, with all that stands in its tables."""

import functools
import pathlib
import re

import pytest

import httpd_config
from settings_dump import balancer, dump, not_started, settings
from waiting import SLOWNESS

pytestmark = pytest.mark.transports("plain")

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/directives.md").read_text(encoding="utf-8")

SERVER, HOST = "server config", "server config, virtual host"
SCOPE = "server config, virtual host, directory (`<Location>`, `<Proxy>`, `<If>`)"
BALANCER = "`<Proxy balancer://name>`"
ROWS = ["Description", "Syntax", "Default", "Context", "Status", "Module", "Compatibility"]


def sections():
    """The table of each directive, by its name."""
    found = {}
    for part in PAGE.split("\n## ")[1:]:
        match = re.match(r"(\w+)\n\n\| \| \|\n\| --- \| --- \|\n((?:\|.*\n)+)\n", part)
        if not match:
            continue  # A topic.
        rows = re.findall(r"^\| (\w+) \| (.*) \|$", match[2], re.M)
        assert [name for name, _ in rows] == ROWS, match[1]
        found[match[1]] = dict(rows, text=part[match.end():])
        found[match[1]]["Syntax"] = found[match[1]]["Syntax"].replace("\\|", "|")
    return found


DIRECTIVES = sections()


@functools.lru_cache
def listed():
    """What `httpd -L` says: by name the help text and where it is allowed."""
    with not_started() as httpd:
        result = httpd.ask("-L")
    assert result.returncode == 0, result.stderr
    found = re.findall(r"^(\w+) \(mod_wsbalance\.c\)\n\t(.*)\n\t(.*)\n", result.stdout, re.M)
    assert len(found) == result.stdout.count("(mod_wsbalance.c)")
    return {name: (text, allowed) for name, text, allowed in found}


def described():
    return {name: rows["Description"] for name, rows in DIRECTIVES.items()}


def refusal(conf):
    """What httpd says of a configuration; None if it takes it."""
    with not_started(conf) as httpd:
        code, text = httpd.check_config()
    return text if code else None


# -- Names and sentences --------------------------------------------------------------------------

def test_descriptions_are_the_help_texts():
    assert described() == {name: text for name, (text, _) in listed().items()}


def test_the_index_has_all():
    index = PAGE.partition("\n## ")[0]
    found = re.findall(r"^\| \[(\w+)\]\(#(\w+)\) \| (.*) \|$", index, re.M)
    assert {name: text for name, _, text in found if name in DIRECTIVES} == described()
    assert all(anchor == name.lower() for name, anchor, _ in found)
    assert [name for name, _, _ in found if name in DIRECTIVES] == list(DIRECTIVES), "the order"


def test_the_man_page_has_all():
    page = (ROOT / "docs/mod_wsbalance.8").read_text(encoding="utf-8")
    directives = page.partition(".SH DIRECTIVES")[2].partition("\n.SH ")[0]
    assert dict(re.findall(r"^\.TP\n\.B (\w+)\n(.*)", directives, re.M)) == described()


def test_what_is_the_same_everywhere():
    cmake = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    ours = re.search(r"project\(.* VERSION (\d+)\.(\d+)", cmake).groups()
    floor = re.search(r"find_package\(Httpd ([\d.]+)", cmake)[1]
    for name, rows in DIRECTIVES.items():
        assert (rows["Status"], rows["Module"]) == ("Extension", "mod_wsbalance"), name
        match = re.fullmatch(r"Apache httpd ([\d.]+) and later; mod_wsbalance (\d+)\.(\d+) and later",
                             rows["Compatibility"])
        assert match[1] == floor, name
        assert (int(match[2]), int(match[3])) <= tuple(map(int, ours)), name


# -- Where they may stand -------------------------------------------------------------------------

def test_contexts_as_httpd_lists_them():
    for name, (_, allowed) in listed().items():
        context = DIRECTIVES[name]["Context"]
        assert context in (SERVER, HOST, SCOPE, BALANCER), name
        outside = allowed.startswith("Allowed in *.conf only outside <Directory>")
        assert outside == (context in (SERVER, HOST)), (name, allowed)
        assert outside or allowed == "Allowed in *.conf anywhere", (name, allowed)


def example(name):
    """A line of the manual's examples."""
    match = re.search(rf"^ *({name} .*)", "\n".join(
        re.findall(r"^```apache\n(.*?)^```", DIRECTIVES[name]["text"], re.M | re.S)), re.M)
    assert match, f"{name} has no example"
    return re.sub(r" sign=\S+", "", match[1])


def of(*contexts):
    return [name for name, rows in DIRECTIVES.items() if rows["Context"] in contexts]


def test_the_examples_are_taken_where_they_may_stand():
    everywhere = "\n".join(example(name) for name in of(SCOPE))
    host = "<VirtualHost *:1>\n{}\n</VirtualHost>"
    assert refusal("\n".join([
        *[example(name) for name in of(SERVER, HOST)],
        everywhere, host.format("\n".join(example(name) for name in of(HOST))),
        host.format(everywhere), f"<Location />\n{everywhere}\n</Location>",
        f"<Proxy *>\n{everywhere}\n</Proxy>",
        f"<Location /x>\n<If true>\n{everywhere}\n</If>\n</Location>",
        balancer(*[example(name) for name in of(BALANCER)])])) is None


@pytest.mark.skipif(SLOWNESS > 1, reason="many starts of httpd, nothing that a sanitizer sees")
@pytest.mark.parametrize("name", of(SERVER))
def test_what_is_for_the_server_is_refused_in_a_virtual_host(name):
    said = refusal(f"<VirtualHost *:1>\n{example(name)}\n</VirtualHost>")
    assert said and f"{name} cannot occur within" in said


@pytest.mark.skipif(SLOWNESS > 1, reason="many starts of httpd, nothing that a sanitizer sees")
@pytest.mark.parametrize("name", of(BALANCER))
def test_what_is_for_a_balancer_is_refused_elsewhere(name):
    said = refusal(example(name))
    assert said and f"{name} is for one balancer" in said


# -- How they are written -------------------------------------------------------------------------

def arguments_of_the_syntax(name):
    """The fewest and the most words of the forms in the manual."""
    syntax = DIRECTIVES[name]["Syntax"]
    forms = re.findall(r"`(\w+) ([^`]*)`", syntax)
    assert forms and all(directive == name for directive, _ in forms), name
    assert " or ".join(f"`{name} {form}`" for _, form in forms) == syntax
    words = [form.split() for _, form in forms]
    return (min(sum(not word.startswith("[") for word in form) for form in words),
            max(len(form) for form in words))


def test_numbers_of_arguments():
    source = (ROOT / "mod_wsbalance/httpd/directives.cpp").read_text(encoding="utf-8")
    kinds = dict((name, kind) for kind, name in
                 re.findall(r"AP_INIT_(\w+)\(\s*\"(\w+)\"", source))
    assert set(kinds) == set(DIRECTIVES)
    for name, kind in kinds.items():
        if kind == "FLAG":
            assert DIRECTIVES[name]["Syntax"] == f"`{name} On|Off`"
        elif kind != "RAW_ARGS":
            digits = [int(digit) for digit in kind.removeprefix("TAKE")]
            assert arguments_of_the_syntax(name) == (min(digits), max(digits)), name
        else:
            assert arguments_of_the_syntax(name), name


# -- Defaults -------------------------------------------------------------------------------------

def default_lines(name):
    """The lines that the manual writes down; none where a default is none that could be written."""
    return re.findall(rf"`({name} [^`]*)`", DIRECTIVES[name]["Default"])


def documented():
    """As settings() gives them."""
    found = {}
    for name, rows in DIRECTIVES.items():
        if name == "ProxyWebsocketIdleTimeout":
            continue
        lines = default_lines(name)
        if lines:
            assert rows["Default"] == " and ".join(f"`{line}`" for line in lines), name
            found[name] = [("default", line.partition(" ")[2]) for line in lines]
        else:
            found[name] = "default: " + rows["Default"].replace("`", "")
    return found


def empty():
    return dump(balancer())


def test_defaults_are_those_of_an_empty_configuration():
    """Those that follow from something else by the sentence about it."""
    printed = {name: found if found[0][0] == "default" else found[0][0]
               for name, found in settings(empty()).items()}
    assert printed == documented()


def test_the_other_name_has_the_same_default():
    assert default_lines("ProxyWebsocketIdleTimeout") == ["ProxyWebsocketIdleTimeout off"]
    assert default_lines("WSBalanceIdleTimeout") == ["WSBalanceIdleTimeout off"]


def test_defaults_written_down_change_nothing():
    of_server = [line for name in of(SERVER, HOST, SCOPE) for line in default_lines(name)]
    of_balancer = [line for name in of(BALANCER) for line in default_lines(name)]
    assert len(of_server) + len(of_balancer) > 25
    assert dump("\n".join([*of_server, balancer(*of_balancer)])) == empty()


def test_the_complete_example_is_at_the_defaults():
    """conf/wsbalance-full.conf, but for defaults that no constant can say."""
    conf = (ROOT / "conf/wsbalance-full.conf").read_text(encoding="utf-8")
    conf = re.sub(r"(?m)^\s*LoadModule .*", "", conf)
    names = re.findall(r"(?m)^\s*<Proxy \"?balancer://([^\">]+)", conf)
    assert names, "there is no section of a balancer"
    # A section makes a balancer only where it has members.
    members = "\n".join(balancer(name=name) for name in names)
    written = {name for name in re.findall(r"(?m)^[ #]*(\w+)", conf) if name in DIRECTIVES}
    assert written >= set(DIRECTIVES) - {"ProxyWebsocketIdleTimeout"}
    modules = (*[name for name in httpd_config.DEFAULT_MODULES if name != "wsbalance"], "wsbalance")
    found = settings(dump(conf + "\n" + members, modules=modules))
    for name, by_default in settings(empty()).items():
        if by_default[0][0] == "default":
            assert found[name] == by_default * (len(found[name]) // len(by_default)), name
